# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a project says of itself; it runs the system checks and collects the static files.

One process for all of it: each start of Django costs most of a second.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from importlib.metadata import distributions
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import ERROR, run_checks
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from .chosen import direct_variable
from .own_settings import commands_of_their_own
from .uploads import media

NAMES = (
    "WSGI_APPLICATION", "ASGI_APPLICATION", "STATIC_ROOT", "STATIC_URL", "MEDIA_ROOT", "MEDIA_URL", "ROOT_URLCONF",
    "TIME_ZONE",
)  # fmt: skip
FOLDERS = ("STATIC_ROOT", "MEDIA_ROOT")
# What the result of collectstatic depends on, next to the files and packages.
STATIC_SETTINGS = ("STORAGES", "STATICFILES_STORAGE", "STATIC_URL", "STATICFILES_DIRS", "INSTALLED_APPS")
DUMMY = "django.db.backends.dummy"
CHECK_FAILED, NO_STATIC_ROOT, DEBUG_IS_ON, STATIC_ELSEWHERE = 3, 4, 5, 6  # exit status


def main(question: dict[str, Any]) -> None:
    django.setup()
    if settings.DEBUG and {os.environ.get("DEBUG"), os.environ.get("DJANGO_DEBUG")} == {"0"}:
        fail(
            "settings: DEBUG is on, and would show code and settings to every visitor. The environment has DEBUG=0: "
            "read it in the settings, name other settings in the field settings, or set overlay: true. To keep DEBUG "
            "on, set it in env",
            DEBUG_IS_ON,
        )
    answer = described()
    answer["warnings"] = warnings()
    answer.update(media(answer["MEDIA_ROOT"], answer["MEDIA_URL"]))
    answer["own_settings"] = commands_of_their_own()
    answer["packages"] = {str(found.metadata["Name"]): found.version for found in distributions()}
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    answer["migrations"] = sorted(f"{app}.{name}" for app, name in loader.disk_migrations)
    if question["collect"] and answer["staticfiles"]:
        answer["static_digest"] = collect(answer, question["release"], question["static_digest"])
    print(question["mark"] + json.dumps(answer))


def fail(message: str, status: int) -> None:
    sys.stderr.write(f"{message}\n")
    sys.exit(status)


def described() -> dict[str, Any]:
    answer: dict[str, Any] = {"django": django.get_version()}
    answer["python"] = ".".join(str(part) for part in sys.version_info[:3])
    for name in NAMES:
        value = str(getattr(settings, name, None) or "")
        # the working folder is the project's, as it is for the app; whoever reads the answer is elsewhere
        answer[name] = os.path.abspath(value) if value and name in FOLDERS else value
    answer["staticfiles"] = "django.contrib.staticfiles" in settings.INSTALLED_APPS
    files = [
        file_of(str(database.get("NAME") or ""))
        for database in settings.DATABASES.values()
        if str(database.get("ENGINE", "")).rsplit(".", 1)[-1] in ("sqlite3", "spatialite")
    ]
    answer["sqlite"] = list(filter(None, files))
    own = settings.DATABASES.get("default", {})
    default = place(own)
    answer["default"] = dict(zip(("name", "host"), default))
    # by the backend itself: packages have their own names for it
    answer["default"]["vendor"] = connections["default"].vendor if own.get("ENGINE", DUMMY) != DUMMY else ""
    real = {
        alias: place(found)
        for alias, found in settings.DATABASES.items()
        if found.get("ENGINE", DUMMY) != DUMMY
    }
    answer["aliases"] = sorted(real)
    # behind a pooler
    answer["server_side_cursors"] = sorted(
        alias
        for alias in real
        if os.environ.get(direct_variable(alias))
        and not settings.DATABASES[alias].get("DISABLE_SERVER_SIDE_CURSORS")
    )
    # others lead to the default one by another name
    answer["further"] = sorted(alias for alias in real if real[alias] != default)
    return answer


def file_of(name: str) -> str:
    """The file that SQLite opens for a NAME; empty where it is in memory."""
    parts = urlsplit(name) if name.startswith("file:") else None
    path = unquote(parts.path) if parts else name
    in_memory = path == ":memory:" or (parts and "mode=memory" in parts.query)
    return "" if in_memory or not path else os.path.abspath(path)


def place(database: dict[str, Any]) -> list[str]:
    """What tells one database from another."""
    return [str(database.get(key) or "") for key in ("NAME", "HOST", "PORT")]


def warnings() -> list[str]:
    """What the system check warns of; an error ends the program."""
    messages = [found for found in run_checks(include_deployment_checks=True) if not found.is_silenced()]
    failed = [message for message in messages if message.is_serious(ERROR)]
    if failed:
        lines = "\n".join(str(message) for message in failed)
        fail(f"The system check found errors:\n{lines}", CHECK_FAILED)
    mild = [message for message in messages if not message.is_serious(ERROR)]
    return ["{}: {}".format(found.id, found.msg.partition("\n")[0][:2000]) for found in mild]


def collect(answer: dict[str, Any], release: str, known: str) -> str:
    """Runs collectstatic unless its result is known; returns the digest of all that the result depends on."""
    if not answer["STATIC_ROOT"] and isinstance(staticfiles_storage, FileSystemStorage):
        fail(f"STATIC_ROOT is not set in {os.environ.get('DJANGO_SETTINGS_MODULE')}", NO_STATIC_ROOT)
    digest = hashlib.sha256()
    values = [str(getattr(settings, name, "")).replace(release, "") for name in STATIC_SETTINGS]
    values += sorted(f"{name} {version}" for name, version in answer["packages"].items())
    values.append(answer["STATIC_ROOT"].replace(release, ""))
    digest.update(repr(values).encode())
    any_file = False
    for finder in get_finders():
        for path, storage in finder.list([]):
            any_file = True
            with storage.open(path) as stream:
                digest.update(repr((getattr(storage, "prefix", ""), path)).encode())
                digest.update(hashlib.sha256(stream.read()).digest())
    found = digest.hexdigest()
    brought = brought_manifest(answer["STATIC_ROOT"])
    if found != known or brought:
        call_command("collectstatic", interactive=False, verbosity=0, stdout=io.StringIO())
        if (
            any_file
            and isinstance(staticfiles_storage, FileSystemStorage)
            and not os.path.isdir(answer["STATIC_ROOT"])
        ):
            fail(
                f"The static files are collected in {staticfiles_storage.location}, and STATIC_ROOT is "
                f"{answer['STATIC_ROOT']}, where nothing is: make the location of the storage STATIC_ROOT",
                STATIC_ELSEWHERE,
            )
        keep(brought)
    return found


def brought_manifest(root: str) -> dict[str, str]:
    """What the source has collected already, by name, where a manifest in its STATIC_ROOT says so."""
    name = getattr(staticfiles_storage, "manifest_name", "")
    return dict(staticfiles_storage.hashed_files) if name and os.path.isfile(os.path.join(root, name)) else {}


def keep(manifest: dict[str, str]) -> None:
    """Names again what the source brings and collectstatic does not find, such as a front end built elsewhere."""
    lost = {
        name: hashed
        for name, hashed in manifest.items()
        if name not in staticfiles_storage.hashed_files and staticfiles_storage.exists(hashed)
    }
    if lost:
        staticfiles_storage.hashed_files.update(lost)
        staticfiles_storage.save_manifest()
