# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The levels of status and audit."""

from __future__ import annotations

from collections.abc import Iterable

LEVELS = ("ok", "warning", "failure")


def worst(levels: Iterable[str]) -> str:
    return max(levels, key=LEVELS.index, default="ok")


def failure(text: str) -> dict[str, str]:
    return {"level": "failure", "text": text}


def warning(text: str) -> dict[str, str]:
    return {"level": "warning", "text": text}
