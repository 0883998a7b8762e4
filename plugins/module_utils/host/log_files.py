# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The ends of an app's log files, and how they are shown."""

from __future__ import annotations

import calendar
import contextlib
import glob
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.homeport.django.plugins.module_utils.host.transcript import newest

BLOCK = 1 << 16
MOST_BYTES = 8 << 20  # of one log that are looked at
MOST_BACKUPS = 5  # as many as supervisord keeps
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TIME = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?: ?(Z|UTC|[+-]\d\d:?\d\d)(?![\d:]))?"
)
# As gunicorn logs requests.
REQUEST_TIME = re.compile(r"\[(\d\d)/(\w{3})/(\d{4}):(\d\d:\d\d:\d\d) ([+-]\d{4})\]")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAD = 64  # characters of a line in which its time is looked for


@dataclass(frozen=True)
class Log:
    """One log: ``source`` is what the user calls it, ``title`` tells several of one source apart."""

    source: str
    title: str
    path: str


def logs_of(
    app: str, folder: str, processes: list[str], schedules: list[str], nginx: str = "/var/log/nginx"
) -> list[Log]:
    """The logs of an app that are there, in the order in which they are shown."""
    found = []
    for name in processes:
        paths = [path for path in glob.glob(f"{folder}/{name}-*.log") if number(path, name) is not None]
        for path in sorted(paths, key=lambda path: number(path, name) or 0):
            found.append(Log(name, f"{name} {number(path, name)}", path))
    found += [Log(name, name, f"{folder}/{name}.log") for name in schedules]
    found += [Log("build", "build", path) for path in newest(folder)]
    found += [Log("nginx", f"nginx {kind}", f"{nginx}/{app}.{kind}.log") for kind in ("access", "error")]
    return [log for log in found if os.path.isfile(log.path)]


def number(path: str, name: str) -> int | None:
    """Which of the processes of this name writes to a file."""
    found = re.fullmatch(re.escape(name) + r"-(\d+)\.log", os.path.basename(path))
    return int(found[1]) if found else None


def last_lines(path: str, count: int) -> list[str]:
    """The last lines of a log, and of its backups where it has fewer."""
    lines: list[str] = []
    budget = MOST_BYTES
    for name in (path, *(f"{path}.{backup}" for backup in range(1, MOST_BACKUPS + 1))):
        if len(lines) >= count or budget <= 0:
            break
        try:
            text = end_of(name, count - len(lines), budget)
        except OSError:
            break
        budget -= len(text)
        lines = text.decode(errors="replace").splitlines()[-(count - len(lines)) :] + lines
    return lines


def end_of(path: str, lines: int, most: int) -> bytes:
    """So much of the end of a file that it holds as many whole lines."""
    text = b""
    with open(path, "rb") as stream:
        position = stream.seek(0, os.SEEK_END)
        while position and text.count(b"\n") <= lines and len(text) < most:
            step = min(BLOCK, position)
            position -= step
            stream.seek(position)
            text = stream.read(step) + text
    return text


def since_when(text: str, now: float) -> float:
    """The timestamp that a user names: so long ago (``90m``, ``2h``, ``3d``), or a date, with or without a time."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found:
        return now - int(found[1]) * UNITS[found[2]]
    timestamp = time_of(f"{text} 00:00:00" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text)
    timestamp = time_of(f"{text}:00") if timestamp is None else timestamp
    if timestamp is None:
        raise ValueError("must be a span such as 30m, 2h or 3d, or a time such as '2026-11-24 06:30'")
    return timestamp


def time_of(line: str, project: str = "") -> float | None:
    """When a line was written, if it says.

    A time without an offset is in the project's TIME_ZONE, which Django sets for its process; else the host's own.
    """
    head = line[: HEAD + 40]
    request = REQUEST_TIME.search(head)
    if request and request[2] in MONTHS:
        day, month, year, clock, zone = request.groups()
        head = f"{year}-{MONTHS.index(month) + 1:02}-{day} {clock} {zone}"
    found = TIME.search(head)
    if not found or found.start() > HEAD:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    zone = found[7]
    try:
        if zone is None and project:
            with contextlib.suppress(OSError, ValueError, ZoneInfoNotFoundError):
                return datetime(year, month, day, hour, minute, second, tzinfo=ZoneInfo(project)).timestamp()
        if zone is None:
            return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
        timestamp = calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))
    except (ValueError, OverflowError):
        return None
    if zone in ("Z", "UTC"):
        return timestamp
    sign = -1 if zone[0] == "-" else 1
    return timestamp - sign * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)


def newer(lines: list[str], since: float, written: float, project: str = "") -> list[str]:
    """The lines since then. One without a time belongs to the line before it; where none has a time, all
    count as written when the file was."""
    times = [time_of(line, project) for line in lines]
    if all(timestamp is None for timestamp in times):
        return lines if written >= since else []
    for index, timestamp in enumerate(times):
        if timestamp is not None and timestamp >= since:
            return lines[index:]
    return []
