# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The report of status as one HTML page: what the templates in this folder show.

A host's text is somebody else's: the environment escapes all of it, and takes out what cannot be printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports.formats import (
    ago,
    epoch,
    outcome,
    short,
    size,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import LEVELS
from ansible_collections.homeport.django.plugins.module_utils.reports.status import Document, summary
from ansible_collections.homeport.django.plugins.module_utils.reports.status_apps import UNWANTED
from ansible_collections.homeport.django.plugins.module_utils.reports.status_hosts import (
    LITTLE_DISK,
    LITTLE_MEMORY,
    NO_DISK,
    SERVED,
    has_apps,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import (
    aged,
    answer,
    behind,
    measured,
    printable,
    utc,
)
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")
LONGEST_MESSAGE = 2000
KINDS = {"up": "runs", "old": "runs another release", "asleep": "sleeps", "down": "does not run"}


def page(document: Document) -> str:
    verdict = summary(document)
    return str(
        environment()
        .get_template("status.html.j2")
        .render(
            document=document,
            verdict=verdict[:1].upper() + verdict[1:],
            # those first that need somebody
            apps=sorted(document["apps"].items(), key=lambda app: (-LEVELS.index(app[1]["level"]), app[0])),
            boxes=boxes(document),
        )
    )


def environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=lambda value: printable(value) if not isinstance(value, Markup) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared = (ago, aged, answer, behind, epoch, measured, outcome, short, size, utc)
    own = (at_a_glance, block, counted, deploy_level, known_size, live_deploy, meters, of, process_details,
           process_kinds, process_notes, states, succeeded, used_services)  # fmt: skip
    found.filters.update({function.__name__: function for function in (*shared, *own)})
    return found


# Words


def of(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def block(text: str) -> Markup:
    """Text of several lines."""
    return Markup("\n").join(printable(line) for line in text.strip()[:LONGEST_MESSAGE].splitlines())


def known_size(count: int | None) -> str:
    return "" if count is None else size(count)


# An app


def states(app: Mapping[str, Any]) -> str:
    return ", ".join(dict.fromkeys(found["state"] for found in app["hosts"].values())) or "unknown"


def at_a_glance(app: Mapping[str, Any]) -> list[tuple[str, str]]:
    here = list(app["hosts"].values())
    live = next((found["release"] for found in here if found["release"]), None) or {}
    used = [found["memory"]["bytes"] for found in here if found["memory"]]
    answers = dict.fromkeys(answer(found["health"]) for found in here if found["health"])
    return [
        ("health", ", ".join(answers) or "-"),
        ("live for", ago(live.get("live_seconds"))),
        ("revision", short(live.get("revision", "")) or "-"),
        ("memory", size(sum(used)) if used else "-"),
    ]


def used_services(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(service, found[service]) for service in SERVED if found[service]]


def live_id(found: Mapping[str, Any]) -> str | None:
    return (found["release"] or {}).get("id")


def process_kinds(group: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What each process of a group does: one of ``KINDS``."""

    def kind(one: Mapping[str, Any]) -> str:
        if one["state"] != "running":
            return "down"
        if not one["release"]:
            return "asleep"
        return "up" if one["release"] == live_id(found) else "old"

    kinds = [kind(one) for one in group["instances"]]
    return kinds + ["down"] * max(0, (group["declared"] or 0) - len(kinds))


def counted(kinds: list[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {words}" for kind, words in KINDS.items() if kind in kinds)


def process_details(group: Mapping[str, Any]) -> str:
    serving = [one for one in group["instances"] if one["release"]]
    ages = " / ".join(dict.fromkeys(ago(one["seconds"]) for one in serving if one["seconds"] is not None))
    workers = sum(one["workers"] for one in serving)
    what = f"{workers} gunicorn workers" if group["name"] == "web" and workers else group["kind"]
    used = size(sum(one["memory"] for one in group["instances"]))
    return ", ".join(filter(None, [what, f"up {ages}" if ages else "", used]))


def process_notes(group: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    stopped = [one for one in group["instances"] if one["state"] != "running"]
    others = {one["release"] for one in group["instances"]} - {"", live_id(found)}
    return [
        *(
            f"number {one['name']}: " + ", ".join(filter(None, [one["state"], one["detail"]]))
            for one in stopped
        ),
        *(f"runs {release}, which is not live" for release in sorted(others)),
    ]


def succeeded(schedule: Mapping[str, Any]) -> bool:
    return schedule["result"] in ("", "success", "running")


def live_deploy(found: Mapping[str, Any]) -> int | None:
    """Which of the deploys has brought the live release."""
    arrived = (live_id(found), "live")
    places = (
        index
        for index, entry in enumerate(found["deploys"])
        if (entry["release"], entry["outcome"]) == arrived
    )
    return next(places, None)


def deploy_level(entry: Mapping[str, Any]) -> str:
    if entry["outcome"] not in UNWANTED:
        return "ok"
    return "failure" if entry["outcome"] == "failed" else "warning"


# A host


def meters(host: Mapping[str, Any]) -> Iterator[tuple[str, float, str, str]]:
    """What is measured, the share in use, that in words, and its level."""

    def part_free(
        name: str, free: int, total: int, little: float, none: float
    ) -> tuple[str, float, str, str]:
        share = free / total if total else 1.0
        level = "failure" if share < none else "warning" if share < little else "ok"
        return name, min(1.0, 1 - share), f"{size(free)} of {size(total)} free", level

    memory = host["memory"]
    yield part_free("Memory", memory["available"], memory["total"], LITTLE_MEMORY, 0)
    for disk in host["disks"]:
        yield part_free(f"Disk {disk['path']}", disk["free"], disk["total"], LITTLE_DISK, NO_DISK)
    load, cores = host["load"][0], host["cores"]
    level = "warning" if load > cores else "ok"
    yield "Load", min(1.0, load / cores), f"{load:.2f} on {of(cores, 'core')}", level


# The boxes: what runs on which host, and which hosts talk to each other


def boxes(document: Document) -> dict[str, Any]:
    fronts: list[dict[str, Any]] = []
    backs: list[dict[str, Any]] = []
    for name, host in document["hosts"].items():
        apps = {app: entry for app, entry in document["apps"].items() if name in entry["hosts"]}
        row = fronts if apps or has_apps(host["groups"]) else backs
        row.append({**host, "name": name, "apps": apps, **layers(name, host, apps, document)})
    return {
        "fronts": fronts,
        "backs": backs,
        "domains": [app["domains"][0] for app in document["apps"].values() if app["domains"]],
        "elsewhere": databases_elsewhere(document),
        "label": ", ".join(protocols(document)) or "database",
    }


def layers(name: str, host: Mapping[str, Any], apps: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """The rows of boxes in a host's own, from the web server down to what keeps data."""
    services = host["services"]
    database_hosts = sorted(
        {
            other
            for entry in apps.values()
            for other in (entry["database"] or {"hosts": []})["hosts"]
            if other != name and has_apps(document["hosts"].get(other, {"groups": []})["groups"])
        }
    )
    stores = []
    if "postgresql" in services:
        held = [
            " ".join(filter(None, [entry["database"]["name"], known_size(entry["database"]["bytes"])]))
            for entry in document["apps"].values()
            if entry["database"] and entry["database"]["managed"] and name in entry["database"]["hosts"]
        ]
        stores.append(("PostgreSQL", services["postgresql"], ", ".join(held)))
    for service in sorted(set(services) - {"nginx", "supervisor", "postgresql"}):
        stores.append((service, services[service], held_for(document, name, service)))
    there = {"nginx": "nginx" in services, "apps": bool(apps), "stores": bool(stores or database_hosts)}
    return {
        "layers": [layer for layer, is_there in there.items() if is_there],
        "supervisor": services.get("supervisor", "missing"),
        "database_hosts": database_hosts,
        "stores": stores,
    }


def protocols(document: Document) -> list[str]:
    """What goes from the hosts that have apps to those that have none."""
    groups = {
        group
        for host in document["hosts"].values()
        if not has_apps(host["groups"])
        for group in host["groups"]
    }
    found = ["PostgreSQL over TLS"] if "database_servers" in groups else []
    return found + [service for service, group in SERVED.items() if group in groups]


def databases_elsewhere(document: Document) -> dict[str, list[str]]:
    """Databases on machines that are not in the inventory, each with its apps."""
    found: dict[str, list[str]] = {}
    for name, app in document["apps"].items():
        database = app["database"]
        if database and not database["managed"] and database["engine"] != "sqlite":
            for host in database["hosts"]:
                found.setdefault(f"{database['engine']} at {host}", []).append(name)
    return found


def held_for(document: Document, host: str, unit: str) -> str:
    """Whose cache or broker a unit is, and how much memory it takes."""
    apps: dict[str, list[str]] = {}
    memory = None
    for app, entry in document["apps"].items():
        for found in entry["hosts"].values():
            for service, one in used_services(found):
                if (one["host"], one["unit"]) == (host, unit):
                    memory = one["memory"]
                    if app not in apps.setdefault(service, []):
                        apps[service].append(app)
    held = ", ".join(f"{service} of {', '.join(names)}" for service, names in apps.items())
    return " ".join(filter(None, [held, known_size(memory)]))
