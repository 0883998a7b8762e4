# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is wrong with an app's or a host's backups, drills and archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import (
    brief,
    judged,
    seconds_of,
    span,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import failure, warning


def shown(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("time", "age_seconds", "limit_seconds", "seconds", "late", "failed")}


def of_app(
    name: str,
    spec: Mapping[str, Any] | None,
    on: Mapping[str, Mapping[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> tuple[dict[str, Any] | None, list[dict[str, str]]]:
    """The last successful backup and drill of an app, and their problems."""
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
    return [warning(text)]


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
        if (part or {}).get("same_disk"):
            text = f"{what} on the host's own disk, and lost with it: name another host in {name}_repository"
            problems.append(warning(text))
    for kind, word in (("backup", "night's"), ("drill", "drill's")):
        last = ((made or {}).get("all", {}).get(kind) or {}).get("last")
        if last and not last["ok"]:
            message = f"failed ({last['time']}): {brief(last['message'])}"
            problems.append(failure(f"the {word} check of the backup repository {message}"))
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
    """Whether the last successful base backup is that of another cluster, as it is after an upgrade.

    A system identifier begins with the second in which its cluster was made: one that is not written down is none of a
    cluster that came later.
    """
    newest = (state.get("full") or {}).get("good")
    if not newest:
        return False  # that is a problem of its own as soon as one is due
    if newest.get("system"):
        return bool(newest["system"] != system)
    return seconds_of(newest["time"]) < int(system) >> 32


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
