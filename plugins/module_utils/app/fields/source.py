# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where the code comes from, and what it requires."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import (
    RELATIVE,
    RELATIVE_HINT,
    InSource,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    List,
    Object,
    Problems,
    Str,
)

REQUIREMENT_HINT = "must be a requirement as pip reads it, such as 'Django~=5.2'"
# By name, with what PEP 508 has after it, or in one word: an address, a file.
_VERSION = r"(===|[<>=!~]=|[<>])\s*[\w.*+!-]+"
PACKAGE = (
    r"[A-Za-z0-9]\S*|[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[\w\s,.-]*\])?\s*"
    rf"(@\s*\S+|\(?{_VERSION}(\s*,\s*{_VERSION})*\)?)?\s*(;.*)?"
)
EXTRA = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


def _one_of_sources(source: dict[str, Any], path: str, problems: Problems) -> None:
    kinds = [kind for kind in ("git", "path", "archive", "package") if kind in source]
    if len(kinds) != 1:
        found = f"found {' and '.join(kinds)}" if kinds else "found none"
        problems.add(path, f"needs exactly one of git, path, archive or package ({found})")
    for field, owner in (("version", "git"), ("checksum", "archive")):
        if field in source and owner not in kinds:
            problems.add(f"{path}.{field}", f"goes with {owner} only")


def _no_password(source: dict[str, Any], path: str, problems: Problems) -> None:
    if re.match(r"\w+://[^/@]*:[^/@]*@|https?://[^/@]+@", str(source.get("git", ""))):
        problems.add(
            f"{path}.git", "holds a password or token; put that address into vault_django_apps.<app>.git"
        )
    if re.match(r"https?://[^/@]+@", str(source.get("archive", ""))):
        problems.add(
            f"{path}.archive",
            "holds a password or token, which no archive takes; download it, and name the file on the controller",
        )


def _source_rule(source: dict[str, Any], path: str, problems: Problems) -> None:
    _one_of_sources(source, path, problems)
    _no_password(source, path, problems)


SOURCE = Object(
    {
        "git": Str(
            "address of a git repository",
            pattern=r"[^\s'\"`$;|&<>-][^\s'\"`$;|&<>]*",
            hint="is not the address of a git repository",
        ),
        "version": Str(
            "branch, tag or commit (default: the repository's default branch)",
            pattern=r"[A-Za-z0-9_][\w./+-]*",
            hint="must be a branch, tag or commit",
        ),
        "path": Str("folder on the controller; relative to the inventory"),
        "archive": Str("tar or zip file: a URL, or a file on the controller relative to the inventory"),
        "checksum": Str(
            "SHA-256 of the archive", pattern=r"[0-9a-f]{64}", hint="must be 64 hexadecimal digits"
        ),
        "package": Str(
            "a Python package that holds the project, as pip reads it", pattern=PACKAGE, hint=REQUIREMENT_HINT
        ),
        "subdirectory": InSource(
            "folder of the source that is the app",
            # it becomes part of PYTHONPATH
            pattern=rf"(?!.*:){RELATIVE}",
            hint=f"{RELATIVE_HINT}, and without ':'",
        ),
    },
    doc="where the code comes from: git, path, archive or package",
    rule=_source_rule,
    required=True,
)

REQUIREMENTS = Object(
    {
        "files": List(
            InSource("a requirements file"),
            doc="requirements files, relative to the source (default: found)",
        ),
        "packages": List(
            Str("a requirement", pattern=rf"({PACKAGE}|\.(/{RELATIVE})?)", hint=REQUIREMENT_HINT),
            doc="further Python packages; . and ./folder are folders of the source",
            default=[],
        ),
        "extras": List(
            Str("an extra", pattern=EXTRA), doc="extras of the project in pyproject.toml", default=[]
        ),
        "groups": List(
            Str("a group", pattern=EXTRA),
            doc="dependency groups in pyproject.toml or Pipfile",
            default=[],
        ),
    },
    short="files",
    doc="Python dependencies; by default a lock, a requirements file, a Pipfile or pyproject.toml is found",
    default={},
)
