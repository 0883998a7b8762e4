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
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils import backup_state
from ansible_collections.homeport.django.plugins.module_utils.backup_ages import brief, judged, limit, span
from ansible_collections.homeport.django.plugins.module_utils.backup_state import seconds_of
from ansible_collections.homeport.django.plugins.module_utils.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.release_layout import DeployError

Run = Callable[[list[str]], tuple[int, str]]

BACKUPS = "/etc/homeport/backup/config.json"
ARCHIVE = "/etc/homeport/archive.json"
ALL = "@all"  # the repository as a whole
CLUSTER = "@archive"
TIMERS = {"backup": ("homeport-backup.timer",), "drill": ("homeport-drill.timer",)}
ARCHIVE_TIMERS = {
    # a full backup is a backup, too
    "backup": ("homeport-archive-incremental.timer", "homeport-archive-full.timer"),
    "full": ("homeport-archive-full.timer",),
    "drill": ("homeport-archive-drill.timer",),
}
LATELY = 100  # times since three days ago
COMING = 400  # times of a schedule that are looked at: more than a year of a nightly one
PATIENCE = 120  # seconds that a segment of the log may wait for the archive in any case
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


def backups(run: Run, names: Iterable[str], path: str = BACKUPS) -> dict[str, Any] | None:
    """The backups of the apps, where this host makes them; nothing of an app that is not among them."""
    config = loaded(path)
    if config is None:
        return None
    known = {spec["name"] for spec in config["apps"]}
    return {
        **timers(run, TIMERS),
        "since": int(os.stat(path).st_mtime),
        "apps": {name: backup_state.read(name) for name in names if name in known},
        "all": backup_state.read(ALL),
        "beside": beside(str(config.get("repository", ""))),
    }


def archive(run: Run, path: str = ARCHIVE) -> dict[str, Any] | None:
    """PostgreSQL's continuous archive, where this host has one."""
    config = loaded(path)
    if config is None:
        return None
    return {
        **timers(run, ARCHIVE_TIMERS),
        "since": int(os.stat(path).st_mtime),
        "state": backup_state.read(CLUSTER),
        "wal": wal(),
        "beside": beside(str(config.get("repository", "")), "/var/lib/postgresql"),
    }


def beside(repository: str, data: str = "/srv") -> bool:
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
        return {"limit": max(2 * found.pop("timeout"), PATIENCE), **found}
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
    moments = sorted({moment for times in schedules for moment in times})
    return [
        *(moment for moment in moments if moment <= now),
        *[moment for moment in moments if moment > now][:1],
    ]


def elapses(text: str) -> list[list[int]]:
    """The times that ``systemd-analyze calendar`` tells of, by calendar. In another zone it adds each in UTC."""
    line = r"^ *(?:Next elapse|Iter\S* #\d+|\(in UTC\)): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$"
    blocks = [block for block in text.split("\n\n") if "Normalized form:" in block]
    return [
        [
            calendar.timegm(time.strptime(found, "%Y-%m-%d %H:%M:%S"))
            for found in re.findall(line, block, re.MULTILINE)
        ]
        for block in blocks
    ]


# On the controller


def failure(text: str) -> dict[str, str]:
    return {"level": "failure", "text": text}


def shown(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("time", "age_seconds", "limit_seconds", "seconds", "late", "failed")}


def of_app(
    name: str,
    spec: Mapping[str, Any] | None,
    on: Mapping[str, Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The last good backup and the last good drill of an app, and what is wrong with them."""
    app_hosts = groups.get("app_servers", [])
    known = {host: results.get(host, {}).get("status") or {} for host in app_hosts}
    host = next((host for host in app_hosts if known[host].get("backups")), "")
    if not spec or not any(here["release"] for here in on.values()):
        return None, []
    if not host:
        return None, missing(spec, on, results, groups) if all(known.values()) else []
    made = known[host]["backups"]
    if name not in made["apps"]:
        return None, [failure(f"is not among the apps that {host} backs up: run the setup playbook")]
    found = judged(made["apps"][name], made["limits"], made["since"], known[host]["time"])
    problems = [failure(entry["problem"]) for entry in found.values() if entry["problem"]]
    return {"host": host, **{kind: shown(entry) for kind, entry in found.items()}}, problems


def missing(
    spec: Mapping[str, Any],
    on: Mapping[str, Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> list[dict[str, str]]:
    """That an app has something to lose, and nobody has said that it is to be backed up."""
    engine, managed = spec["database"]["engine"], spec["database"]["managed"]
    archived = (
        engine == "postgres"
        and managed
        and any(
            (results.get(host, {}).get("status") or {}).get("archive")
            for host in groups.get("database_servers", [])
        )
    )
    lost = ["database"] if engine not in ("", "none") and not archived else []
    media = [here["disk"]["media"] for here in on.values() if here["disk"] and here["disk"]["media"]]
    lost += ["media"] if any(entry["bytes"] for entry in media) else []
    if not lost:
        return []
    what = " and ".join(f"its {part}" for part in lost)
    text = f"nothing backs up {what}: set backup_repository, and run the setup playbook"
    return [{"level": "warning", "text": text}]


def of_host(status: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The archive of a host, and what is wrong with it and with what concerns all of the host's backups."""
    problems = []
    made, kept = status.get("backups"), status.get("archive")
    stopped = [unit for part in (made, kept) if part for unit in part["stopped"]]
    problems += [failure(f"{unit} is not active: run the setup playbook") for unit in stopped]
    for part, what, name in (
        (made, "the backups are", "backup"),
        (kept, "PostgreSQL's archive is", "pgbackrest"),
    ):
        if (part or {}).get("beside"):
            text = f"{what} on the host's own disk, and lost with it: name another host in {name}_repository"
            problems.append({"level": "warning", "text": text})
    for kind, word in (("backup", "night's"), ("drill", "drill's")):
        last = ((made or {}).get("all", {}).get(kind) or {}).get("last")
        if last and not last["ok"]:
            told = f"failed ({last['time']}): {brief(last['message'])}"
            problems.append(failure(f"the {word} check of the backup repository {told}"))
    if not kept:
        return None, problems
    found = judged(kept["state"], kept["limits"], kept["since"], status["time"])
    if kept["wal"] and is_foreign(kept["state"], kept["wal"]["system"]):
        text = "no base backup of the running cluster yet (systemctl start homeport-archive-full)"
        problems.append(failure(f"PostgreSQL's archive: {text}"))
    problems += [
        failure(f"PostgreSQL's archive: {entry['problem']}") for entry in found.values() if entry["problem"]
    ]
    behind = None
    if kept["wal"]:
        behind, more = of_wal(kept["wal"], status["time"])
        problems += more
    return {"wal": behind, **{kind: shown(entry) for kind, entry in found.items()}}, problems


def is_foreign(state: Mapping[str, Any], system: str) -> bool:
    """Whether the last good base backup is that of another cluster, as it is after an upgrade.

    A system identifier begins with the second in which its cluster was made: one that is not written down is none of a
    cluster that came later.
    """
    good = (state.get("full") or {}).get("good")
    if not good:
        return False  # that is a problem of its own as soon as one is due
    if good.get("system"):
        return bool(good["system"] != system)
    return seconds_of(good["time"]) < int(system) >> 32


def of_wal(wal: Mapping[str, Any], now: int) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """How old the newest segment in the archive is, and for how long the oldest one waits that is not there."""
    waits = max(0, now - wal["waiting_since"]) if wal["waiting_since"] else 0
    late = waits > wal["limit"]
    problems = []
    if wal["mode"] == "off":
        problems.append(failure("PostgreSQL's archive: archive_mode is off: run the setup playbook"))
    elif late:
        why = ", and the last try failed" if wal["failing"] else ""
        text = f"what was written {span(waits)} ago is not there yet ({wal['waiting']} segments wait{why})"
        problems.append(failure(f"PostgreSQL's archive: {text}"))
    entry = {
        "age_seconds": max(0, now - wal["archived"]) if wal["archived"] else None,
        "waiting": wal["waiting"],
        "waiting_seconds": waits,
        "limit_seconds": wal["limit"],
        "late": late,
    }
    return entry, problems
