# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""For status: what a host knows of its backups, of their drills and of PostgreSQL's archive, and what is wrong there.

The repositories themselves are not asked: that is what drills are for.
"""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import limit
from ansible_collections.homeport.django.plugins.module_utils.common.paths import ARCHIVE, BACKUP
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Run

TIMERS = {"backup": ("homeport-backup.timer",), "drill": ("homeport-drill.timer",)}
ARCHIVE_TIMERS = {
    # a full backup is a backup, too
    "backup": ("homeport-archive-incremental.timer", "homeport-archive-full.timer"),
    "full": ("homeport-archive-full.timer",),
    "drill": ("homeport-archive-drill.timer",),
}
LATELY = 100  # times since three days ago
COMING = 400  # times of a schedule that are looked at: more than a year of a nightly one
LONGEST_WAIT = 120  # seconds that a segment of the log may wait for the archive in any case
# What was written and is not in the archive yet waits as a file that ends with .ready.
WAL = """
select json_build_object(
  'archived', extract(epoch from s.last_archived_time)::bigint,
  'failing', coalesce(s.last_failed_time > coalesce(s.last_archived_time, '-infinity'), false),
  'waiting', (select count(*) from pg_ls_archive_statusdir() where name like '%.ready'),
  'waiting_since', (select extract(epoch from min(modification))::bigint from pg_ls_archive_statusdir()
                    where name like '%.ready'),
  'timeout', (select setting::int from pg_settings where name = 'archive_timeout'),
  'mode', current_setting('archive_mode'),
  'system', (select system_identifier::text from pg_control_system())
) from pg_stat_archiver s;
"""


def backups(run: Run, names: Iterable[str], path: str = f"{BACKUP}/config.json") -> dict[str, Any] | None:
    """The backups of the apps, where this host makes them; nothing of an app that is not among them."""
    config = loaded(path)
    if config is None:
        return None
    known = {spec["name"] for spec in config["apps"]}
    return {
        **timers(run, TIMERS),
        "since": int(os.stat(path).st_mtime),
        "apps": {name: backup_state.read(name) for name in names if name in known},
        "all": backup_state.read(backup_state.ALL),
        "same_disk": on_same_disk(str(config.get("repository", ""))),
    }


def archive(run: Run, path: str = ARCHIVE) -> dict[str, Any] | None:
    """PostgreSQL's continuous archive, where this host has one."""
    config = loaded(path)
    if config is None:
        return None
    return {
        **timers(run, ARCHIVE_TIMERS),
        "since": int(os.stat(path).st_mtime),
        "state": backup_state.read(backup_state.ARCHIVE),
        "wal": wal(),
        "same_disk": on_same_disk(str(config.get("repository", "")), "/var/lib/postgresql"),
    }


def on_same_disk(repository: str, data: str = "/srv") -> bool:
    """Whether a repository is a folder on the very disk that it has copies of."""
    if repository.startswith("/"):
        with contextlib.suppress(OSError):
            return os.stat(repository).st_dev == os.stat(data).st_dev
    return False


def loaded(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
    except (OSError, ValueError):
        return None
    return found


def wal() -> dict[str, Any] | None:
    """How far the archive is behind; nothing where PostgreSQL does not answer."""
    with contextlib.suppress(DeployError, ValueError):
        found: dict[str, Any] = json.loads(Cluster().ask(WAL, seconds=5))
        return {"limit": max(2 * found.pop("timeout"), LONGEST_WAIT), **found}
    return None


def timers(run: Run, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The timers that do not run, and how old what each kind of them has made may be."""
    units = sorted({unit for names in wanted.values() for unit in names})
    environment = ["env", "TZ=UTC", "LC_ALL=C"]
    _status, out = run(
        [*environment, "systemctl", "show", "--property=Id,ActiveState,TimersCalendar", *units]
    )
    calendars: dict[str, list[str]] = {}
    stopped = set(units)
    for block in out.split("\n\n"):
        unit = re.search(r"^Id=(.+)$", block, re.MULTILINE)
        if unit and unit[1] in units:
            calendars[unit[1]] = re.findall(r"OnCalendar=(.+?) ;", block)
            if re.search(r"^ActiveState=active$", block, re.MULTILINE):
                stopped.discard(unit[1])
    words = [calendar for unit in units for calendar in calendars.get(unit, [])]

    def times(zone: list[str], *options: str) -> dict[str, list[list[int]]]:
        found = elapses(run([*zone, "systemd-analyze", "calendar", *options, *words])[1]) if words else []
        rest = iter(found if len(found) == len(words) else [[] for _word in words])
        return {unit: [next(rest) for _word in calendars.get(unit, [])] or [[]] for unit in units}

    now = int(time.time())
    # In UTC no hour is left out. In the host's own zone, the night without it allows one longer gap, while it lasts.
    coming = times(environment, f"--iterations={COMING}")
    lately = times(["env", "LC_ALL=C"], f"--iterations={LATELY}", f"--base-time=@{now - 3 * 86400}")
    limits = {}
    for kind, names in wanted.items():
        most = limit(*(found for unit in names for found in coming[unit]))
        recent = limit(until_next((found for unit in names for found in lately[unit]), now))
        limits[kind] = most if most is None or recent is None else max(most, recent)
    return {"stopped": sorted(stopped), "limits": limits}


def until_next(schedules: Iterable[list[int]], now: int) -> list[int]:
    """The times of some schedules together that have passed, and the next one."""
    all_times = sorted({one for times in schedules for one in times})
    return [
        *(one for one in all_times if one <= now),
        *[one for one in all_times if one > now][:1],
    ]


def elapses(text: str) -> list[list[int]]:
    """The times that ``systemd-analyze calendar`` prints, by calendar. In another zone it adds each in UTC."""
    line = r"^ *(?:Next elapse|Iter\S* #\d+|\(in UTC\)): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$"
    blocks = [block for block in text.split("\n\n") if "Normalized form:" in block]
    return [
        [
            calendar.timegm(time.strptime(found, "%Y-%m-%d %H:%M:%S"))
            for found in re.findall(line, block, re.MULTILINE)
        ]
        for block in blocks
    ]
