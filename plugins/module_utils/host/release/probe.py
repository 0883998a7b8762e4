# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The program that a release's own Python runs to tell about itself.

One process asks Django for the settings that Homeport needs, runs the system checks and collects the
static files: each start of Django costs most of a second.
"""

from __future__ import annotations

# How a program that runs in a release tells of an exception.
EXPLAIN = r"""
# What older versions of Python had, until 3.12 and until 3.13.
REMOVED = (
    "asynchat asyncore distutils imp smtpd aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib"
    " ossaudiodev pipes sndhdr spwd sunau telnetlib uu xdrlib"
)

def explain(kind, error, trace):
    # Of the trace only what is the project's own: the rest is Django's and importlib's way to it.
    import traceback
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if frame.filename.startswith(release + "/src/")]
    told = traceback.format_list(own or frames[-2:]) + traceback.format_exception_only(kind, error)
    module = os.environ["DJANGO_SETTINGS_MODULE"]
    base = os.environ.get("HOMEPORT_BASE_SETTINGS", module)
    missing = getattr(error, "name", None) or ""
    if kind is ModuleNotFoundError and (base == missing or base.startswith(missing + ".")):
        told.append("settings: the project has no module %s" % missing)
    elif isinstance(error, ImportError) and missing.partition(".")[0] == "django" and "django" in sys.modules:
        told.append(
            "requirements: Django %s no longer has it; requirements.packages can name an older one, such as"
            " 'Django~=4.2'"
            % sys.modules["django"].__version__
        )
    elif kind is ModuleNotFoundError and missing.partition(".")[0] == "pkg_resources":
        told.append("requirements.packages: add 'setuptools<81', the last one with pkg_resources")
    elif kind is ModuleNotFoundError and missing.partition(".")[0] in REMOVED.split():
        told.append(
            "python: Python %d.%d has no module %s; name an older version, such as '3.11'"
            % (*sys.version_info[:2], missing)
        )
    elif kind is ModuleNotFoundError:
        told.append("requirements: nothing that was installed brings %s; requirements.packages can add it" % missing)
    elif "cannot open shared object file" in str(error) or "cannot load library" in str(error):
        told.append("system_packages: name the Debian package that brings this library")
    elif kind is KeyError and frames[-1].filename in ("<frozen os>", os.__file__):
        told.append("env: the project wants %s in its environment; set it in env, or in vault_django_apps" % error)
    elif "environment variable" in str(error):
        told.append("env: set it in env, or in vault_django_apps where it is a secret")
    elif isinstance(error, FileNotFoundError) and str(error.filename).startswith(release + "/src/"):
        told.append("files: a file that the source does not bring can be written by files")
    sys.stderr.write("".join(told).rstrip() + "\n")

sys.excepthook = explain
"""

PROBE = (
    r"""
import io, json, os, sys
sys.path.insert(0, os.getcwd())
wanted = json.loads(sys.argv[1])
release = wanted["release"]
answer = {}
"""
    + EXPLAIN
    + r"""
import django
from django.conf import settings
django.setup()
if settings.DEBUG and {os.environ.get("DEBUG"), os.environ.get("DJANGO_DEBUG")} == {"0"}:
    sys.stderr.write(
        "settings: DEBUG is on, and would show code and settings to every visitor. The environment says DEBUG=0: have "
        "the settings take it from there, name others in settings, or set overlay: true; where it is meant, say so "
        "in env\n"
    )
    sys.exit(5)
answer["django"] = django.get_version()
answer["python"] = ".".join(str(part) for part in sys.version_info[:3])
names = "WSGI_APPLICATION ASGI_APPLICATION STATIC_ROOT STATIC_URL MEDIA_ROOT MEDIA_URL ROOT_URLCONF TIME_ZONE"
for name in names.split():
    value = getattr(settings, name, None)
    answer[name] = str(value) if value else ""
answer["staticfiles"] = "django.contrib.staticfiles" in settings.INSTALLED_APPS
answer["sqlite"] = [
    str(database.get("NAME"))
    for database in settings.DATABASES.values()
    if str(database.get("ENGINE", "")).rsplit(".", 1)[-1] in ("sqlite3", "spatialite")
]
from django.core.checks import run_checks, ERROR
messages = [message for message in run_checks(include_deployment_checks=True) if not message.is_silenced()]
mild = [message for message in messages if not message.is_serious(ERROR)]
answer["warnings"] = ["%s: %s" % (message.id, message.msg.partition("\n")[0][:2000]) for message in mild]
failed = [message for message in messages if message.is_serious(ERROR)]
if failed:
    sys.stderr.write("the system check found errors:\n" + "\n".join(str(message) for message in failed) + "\n")
    sys.exit(3)
from importlib.metadata import distributions
answer["packages"] = {str(found.metadata["Name"]): found.version for found in distributions()}
from django.db.migrations.loader import MigrationLoader
loader = MigrationLoader(None, load=False)
loader.load_disk()
answer["migrations"] = sorted("%s.%s" % key for key in loader.disk_migrations)
if wanted["collect"] and answer["staticfiles"]:
    if not answer["STATIC_ROOT"]:
        sys.stderr.write("STATIC_ROOT is not set in %s\n" % os.environ.get("DJANGO_SETTINGS_MODULE"))
        sys.exit(4)
    import hashlib
    from django.contrib.staticfiles.finders import get_finders
    # Everything that collectstatic makes its result from: where it is as for the live release, the result is too.
    digest = hashlib.sha256()
    names = ("STORAGES", "STATICFILES_STORAGE", "STATIC_URL", "STATICFILES_DIRS", "INSTALLED_APPS")
    told = [str(getattr(settings, name, "")).replace(wanted["release"], "") for name in names]
    told += sorted("%s %s" % found for found in answer["packages"].items())
    told.append(answer["STATIC_ROOT"].replace(wanted["release"], ""))
    digest.update(repr(told).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            with storage.open(path) as stream:
                digest.update(repr((getattr(storage, "prefix", ""), path)).encode())
                digest.update(hashlib.sha256(stream.read()).digest())
    answer["static_digest"] = digest.hexdigest()
    if answer["static_digest"] != wanted["static_digest"]:
        from django.core.management import call_command
        call_command("collectstatic", interactive=False, verbosity=0, stdout=io.StringIO())
print(wanted["mark"] + json.dumps(answer))
"""
)
MARK = "homeport-probe:"
# The form of the probe's answer (claims.answer).
ANSWER = {
    **dict.fromkeys(
        ("django", "python", "WSGI_APPLICATION", "ASGI_APPLICATION", "STATIC_ROOT", "STATIC_URL"), str
    ),
    **dict.fromkeys(("MEDIA_ROOT", "MEDIA_URL", "ROOT_URLCONF", "TIME_ZONE", "?static_digest"), str),
    "staticfiles": bool,
    "sqlite": [str],
    "warnings": [str],
    "packages": {str: str},
    "migrations": [str],
}
NO_STATIC_ROOT = 4

# Asks the project for a page within one process, where the exception behind a status 500 can be seen.
WHY = (
    r"""
import os, sys
sys.path.insert(0, os.getcwd())
release, path, host, scheme = sys.argv[1:]
"""
    + EXPLAIN
    + r"""
import django
django.setup()
from django.test import Client
Client().get(path, HTTP_HOST=host, HTTP_X_FORWARDED_PROTO=scheme, secure=scheme == "https")
"""
)

# What the deployment checks say of every site that is served without HTTPS.
WITHOUT_HTTPS = ("security.W004", "security.W008", "security.W012", "security.W016")


def actionable(warnings: list[str], site_url: str) -> list[str]:
    """What `check --deploy` says that an app can do something about, in one sentence each."""
    expected = () if site_url.startswith("https:") else WITHOUT_HTTPS
    return [text.partition(". ")[0] for text in warnings if not text.startswith(expected)]
