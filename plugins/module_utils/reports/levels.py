# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The levels of status and audit."""

from __future__ import annotations

from collections.abc import Iterable

Problem = dict[str, str]  # level and text; of an audit also what to do
LEVELS = ("ok", "warning", "failure")


def worst(levels: Iterable[str]) -> str:
    return max(levels, key=LEVELS.index, default="ok")


def failure(text: str) -> Problem:
    return {"level": "failure", "text": text}


def warning(text: str) -> Problem:
    return {"level": "warning", "text": text}
