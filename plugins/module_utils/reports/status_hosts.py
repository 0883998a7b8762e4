# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of status of a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.parts import FIREWALL, sentence
from ansible_collections.homeport.django.plugins.module_utils.reports import backups
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import size
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import (
    Problem,
    failure,
    warning,
    worst,
)

LITTLE_DISK, NO_DISK = 0.10, 0.02  # shares of a disk that are free
LITTLE_MEMORY = 0.05
APP_GROUPS = ("app_servers", "worker_servers")  # the first serve visitors
SERVED = {"cache": "cache_servers", "broker": "broker_servers"}  # what apps use, and the group that runs it


def has_apps(member_of: Iterable[str]) -> bool:
    return bool({*APP_GROUPS}.intersection(member_of))


def needed_services(specs: list[dict[str, Any]], member_of: Iterable[str]) -> list[str]:
    """The services without which a host does not do what it is there for."""
    runs_apps, runs_databases = has_apps(member_of), "database_servers" in member_of
    needed = [
        spec[service]["unit"]
        for service, group in SERVED.items()
        for spec in specs
        if group in member_of and spec[service]["managed"]
    ]
    if "app_servers" in member_of and any(spec["proxied"] for spec in specs):
        needed.append("nginx")
    if runs_databases and any(
        spec["database"]["engine"] == "postgres" and spec["database"]["managed"] for spec in specs
    ):
        needed.append("postgresql")
    if runs_apps and specs:
        needed.append("supervisor")
    return list(dict.fromkeys(needed))


def one_host(
    name: str, result: Mapping[str, Any], needed: list[str], setup: str, member_of: list[str]
) -> dict[str, Any]:
    status = result.get("status")
    entry: dict[str, Any] = {
        "reachable": not result.get("unreachable"),
        "groups": member_of,
        "name": "",
        "system": "",
        "setup": "",
        "uptime_seconds": None,
        "load": [],
        "cores": None,
        "memory": None,
        "disks": [],
        "services": {},
        "archive": None,
    }
    if not status:
        message = " ".join(str(result.get("msg") or "no answer").split()).removeprefix("Task failed: ")
        what = "cannot be reached" if result.get("unreachable") else "could not be inspected"
        return {**entry, "level": "failure", "problems": [failure(f"{what}: {message}")]}
    host = status["host"]
    entry.update({key: host[key] for key in ("name", "system", "setup", "load", "cores", "memory", "disks")})
    entry["uptime_seconds"] = host["uptime"]
    entry["services"] = dict(sorted({**dict.fromkeys(needed, "missing"), **status["services"]}.items()))
    entry["archive"], archive_problems = backups.of_host(status)
    seen = Seen(name, status, entry["services"], needed, setup)
    problems = [problem for check in CHECKS for problem in check(seen)] + archive_problems
    return {**entry, "level": worst(problem["level"] for problem in problems), "problems": problems}


@dataclass(frozen=True)
class Seen:
    """A host as it has reported itself, and what the inventory wants of it."""

    name: str
    status: Mapping[str, Any]
    services: Mapping[str, str]  # states by name; "missing" is one
    needed: Sequence[str]
    setup: str


def services(seen: Seen) -> list[Problem]:
    problems = []
    for name, state in seen.services.items():
        if name in seen.needed and state != "active":
            problems.append(failure(f"{name} is {there(state)}"))
        elif state == "failed":
            problems.append(warning(f"{name} has failed"))
    return problems


def supervisord(seen: Seen) -> list[Problem]:
    error = seen.status["supervisor"]["error"]
    runs = "supervisor" in seen.needed and seen.services["supervisor"] == "active"
    return [failure(error)] if runs and error else []


def playbook(seen: Seen) -> list[Problem]:
    was = seen.status["host"]["setup"]
    if was in ("", seen.setup):
        return []
    return [
        failure(f"was set up with the playbook {was}, but homeport_setup is {seen.setup} in the inventory")
    ]


def space(seen: Seen) -> list[Problem]:
    return space_problems(seen.status["host"])


def space_problems(host: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for disk in host["disks"]:
        share = disk["free"] / disk["total"] if disk["total"] else 1
        if share < LITTLE_DISK:
            text = f"the disk of {disk['path']} has {size(disk['free'])} of {size(disk['total'])} left"
            problems.append(failure(text) if share < NO_DISK else warning(text))
    memory = host["memory"]
    if memory["total"] and memory["available"] / memory["total"] < LITTLE_MEMORY:
        problems.append(warning(f"{size(memory['available'])} of {size(memory['total'])} memory are left"))
    return problems


def differing(seen: Seen) -> list[Problem]:
    """What the host was given, compared with what is declared."""
    return [
        warning(f"{sentence(app, component, fields, seen.name)}; run the playbook {seen.setup}")
        for app, components in sorted(seen.status["differing"].items())
        for component, fields in sorted(components.items())
        if component != FIREWALL  # a failure of the app
    ]


def undeclared(seen: Seen) -> list[Problem]:
    return [warning(text) for text in seen.status["undeclared"]]


def firewall(seen: Seen) -> list[Problem]:
    return [{"level": level, "text": text} for level, text in seen.status["firewall"]]


def changed_files(seen: Seen) -> list[Problem]:
    paths = seen.status["touched"]
    if not paths:
        return []
    first = ", ".join(paths[:5]) + (" and others" if len(paths) > 5 else "")
    return [warning(f"changed since the last run: {first}; the playbook {seen.setup} restores it")]


def pending_restarts(seen: Seen) -> list[Problem]:
    do = f"run the playbook {seen.setup} with -e restart=now when it suits"
    return [
        warning(
            f"{one['service']} needs a restart for {', '.join(one['why'])}, which interrupts all apps: {do}"
        )
        for one in seen.status["restarts"]
    ]


def size_changed(seen: Seen) -> list[Problem]:
    """Services and workers are sized by what the host had when it was set up."""
    host = seen.status["host"]
    before, now = host["size"], {"cores": host["cores"], "memory_mb": host["memory_mb"]}
    if not before:
        return []
    other_memory = abs(now["memory_mb"] - before["memory_mb"]) > max(256, before["memory_mb"] / 10)
    if not other_memory and now["cores"] == before["cores"]:
        return []
    return [
        warning(
            f"had {capacity(before)} when it was set up, and has {capacity(now)}: run the playbook {seen.setup}, which "
            "sizes services and workers by that"
        )
    ]


def newer_homeport(seen: Seen) -> list[Problem]:
    newer = seen.status["host"].get("newer")
    what = f"was set up with Homeport {newer}, which is newer than the one of this controller: update that"
    return [warning(what)] if newer else []


def older_site(seen: Seen) -> list[Problem]:
    site = seen.status["host"].get("site", {})
    if not site.get("lacking"):
        return []
    given = f"was given the commit {site['commit'][:10]} of the site by {site.get('by')}"
    return [warning(f"{given}, which this clone lacks: pull it")]


def capacity(found: Mapping[str, int]) -> str:
    cores = "1 core" if found["cores"] == 1 else f"{found['cores']} cores"
    return f"{size(found['memory_mb'] << 20)} of memory and {cores}"


def postgres_upgrade(seen: Seen) -> list[Problem]:
    upgrade = seen.status["host"]["upgrade"]
    if not upgrade:
        return []
    closed = f" and has closed {', '.join(upgrade['closed'])} to visitors" if upgrade["closed"] else ""
    what, again = (
        "an upgrade",
        "upgrade_postgresql with -e undo=true" if upgrade["undo"] else "upgrade_postgresql",
    )
    if upgrade.get("move"):
        what, again = "a move", "move_postgresql"
    return [failure(f"{what} of PostgreSQL has not ended{closed}; unless it still runs, run {again} again")]


CHECKS: tuple[Callable[[Seen], list[Problem]], ...] = (
    services,
    supervisord,
    playbook,
    space,
    postgres_upgrade,
    size_changed,
    newer_homeport,
    older_site,
    differing,
    undeclared,
    firewall,
    changed_files,
    pending_restarts,
)


def there(state: str) -> str:
    return "not installed" if state == "missing" else state
