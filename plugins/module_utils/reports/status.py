# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One report of what the module status found on all hosts: a document of plain data, and what is wrong in it
(CHECKS of status_apps.py and status_hosts.py).

The keys of the document are described in docs/operating.md; they are only ever added to.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports import backups
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import (
    iso,
    short,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import (
    LEVELS,
    warning,
    worst,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.status_apps import (
    app_problems,
    service_problems,
    state,
    without_dead_lock,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.status_hosts import (
    SERVED,
    has_apps,
    needed_services,
    one_host,
)

VERSION = 1

Document = dict[str, Any]


def report(
    results: Mapping[str, Mapping[str, Any]],
    specs: list[dict[str, Any]],
    groups: Mapping[str, list[str]],
    setup: str,
    only: str = "",
    now: int | None = None,
) -> Document:
    """The document: ``results`` holds what the module returned, or how it failed, by host."""
    chosen = {spec["name"]: spec for spec in specs if only in ("", spec["name"])}
    hosts, apps = {}, {}
    for name, result in results.items():
        member_of = groups_of(name, groups)
        hosts[name] = one_host(name, result, needed_services(specs, member_of), setup, member_of)
    for app in sorted({*chosen, *(app for result in results.values() for app in found_apps(result))}):
        spec = chosen.get(app)
        here = {name: spec_on(spec, groups_of(name, groups)) for name in results}
        on = {
            name: one_app(
                found_apps(result).get(app),
                here[name],
                result,
                {service: used(here[name], service, name, results, groups) for service in SERVED},
            )
            for name, result in results.items()
            if app in found_apps(result) or here[name]
        }
        if on:  # else its hosts were left out with --limit
            apps[app] = whole_app(app, spec, on, results, groups)
    problems = [
        {"host": name, "app": "", **problem} for name, host in hosts.items() for problem in host["problems"]
    ]
    for app, found in apps.items():
        problems += [{"host": "", "app": app, **problem} for problem in found["problems"]]
        for name, here in found["hosts"].items():
            problems += [{"host": name, "app": app, **problem} for problem in here["problems"]]
    problems.sort(key=lambda problem: -LEVELS.index(problem["level"]))
    return {
        "version": VERSION,
        "time": iso(int(time.time()) if now is None else now),
        "level": worst(
            [*(entry["level"] for entry in (*hosts.values(), *apps.values()))],
        ),
        "problems": problems,
        "hosts": hosts,
        "apps": apps,
    }


def spec_on(spec: dict[str, Any] | None, member_of: list[str]) -> dict[str, Any] | None:
    """What is declared of an app on a host: nothing beside its services, and no web server beside its workers."""
    if not spec or not has_apps(member_of):
        return None
    return spec if "app_servers" in member_of else {**spec, "proxied": False}


def found_apps(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("status", {}).get("apps", {})


def groups_of(name: str, groups: Mapping[str, list[str]]) -> list[str]:
    return sorted(group for group, hosts in groups.items() if name in hosts and group != "all")


def whole_app(
    name: str,
    spec: dict[str, Any] | None,
    on: dict[str, dict[str, Any]],
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> dict[str, Any]:
    """An app with all hosts that it is on."""
    database_hosts = groups.get("database_servers", [])
    backup, problems = backups.of_app(name, spec, on, results, groups)
    revisions = {name: here["release"]["revision"] for name, here in on.items() if here["release"]}
    if len(set(revisions.values())) > 1:
        which = ", ".join(f"{name} has {short(revision)}" for name, revision in revisions.items())
        problems.append(warning(f"its hosts run different code: {which}"))
    database = None
    if spec and spec["database"]["engine"] not in ("", "none"):
        database = {key: spec["database"][key] for key in ("engine", "name", "managed")}
        database["hosts"], database["bytes"] = [], None
        if spec["database"]["engine"] == "postgres" and spec["database"]["managed"]:
            database["hosts"] = list(database_hosts)
            for host in database_hosts:
                sizes = results.get(host, {}).get("status", {}).get("databases", {})
                names = [spec["database"]["name"]]
                names += [
                    further["name"] for further in spec.get("databases", {}).values() if further["managed"]
                ]
                found = [sizes[name] for name in names if name in sizes]
                database["bytes"] = sum(found) if found else database["bytes"]
        elif spec["database"]["engine"] == "sqlite":
            found = [here["disk"]["database"] for here in on.values() if here["disk"]]
            database["bytes"] = sum(size for size in found if size) if any(found) else None
        elif spec["database"]["host"]:
            database["hosts"] = [spec["database"]["host"]]
    return {
        "declared": bool(spec),
        "level": worst(
            [*(problem["level"] for problem in problems), *(here["level"] for here in on.values())]
        ),
        "url": spec["site_url"] if spec else "",
        "domains": spec["domains"] if spec else [],
        "proxied": bool(spec and spec["proxied"]),
        "database": database,
        "backup": backup,
        "problems": problems,
        "hosts": on,
    }


UNKNOWN: dict[str, Any] = {
    "level": "failure",
    "state": "unknown",
    "try": "",
    "problems": [],  # the host's own says why
    **dict.fromkeys(
        ("release", "previous", "health", "visit", "memory", "disk", "lock", "maintenance", "certificate")
    ),
    **{key: [] for key in ("processes", "schedules", "deploys")},
}


def one_app(
    found: Mapping[str, Any] | None,
    spec: dict[str, Any] | None,
    result: Mapping[str, Any],
    services: Mapping[str, dict[str, Any] | None],
) -> dict[str, Any]:
    """An app on one host; ``found`` is missing where the host could not be looked at."""
    if found is None:
        return {**copy.deepcopy(UNKNOWN), **services}
    now = result["status"]["time"]
    found = without_dead_lock(found, result["status"]["host"]["booted"])
    problems = app_problems(found, spec, result["status"])
    if spec:
        problems += service_problems(services)
    level = worst(problem["level"] for problem in problems)
    certificate = found.get("certificate")
    return {
        "level": level,
        "try": found.get("try", ""),
        "state": state(found, spec, level),
        "problems": problems,
        "release": live_release(found["release"], spec, now),
        "previous": found["previous"],
        "health": found["health"],
        "visit": found["visit"],
        "processes": found["processes"] or [],
        "schedules": [
            {**schedule, **{key: iso(schedule[key]) for key in ("last", "ended", "next")}}
            for schedule in found["schedules"]
        ],
        "memory": found["memory"],
        "disk": found["disk"],
        "lock": found["lock"],
        "maintenance": iso(found["maintenance"]),
        **services,
        "deploys": found["deploys"],
        "certificate": certificate
        and {
            "names": certificate["names"],
            "until": iso(certificate["until"]),
            "self_signed": certificate["self_signed"],
        },
    }


def live_release(
    found: Mapping[str, Any] | None, spec: Mapping[str, Any] | None, now: int
) -> dict[str, Any] | None:
    if not found:
        return None
    return {
        "id": found["id"],
        "revision": found["revision"],
        "version": spec["version"] if spec else "",
        "built": found["built"],
        "live_since": iso(found["since"]),
        "live_seconds": max(0, now - found["since"]) if found["since"] else None,
        "django": found["django"],
        "python": found["python"],
    }


def used(
    spec: dict[str, Any] | None,
    service: str,
    name: str,
    results: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
) -> dict[str, Any] | None:
    """The cache or the broker that an app on a host has: its own host's where that runs one, else the first."""
    if not spec or spec[service]["engine"] == "none":
        return None
    found = {**spec[service], "state": None, "memory": None}
    if not found["managed"]:
        return found
    servers = groups.get(SERVED[service], [])
    found["host"] = name if name in servers else next(iter(servers), "")
    status = results.get(found["host"], {}).get("status")
    if status:
        found["state"] = status["services"].get(found["unit"], "missing")
        found["memory"] = status["stores"].get(found["unit"])
    return found


def summary(document: Document) -> str:
    """The verdict in one sentence."""
    apps = document["apps"]
    failed = [problem for problem in document["problems"] if problem["level"] == "failure"]
    warned = len(document["problems"]) - len(failed)
    unwell = [name for name, app in apps.items() if app["level"] == "failure"]
    count = f"{len(apps)} app" if len(apps) == 1 else f"{len(apps)} apps"
    if unwell:
        verdict = f"{len(unwell)} of {count} {'is' if len(unwell) == 1 else 'are'} unhealthy"
    elif failed:
        verdict = f"{count} healthy, but not all hosts"
    elif not apps:
        verdict = "no app was inspected"
    else:
        verdict = "the app is healthy" if len(apps) == 1 else f"{count} are healthy"
    if warned:
        verdict += f", {warned} warning{'' if warned == 1 else 's'}"
    return verdict
