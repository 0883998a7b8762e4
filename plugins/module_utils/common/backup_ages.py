# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether backups and restore drills are as recent as their schedules promise."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Mapping
from typing import Any

HOUR = 3600
KINDS = {"backup": "backup", "full": "full backup", "drill": "restore drill"}


def limit(*schedules: Iterable[int]) -> int | None:
    """How many seconds old the last successful run may be, from the coming times of one or more schedules together.

    It is the longest time between two runs, and a quarter of it for the run itself: an hour at least, and six at
    most. That makes 30 hours of a nightly schedule, 7 days and 6 hours of a weekly one, and over the weekend three days
    and 6 hours of one that leaves it out. Nothing is known of a schedule that does not come twice.
    """
    known = [sorted(times) for times in schedules]
    if not known or any(len(times) < 2 for times in known):
        return None
    end = min(times[-1] for times in known)  # each is known for another span of time
    coming = sorted({time for times in known for time in times if time <= end})
    gap = max((later - earlier for earlier, later in zip(coming, coming[1:])), default=0)
    return gap + min(max(gap // 4, HOUR), 6 * HOUR)


def brief(message: str) -> str:
    """The first line of a message; where that only introduces what a program has printed, its last line, too."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[-1]}"
    return lines[0] if lines else ""


def judged(
    state: Mapping[str, Any], limits: Mapping[str, int | None], since: int, now: float | None = None
) -> dict[str, dict[str, Any]]:
    """For each kind of run that ``limits`` names: when the last success was, whether it is late, and its problem.

    ``state`` is what ``backup_state`` keeps of an app or of the archive, ``since`` when they were switched on: until
    the first is due, none is late. ``problem`` is empty where all is well.
    """
    now = time.time() if now is None else now
    found = {}
    for kind, most in limits.items():
        entry = state.get(kind) or {}
        good, last = entry.get("good"), entry.get("last")
        age = max(0, int(now - seconds_of(good["time"]))) if good else None
        waited = max(0, int(now - since)) if age is None else age
        late = most is not None and waited > most
        problem = ""
        if last and not last["ok"]:
            problem = f"the last {KINDS[kind]} failed ({last['time']}): {brief(last['message'])}"
        elif late and age is None:
            problem = f"there has been no {KINDS[kind]} yet, {span(waited)} after it was switched on"
        elif late:
            problem = f"the last successful {KINDS[kind]} is {span(waited)} old"
        if late and most is not None:
            allowed = f"its schedule allows {span(most)}"
            problem += (
                f", and none has succeeded for {span(waited)}; {allowed}"
                if last and not last["ok"]
                else f"; {allowed}"
            )
        found[kind] = {
            "time": good["time"] if good else None,
            "age_seconds": age,
            "limit_seconds": most,
            "seconds": (good or {}).get("seconds"),
            "late": late,
            "failed": bool(last and not last["ok"]),
            "problem": problem,
        }
    return found


def span(seconds: int) -> str:
    """A length of time in its two largest units."""
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if seconds >= length:
            rest = seconds % length // part
            return f"{seconds // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds // 60} min"


FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def stamp(seconds: float | None = None) -> str:
    return time.strftime(FORMAT, time.gmtime(seconds))


def seconds_of(text: str) -> float:
    return calendar.timegm(time.strptime(text, FORMAT))
