# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How times, sizes and revisions are written."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any


def iso(seconds: int | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def epoch(text: str | None) -> int | None:
    """Seconds of a time in ISO 8601, whatever it says about fractions; always in UTC."""
    try:
        return calendar.timegm(time.strptime((text or "")[:19].replace(" ", "T"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def outcome(schedule: Mapping[str, Any]) -> str:
    """How the last run of a schedule ended."""
    if schedule["result"] == "exit-code":
        return f"exit status {schedule['status']}"
    if schedule["result"] in ("signal", "core-dump"):
        return f"signal {schedule['status']}"
    return str(schedule["result"] or "unknown")


def at(seconds: int) -> str:
    """A time as it stands in a sentence."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def brief(text: str) -> str:
    """What went wrong in one line: the first, and the last where the first only announces it."""
    lines = text.strip().splitlines() or [""]
    return f"{lines[0]} {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]


def short(revision: str) -> str:
    """A commit or a digest as one says it; other revisions as they are."""
    text = revision.removeprefix("sha256:")
    return text[:9] if len(text) >= 40 and all(digit in "0123456789abcdef" for digit in text) else text


def size(count: float | None) -> str:
    """Bytes in the unit that reads best."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB" if count < 1024 else f"{count / 1024:.1f} TiB"


def ago(seconds: int | None) -> str:
    """A span of time in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{max(0, seconds)} s"
    units = (("d", 86400), ("h", 3600), ("min", 60))
    for index, (unit, length) in enumerate(units):
        if seconds >= length:
            parts = [f"{seconds // length} {unit}"]
            if index + 1 < len(units) and seconds < 100 * length:
                smaller, rest = units[index + 1][0], seconds % length // units[index + 1][1]
                if rest:
                    parts.append(f"{rest} {smaller}")
            return " ".join(parts)
    return "-"
