# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The command line that has a program of this folder run by a release's own Python, or another one."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import TYPE_CHECKING, Any

# Ansible packs with a module what the module imports; only a release's Python imports these.
if TYPE_CHECKING:
    from . import (  # noqa: F401
        chosen,
        counts,
        dump,
        judge,
        look,
        migrate,
        move,
        mysql_client,
        non_atomic,
        own_settings,
        page_error,
        postgres_client,
        probe,
        restore,
        sqlite_copy,
        start,
        superuser,
        uploads,
    )

MARK = "homeport-answer:"  # what the line of an answer begins with


def argv_of(program: str, python: str = "python", **question: Any) -> list[str]:
    """The words that run ``program``, whose function ``main`` gets the question."""
    sources: dict[str, str] = {}
    collect(program, sources)
    text = f"{source('start')}\n\nstart({sources!r}, {program!r})\n"
    return [python, "-c", text, json.dumps({"mark": MARK, **question})]


def collect(program: str, sources: dict[str, str]) -> None:
    """Adds a program, after the others that it imports."""
    text = source(program)
    for other in re.findall(r"(?m)^from \.(\w+) import ", text):
        if other not in sources:
            collect(other, sources)
    sources[program] = text


def source(program: str) -> str:
    """The text of a program, also where this module is in an archive."""
    name = f"{__name__.rpartition('.')[0]}.{program}"
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name) if spec and spec.loader else None  # type: ignore[attr-defined]
    if text is None:
        raise FileNotFoundError(f"The program {name} is missing")
    return text.decode() if isinstance(text, bytes) else str(text)  # Ansible's own loader has bytes
