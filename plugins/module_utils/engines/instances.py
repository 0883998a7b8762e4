# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users declare of instances of a cache or broker, whatever the engine: defaults and checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Instance = dict[str, Any]
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# MiB; an empty Redis counts one to itself
DEFAULT_MEMORY = 64
LEAST_MEMORY = 8


class InstancesError(ValueError):
    """Invalid instances: ``path: message`` strings that quote no secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(f"- {line}" for line in problems))
        self.problems = problems


def where(given: Mapping[str, Any], number: int) -> str:
    return str(given.get("name") or f"[{number}]")


def names_taken(declared: list[Any]) -> list[str]:
    names = [given.get("name") for given in declared]
    return [
        f"{name}: declared {names.count(name)} times; each instance needs a name of its own"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def check_name(path: str, given: Mapping[str, Any]) -> list[str]:
    if NAME.fullmatch(str(given.get("name") or "")):
        return []
    return [f"{path}.name: must be small letters, digits, - and _, a letter first, 63 at most"]


def whole(value: Any) -> int | None:
    """A number, also as the text that a template makes of it."""
    return int(value) if re.fullmatch(r"\d{1,9}", str(value)) else None


def check_memory(path: str, given: Mapping[str, Any]) -> list[str]:
    memory = whole(given.get("memory", DEFAULT_MEMORY))
    if memory is not None and memory >= LEAST_MEMORY:
        return []
    return [f"{path}.memory: must be a number of MiB, {LEAST_MEMORY} or more"]
