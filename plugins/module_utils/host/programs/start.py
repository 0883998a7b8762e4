# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Starts a program of this folder in a release, and explains there what the project lacks."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import traceback
import types

# What older versions of Python had, until 3.12 and until 3.13.
REMOVED = (
    "asynchat", "asyncore", "distutils", "imp", "smtpd", "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr",
    "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib",
    "uu", "xdrlib",
)  # fmt: skip


def start(sources: dict[str, str], program: str) -> None:
    """Runs the function main of a program. ``sources`` has the text of each, after those that it imports."""
    question = json.loads(sys.argv[1])
    release = question.get("release", "")
    sys.path.insert(0, os.getcwd())
    if release:
        sys.excepthook = lambda kind, error, trace: explain(kind, error, trace, release)
    package = types.ModuleType("homeport_programs")
    package.__path__ = []
    sys.modules[package.__name__] = package
    for name, text in sources.items():
        module = types.ModuleType(f"{package.__name__}.{name}")
        module.__package__ = package.__name__
        sys.modules[module.__name__] = module
        exec(compile(text, f"<{module.__name__}>", "exec"), module.__dict__)
    if os.environ.get("DJANGO_CONFIGURATION") and has_configurations():
        importlib.import_module("configurations.importer").install()
    sys.modules[f"{package.__name__}.{program}"].main(question)


def has_configurations() -> bool:
    """Whether django-configurations is installed: a project may have a use of its own for the variable."""
    package = importlib.util.find_spec("configurations")
    places = package and package.submodule_search_locations
    return bool(places and importlib.machinery.PathFinder.find_spec("configurations.importer", places))


def explain(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None, release: str
) -> None:
    """Prints an exception, and the field of the app that may remedy it."""
    # Of the trace only what is the project's own: the rest is Django's and importlib's way to it.
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if frame.filename.startswith(f"{release}/src/")]
    lines = traceback.format_list(own or frames[-2:]) + traceback.format_exception_only(kind, error)
    remedies = [remedy(kind, error, from_environment(trace), release)]
    for cause in causes(error):
        lines.append(f"Caused by {traceback.format_exception_only(type(cause), cause)[-1]}")
        remedies.append(remedy(type(cause), cause, from_environment(cause.__traceback__), release))
    lines.append(next(filter(None, remedies), ""))
    sys.stderr.write("".join(lines).rstrip() + "\n")


def causes(error: BaseException) -> list[BaseException]:
    """What an exception was raised from, the nearest first."""
    found: list[BaseException] = []
    while error.__cause__ is not None and error.__cause__ not in found:
        error = error.__cause__
        found.append(error)
    return found


def from_environment(trace: types.TracebackType | None) -> bool:
    """Whether an exception comes from a look at the environment."""
    frames = traceback.extract_tb(trace)
    return bool(frames) and frames[-1].filename in ("<frozen os>", os.__file__)


# What the exceptions of Django and of common packages say, and what would help.
REMEDIES = (
    (r"cannot open shared object file|cannot load library",
     "system_packages: name the Debian package that has this library"),
    (r"(?i)could not find the (gdal|geos) library", "system_packages: [gdal-bin] has the libraries GDAL and GEOS"),
    (r"failed to find libmagic", "system_packages: [libmagic1] has this library"),
    (r"Error loading psycopg2|no pq wrapper available",
     "requirements: no driver for PostgreSQL is installed; requirements.packages can add 'psycopg[binary]'"),
    (r"Error loading MySQLdb",
     "requirements: no driver for MySQL is installed; requirements.packages can add mysqlclient, with "
     "system_packages: [default-libmysqlclient-dev, pkg-config]"),
    (r"Missing staticfiles manifest entry",
     "build: no such static file was collected; a command of build may have to make it, or, where the source brings "
     "its files collected, set static: {collect: false}"),
    (r"(?i)environment variable|as envvar\b", "env: set it in env, or in vault_django_apps where it is a secret"),
    (r"django-configurations settings importer wasn't correctly installed",
     "env: the settings are a class of django-configurations; name it in the variable DJANGO_CONFIGURATION"),
)  # fmt: skip


def remedy(kind: type[BaseException], error: BaseException, in_environment: bool, release: str) -> str:
    """What would help; ``in_environment`` where the exception comes from a look at the environment."""
    settings = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    base = os.environ.get("HOMEPORT_BASE_SETTINGS", settings)
    missing = str(getattr(error, "name", None) or "")
    package = missing.partition(".")[0]
    if kind is ModuleNotFoundError and (base == missing or base.startswith(f"{missing}.")):
        return f"settings: the project has no module {missing}"
    if isinstance(error, ImportError) and package == "django" and "django" in sys.modules:
        version = sys.modules["django"].__version__
        return (
            f"requirements: Django {version} no longer has it; requirements.packages can name an older one, such as"
            " 'Django~=4.2'"
        )
    if kind is ModuleNotFoundError and package == "pkg_resources":
        return "requirements.packages: add 'setuptools<81', the last one with pkg_resources"
    if kind is ModuleNotFoundError and package in REMOVED:
        version = "{}.{}".format(*sys.version_info[:2])
        return f"python: Python {version} has no module {missing}; name an older version, such as '3.11'"
    if kind is ModuleNotFoundError:
        return of_the_project(missing, release) or (
            f"requirements: no installed package has {missing}; requirements.packages can add it"
        )
    if kind is KeyError and in_environment:
        return f"env: the project needs {error} in its environment; set it in env, or in vault_django_apps"
    for pattern, helps in REMEDIES:
        if re.search(pattern, str(error)):
            return helps
    if isinstance(error, (FileNotFoundError, PermissionError)) and error.filename:
        return of_a_path(error, release)
    return ""


def of_the_project(missing: str, release: str) -> str:
    """What would help where a module that cannot be imported is the project's own; empty where it is not."""
    package, source = missing.partition(".")[0], f"{release}/src"
    for folder, folders, files in os.walk(source):
        if package in folders or f"{package}.py" in files:
            if os.path.realpath(folder) in map(os.path.realpath, sys.path):
                return f"files: the source has no module {missing}; files can write one that is not in it"
            below = os.path.relpath(folder, source)
            return (
                f"env: {missing} is in the folder {below} of the source, which Python does not search; set "
                f"PYTHONPATH: {{format: '{{RELEASE_DIR}}/src/{below}'}} in env"
            )
        deep = os.path.relpath(folder, source).count("/") >= 3
        folders[:] = (
            [] if deep else sorted(set(folders) - {"node_modules", "site-packages", "venv", ".venv", ".git"})
        )
    return ""


def of_a_path(error: OSError, release: str) -> str:
    """What would help where a file is missing, or may not be used."""
    path, source = os.path.abspath(os.fsdecode(error.filename)), f"{release}/src/"
    if isinstance(error, PermissionError):
        return f"The app may not use {path}: have the settings name a file below the source, and keep it with shared"
    folder = os.path.dirname(path)
    if path.startswith(source) and not os.path.isdir(folder):
        below = os.path.relpath(folder, source)
        return (
            f"shared: the source has no folder {below}; shared: [{below}/] makes one that all releases have"
        )
    if path.startswith(source):
        return "files: a file that is missing in the source can be written by files"
    if not os.path.isdir(folder):
        return f"The host has no folder {folder}: have the settings name one below the source, and keep it with shared"
    return ""
