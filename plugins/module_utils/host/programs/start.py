# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Starts a program of this folder in a release, and explains there what the project lacks."""

from __future__ import annotations

import json
import os
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
    sys.modules[f"{package.__name__}.{program}"].main(question)


def explain(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None, release: str
) -> None:
    """Prints an exception, and the field of the app that may remedy it."""
    # Of the trace only what is the project's own: the rest is Django's and importlib's way to it.
    frames = traceback.extract_tb(trace)
    own = [frame for frame in frames if frame.filename.startswith(f"{release}/src/")]
    lines = traceback.format_list(own or frames[-2:]) + traceback.format_exception_only(kind, error)
    asked = bool(frames) and frames[-1].filename in ("<frozen os>", os.__file__)
    lines.append(remedy(kind, error, asked, release))
    sys.stderr.write("".join(lines).rstrip() + "\n")


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
        return f"requirements: no installed package has {missing}; requirements.packages can add it"
    if "cannot open shared object file" in str(error) or "cannot load library" in str(error):
        return "system_packages: name the Debian package that has this library"
    if kind is KeyError and in_environment:
        return f"env: the project needs {error} in its environment; set it in env, or in vault_django_apps"
    if "Missing staticfiles manifest entry" in str(error):
        return (
            "build: no such static file was collected; a command of build may have to make it, or, where the source"
            " brings its files collected, set static: {collect: false}"
        )
    if "environment variable" in str(error):
        return "env: set it in env, or in vault_django_apps where it is a secret"
    if isinstance(error, FileNotFoundError) and str(error.filename).startswith(f"{release}/src/"):
        return "files: a file that is missing in the source can be written by files"
    return ""
