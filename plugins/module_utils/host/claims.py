# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a process of an app says of itself: a claim, of a known form and size, and nothing that decides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

LONGEST = 8000  # characters of a text
MOST = 100_000  # entries of a list or a dictionary
LARGEST = 2**63  # of a number


def answer(printed: str, mark: str, form: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The answer behind the last ``mark`` in what a command has printed.

    ``form`` has for each key a type, or a list or dictionary of one; a key that may be missing begins with ``?``. Keys
    that it does not name are left out.
    """
    lines = [line for line in printed.splitlines() if line.startswith(mark)]
    if not lines:
        raise DeployError(f"{what}: the project's Python exited before it could answer")
    try:
        found = json.loads(lines[-1][len(mark) :])
    except (ValueError, RecursionError):
        found = None
    return checked(found, form, f"{what}: the project's answer")


def checked(found: Any, form: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``found`` in its ``form``; raises when it has another one."""
    if not isinstance(found, dict):
        raise DeployError(f"{what} is invalid")
    result = {}
    for key, kind in form.items():
        name = key.lstrip("?")
        if name not in found and key.startswith("?"):
            continue
        if not fits(found.get(name), kind):
            raise DeployError(f"{what} has an invalid {name}")
        result[name] = found[name]
    return result


def fits(value: Any, kind: Any) -> bool:
    """Whether ``value`` is of a kind: a type, ``[kind]`` or ``{str: kind}``."""
    if isinstance(kind, list):
        return isinstance(value, list) and len(value) <= MOST and all(fits(entry, kind[0]) for entry in value)
    if isinstance(kind, dict):
        entries = value.items() if isinstance(value, dict) and len(value) <= MOST else [(None, None)]
        return all(fits(key, str) and fits(entry, kind[str]) for key, entry in entries)
    if kind is str:
        return isinstance(value, str) and len(value) <= LONGEST and "\0" not in value
    if kind is int:
        return type(value) is int and 0 <= value < LARGEST
    return type(value) is kind
