# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app on a host: its release, lock, deploys, schedules and folders."""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import glob
import itertools
import json
import os
import stat
import time
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.host.closed import closed_by, flag_of
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    Layout,
    entries,
    interpreter,
    is_gone,
    is_orphaned,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import (
    Places,
    changed,
    read,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.processes import (
    Process,
    memory,
    processes,
)

TAIL = 1 << 16  # bytes of a record of deploys that are looked at


def bare(name: str, places: Places) -> dict[str, Any]:
    """As much as is known of an app that is not declared."""
    home = f"{places.apps}/{name}"
    return {
        "name": name,
        "user": name,
        "home": home,
        "processes": {},
        "schedules": {},
        "media": f"{home}/shared/media",
        "database": {"engine": "none", "name": ""},
    }


def describe(
    spec: dict[str, Any],
    declared: bool,
    supervised_processes: dict[str, dict[str, Any]] | None,
    units: dict[str, dict[str, str]],
    table: dict[int, Process],
    places: Places,
    history: int,
) -> dict[str, Any]:
    """What is known of an app without a request to it."""
    layout = Layout(spec)
    mine: list[int] = []
    with contextlib.suppress(KeyError):
        uid = layout.ids()[0]
        mine = [pid for pid, entry in table.items() if entry.uid == uid]
    return {
        "declared": declared,
        "try": spec.get("try", ""),
        "release": release(layout),
        "previous": os.path.basename(layout.resolve_link(f"{layout.home}/previous") or ""),
        "health": None,
        "visit": "",
        "processes": processes(spec, supervised_processes, table, places.proc)
        if supervised_processes is not None
        else None,
        "schedules": [
            schedule(unit[len(layout.name) + 1 : -len(".timer")], unit, spec, units)
            for unit in timers(layout.name, spec, places)
            if unit.endswith(".timer")
        ],
        "memory": memory(mine, table, places.proc),
        "lock": lock(f"{layout.home}/deploy.lock"),
        "maintenance": changed(flag_of(layout.home)),
        "closed_by": closed_by(layout.home),
        "deploys": deploys(f"{places.deploys}/{layout.name}.jsonl", history),
    }


def unknown(spec: dict[str, Any], declared: bool, why: str) -> dict[str, Any]:
    """An app that cannot be looked at."""
    release = os.path.basename(Layout(spec).current or "")
    blank = {"revision": "", "built": "", "since": None, "django": "", "python": "", "interpreter": ""}
    return {
        **dict.fromkeys(("processes", "lock", "maintenance", "closed_by", "certificate")),
        "declared": declared,
        "try": spec.get("try", ""),
        "release": {"id": release, **blank, "interpreter_missing": False, "interpreter_orphaned": False}
        if release
        else None,
        "previous": "",
        "health": {
            "ok": False,
            "status": None,
            "milliseconds": None,
            "error": f"cannot be inspected: {why}",
            "path": "",
        },
        "visit": "",
        "schedules": [],
        "memory": {"bytes": 0, "kind": "pss"},
        "disk": {"releases": {"bytes": 0, "complete": False, "count": 0}, "media": None, "database": None},
        "deploys": [],
    }


def release(layout: Layout) -> dict[str, Any] | None:
    """The live release; since when it is live is when the link was made."""
    folder = layout.current
    if not folder:
        return None
    record = layout.record(folder)
    program = str(record.get("interpreter", ""))
    return {
        "id": os.path.basename(folder),
        "revision": printable_revision(record.get("revision", "")),
        "built": str(record.get("built", "")),
        "since": changed(f"{layout.home}/current"),
        "django": str(record.get("django", "")),
        "python": str(record.get("python", "")),
        "interpreter": program if program.startswith("/") else "",
        "interpreter_missing": is_gone(program),
        "interpreter_orphaned": os.path.exists(program)
        and program != interpreter("")
        and is_orphaned(program),
    }


def printable_revision(revision: Any) -> str:
    """A revision as it may be shown: the address of an archive can hold a password or a token."""
    text = str(revision or "")
    if not text.startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def lock(path: str) -> dict[str, str] | None:
    """Who is deploying, if anybody is."""
    found = record(path)
    # a step that ends says no more what it does: where one does, and nobody has the lock, it was killed
    if found and found.get("doing") and nobody_has(path):
        found = record(path)  # unless it has ended meanwhile
        if found and found.get("doing"):
            return None
    if not found:
        return None
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found["started"]))
    return {**{key: str(found.get(key, "")) for key in ("holder", "run", "doing")}, "since": since}


def record(path: str) -> dict[str, Any] | None:
    """What a lock's file says."""
    try:
        found = json.loads(read(path).partition("\n")[0])
    except ValueError:
        return None  # nobody has it, or the step died while it wrote
    return found if isinstance(found, dict) and isinstance(found.get("started"), (int, float)) else None


def nobody_has(path: str) -> bool:
    """Whether a lock is free; it is had for no longer than that takes to tell."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


DEPLOY = ("time", "verb", "outcome", "release", "before", "by", "message")


def deploys(path: str, count: int) -> list[dict[str, Any]]:
    """The last deploys, newest first. A line that was torn by a crash is left out."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and len(found) < count:
            seconds = entry.get("seconds")
            migrations = entry.get("migrations")
            found.append(
                {
                    **{key: str(entry.get(key) or "") for key in DEPLOY},
                    "revision": printable_revision(entry.get("revision")),
                    "seconds": round(float(seconds), 1) if isinstance(seconds, (int, float)) else None,
                    "migrations": [str(name) for name in migrations] if isinstance(migrations, list) else [],
                }
            )
    return found


def timers(name: str, spec: dict[str, Any] | None, places: Places) -> list[str]:
    """The timers of an app's schedules, and what they start."""
    there = [os.path.basename(path) for path in glob.glob(f"{places.units}/{name}.*.timer")]
    declared = [f"{name}.{schedule}.timer" for schedule in (spec or {}).get("schedules", {})]
    found = list(dict.fromkeys([*declared, *sorted(there)]))
    return [unit for timer in found for unit in (timer, f"{timer[: -len('.timer')]}.service")]


def schedule(name: str, timer: str, spec: dict[str, Any], units: dict[str, dict[str, str]]) -> dict[str, Any]:
    """When a schedule ran, how that ended, and when it is next."""
    clock = units.get(timer, {})
    service = units.get(f"{timer[: -len('.timer')]}.service", {})
    started = timestamp(service.get("ExecMainStartTimestamp", ""))
    state = service.get("ActiveState", "")
    result = ""
    if state in ("active", "activating", "deactivating", "reloading"):
        result = "running"
    elif started or state == "failed":
        result = service.get("Result", "")
    status = service.get("ExecMainStatus", "")
    return {
        "name": name,
        "calendar": spec["schedules"].get(name, ""),
        "active": clock.get("ActiveState") == "active",
        "last": started or timestamp(clock.get("LastTriggerUSec", "")),
        "result": result,
        "status": int(status) if status.isdigit() else 0,
        "ended": None if result == "running" else timestamp(service.get("ExecMainExitTimestamp", "")),
        "next": timestamp(clock.get("NextElapseUSecRealtime", "")),
    }


def timestamp(text: str) -> int | None:
    """Seconds since the epoch of what systemctl prints in UTC."""
    try:
        return calendar.timegm(time.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC"))
    except ValueError:
        return None


def sizes(spec: dict[str, Any], end: float) -> dict[str, Any]:
    """What the app keeps on the disk."""
    layout = Layout(spec)
    result: dict[str, Any] = {
        "releases": {**measure(layout.releases, end), "count": len(layout.known_releases())},
        "media": measure(spec["media"], end) if spec["media"] else None,
        "database": None,
    }
    for database in [spec["database"], *spec.get("databases", {}).values()]:
        if database["engine"] == "sqlite":
            with contextlib.suppress(OSError):
                result["database"] = (result["database"] or 0) + os.lstat(database["name"]).st_size
    return result


def measure(folder: str, end: float) -> dict[str, Any]:
    """Bytes on the disk below a folder, each file once however many names it has; until the time is up."""
    total, seen = 0, set()
    with contextlib.suppress(FileNotFoundError):
        for found in itertools.islice(entries(folder, end), 1, None):
            if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1 or found.st_ino not in seen:
                total += found.st_blocks * 512
                if found.st_nlink > 1:
                    seen.add(found.st_ino)
    return {"bytes": total, "complete": time.monotonic() < end}
