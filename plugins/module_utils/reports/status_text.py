# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The report of status as tables for a terminal: lines of at most 118 columns, each with its level."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports.formats import (
    ago,
    brief,
    epoch,
    outcome,
    short,
    size,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import worst
from ansible_collections.homeport.django.plugins.module_utils.reports.status import Document, summary
from ansible_collections.homeport.django.plugins.module_utils.reports.status_apps import UNWANTED
from ansible_collections.homeport.django.plugins.module_utils.reports.status_hosts import SERVED

WIDTH = 118
NARROWEST = 10  # columns that a cut column keeps
# What may be cut; what one copies into the next command is not.
ELASTIC = ("APP", "HOST", "STATE", "REVISION", "PROCESS", "SCHEDULE", "CALENDAR", "BY", "NOTES", "SERVICES",
           "DISK FREE", "DATABASE", "UNIT")  # fmt: skip
Line = tuple[str, str]  # level and text
MARKS = {"ok": "", "warning": "warning", "failure": "FAILURE"}


def printable(text: Any) -> str:
    """Text that cannot move the cursor or change colours, whatever a visitor or an app put into it."""
    return "".join(char if char.isprintable() else "�" if char not in "\n\t" else " " for char in str(text))


def lines(document: Document) -> list[Line]:
    """The whole report."""
    found: list[Line] = [
        (document["level"], f"Homeport status, {utc(document['time'])}: {summary(document)}")
    ]
    for part in (hosts, apps, processes, schedules, services, storage, backups, deploys):
        head, rows = part(document)
        if rows:
            found += [("ok", ""), *table(head, rows)]
    if places := addresses(document):
        found += [("ok", ""), ("ok", "ADDRESSES"), *places]
    if document["problems"]:
        found += [("ok", ""), ("ok", "PROBLEMS")]
        for problem in document["problems"]:
            where = " on ".join(filter(None, [problem["app"], problem["host"]]))
            text = printable(f"{MARKS[problem['level']]}  {where}: {problem['text']}")
            wrapped = textwrap.wrap(text, WIDTH - 2, subsequent_indent="         ", break_on_hyphens=False)
            found += [(problem["level"], f"  {line}") for line in wrapped]
    return found


Rows = list[tuple[str, list[str]]]


def table(head: list[str], rows: Rows) -> list[Line]:
    """Aligned columns; the widest are cut where they do not fit."""
    cells = [head, *([printable(cell) for cell in row] for _level, row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    elastic = [index for index, name in enumerate(head) if name in ELASTIC]
    while sum(widths) + 2 * len(widths) > WIDTH:
        widest = max(elastic, key=lambda index: widths[index])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    levels = ["ok", *(level for level, _row in rows)]
    return [
        (
            level,
            ("  " + "  ".join(cut(cell, width).ljust(width) for cell, width in zip(row, widths))).rstrip(),
        )
        for level, row in zip(levels, cells)
    ]


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def utc(text: str | None) -> str:
    """A time in ISO 8601 to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC" if text and epoch(text) is not None else "-"


def hosts(document: Document) -> tuple[list[str], Rows]:
    rows = []
    for name, host in document["hosts"].items():
        if host["cores"] is None:
            state = "no answer" if host["reachable"] else "unreachable"
            rows.append((host["level"], [name, state, *["-"] * 5]))
            continue
        memory = host["memory"]
        disks = [f"{disk['path']} {size(disk['free'])}" for disk in host["disks"]]
        states = [
            name if state == "active" else f"{name} {state.upper()}"
            for name, state in host["services"].items()
        ]
        rows.append(
            (
                host["level"],
                [
                    name,
                    host["level"],
                    ago(host["uptime_seconds"]),
                    f"{host['load'][0]:.2f} of {host['cores']}",
                    f"{size(memory['available'])} of {size(memory['total'])}",
                    ", ".join(disks),
                    ", ".join(states) or "-",
                ],
            )
        )
    return ["HOST", "STATE", "UP", "LOAD", "MEMORY FREE", "DISK FREE", "SERVICES"], rows


def here(document: Document) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for app, entry in document["apps"].items():
        for host, found in entry["hosts"].items():
            yield app, host, found


def addresses(document: Document) -> list[Line]:
    """Where each app answers, and how to ask a host for it while its name leads elsewhere. To be copied: never cut."""
    found = []
    for app, entry in document["apps"].items():
        if entry["url"]:
            found.append(("ok", f"  {printable(app)}: {printable(entry['url'])}/"))
            commands = {host: here["try"] for host, here in entry["hosts"].items() if here["try"]}
            found += [
                ("ok", f"    on {printable(host)}: {printable(command)}")
                for host, command in commands.items()
            ]
    return found


def answer(health: Mapping[str, Any] | None) -> str:
    if not health:
        return "-"
    if health["status"] is None:
        return "no answer"
    return f"{health['status']} in {health['milliseconds']} ms"


def apps(document: Document) -> tuple[list[str], Rows]:
    rows = []
    for app, host, found in here(document):
        release = found["release"] or {}
        memory = found["memory"] or {"bytes": None}
        revision = "@".join(filter(None, [release.get("version", ""), short(release.get("revision", ""))]))
        deployer = ""
        if found["state"] == "deploying":
            doing = brief(found["lock"]["doing"])
            deployer = f" by {found['lock']['holder']}" + (f": {doing}" if doing else "")
        rows.append(
            (
                found["level"],
                [
                    app,
                    host,
                    found["state"] + deployer,
                    answer(found["health"]),
                    release.get("id", "-"),
                    revision or "-",
                    ago(release.get("live_seconds")),
                    size(memory["bytes"]),
                ],
            )
        )
    return ["APP", "HOST", "STATE", "HEALTH", "RELEASE", "REVISION", "LIVE FOR", "MEMORY"], rows


def processes(document: Document) -> tuple[list[str], Rows]:
    rows = []
    for app, host, found in here(document):
        live = (found["release"] or {}).get("id")
        for group in found["processes"]:
            serving = [one for one in group["instances"] if one["release"]]
            ages = sorted({ago(one["seconds"]) for one in serving if one["seconds"] is not None})
            rest = [one for one in group["instances"] if one["state"] != "running"]
            wrong = sorted({one["release"] for one in serving} - {live})
            workers = sum(one["workers"] for one in serving)
            notes = [f"{workers} gunicorn workers"] if group["name"] == "web" and workers else []
            notes += [group["kind"]] if group["kind"] else []
            notes += [f"{one['name']} {one['state']} {one['detail']}".strip() for one in rest]
            notes += [f"runs {release}" for release in wrong]
            declared = group["declared"]
            count = f"{group['running']}/{'-' if declared is None else declared}"
            is_ok = group["running"] == declared and not rest and not wrong
            rows.append(
                (
                    "ok" if is_ok else worst(problem["level"] for problem in found["problems"]),
                    [
                        app,
                        host,
                        group["name"],
                        count,
                        ", ".join(ages) or "-",
                        size(sum(one["memory"] for one in group["instances"])),
                        ", ".join(notes),
                    ],
                )
            )
    return ["APP", "HOST", "PROCESS", "RUN", "UP", "MEMORY", "NOTES"], rows


def schedules(document: Document) -> tuple[list[str], Rows]:
    rows = []
    for app, host, found in here(document):
        for schedule in found["schedules"]:
            is_ok = schedule["result"] in ("", "success", "running") and schedule["active"]
            result = schedule["result"] or "-"
            rows.append(
                (
                    "ok" if is_ok else "warning",
                    [
                        app,
                        host,
                        schedule["name"],
                        utc(schedule["last"]) if schedule["last"] else "never",
                        result if result in ("success", "running", "-") else outcome(schedule),
                        utc(schedule["next"]) if schedule["active"] else "no timer",
                        schedule["calendar"] or "not declared",
                    ],
                )
            )
    return ["APP", "HOST", "SCHEDULE", "LAST RUN", "RESULT", "NEXT RUN", "CALENDAR"], rows


def services(document: Document) -> tuple[list[str], Rows]:
    rows: Rows = []
    for app, host, found in here(document):
        for service in SERVED:
            one = found[service]
            if not one:
                continue
            away = f" on {one['host']}" if one["host"] not in ("", host) else ""
            rows.append(
                (
                    "ok" if one["state"] in (None, "active") else "failure",
                    [
                        app,
                        host,
                        service,
                        one["engine"],
                        (one["unit"] + away).strip() or "-",
                        one["state"] or "-",
                        size(one["memory"]),
                    ],
                )
            )
    return ["APP", "HOST", "USES", "ENGINE", "UNIT", "STATE", "MEMORY"], rows


def measured(entry: Mapping[str, Any] | None) -> str:
    if not entry:
        return "-"
    return size(entry["bytes"]) if entry["complete"] else f"over {size(entry['bytes'])}"


def storage(document: Document) -> tuple[list[str], Rows]:
    rows: Rows = []
    for app, host, found in here(document):
        if not found["disk"]:
            continue
        database = document["apps"][app]["database"] or {"engine": "-", "bytes": None, "hosts": []}
        release = found["release"] or {}
        kept = found["disk"]["database"] if database["engine"] == "sqlite" else database["bytes"]
        held = f" {size(kept)}" if kept is not None else ""
        away = [name for name in database["hosts"] if name != host]
        rows.append(
            (
                "ok",
                [
                    app,
                    host,
                    f"{found['disk']['releases']['count']} in {measured(found['disk']['releases'])}",
                    measured(found["disk"]["media"]),
                    f"{database['engine']}{held}" + (f" on {', '.join(away)}" if away else ""),
                    release.get("django") or "-",
                    release.get("python") or "-",
                ],
            )
        )
    return ["APP", "HOST", "RELEASES KEPT", "MEDIA", "DATABASE", "DJANGO", "PYTHON"], rows


def aged(entry: Mapping[str, Any]) -> str:
    """How old the last successful run is."""
    return "never" if entry["age_seconds"] is None else f"{ago(entry['age_seconds'])} ago"


def backups(document: Document) -> tuple[list[str], Rows]:
    """The last successful backup and drill of each app and archive."""
    rows: Rows = []

    def row(whose: str, host: str, what: str, entry: Mapping[str, Any]) -> None:
        cells = [whose, host, what, aged(entry), ago(entry["limit_seconds"]), took(entry)]
        rows.append(("failure" if entry["failed"] or entry["late"] else "ok", cells))

    for app, found in document["apps"].items():
        for kind in ("backup", "drill") if found["backup"] else ():
            row(app, found["backup"]["host"], kind, found["backup"][kind])
    for host, found in document["hosts"].items():
        archive = found["archive"] or {}
        if archive.get("wal"):
            wal = archive["wal"]
            # a quiet database writes nothing that could be archived: what counts is how long anything waits
            cells = ["PostgreSQL", host, "log archived", aged(wal), "-", behind(wal)]
            rows.append(("failure" if wal["late"] else "ok", cells))
        for kind, word in (("backup", "backup"), ("full", "full backup"), ("drill", "drill")):
            if archive:
                row("PostgreSQL", host, word, archive[kind])
    return ["APP", "HOST", "BACKUPS", "LAST SUCCESS", "AT MOST", "TOOK"], rows


def behind(wal: Mapping[str, Any]) -> str:
    """What waits to be archived."""
    if not wal["waiting"]:
        return "nothing waits"
    return f"{ago(wal['waiting_seconds'])} behind, {ago(wal['limit_seconds'])} at most"


def took(entry: Mapping[str, Any]) -> str:
    duration = "-" if entry["seconds"] is None else f"{entry['seconds']:.0f} s"
    return f"{duration}, the last one failed" if entry["failed"] else duration


def deploys(document: Document, count: int = 3) -> tuple[list[str], Rows]:
    rows = []
    for app, host, found in here(document):
        for entry in found["deploys"][:count]:
            seconds = "-" if entry["seconds"] is None else f"{entry['seconds']:.0f} s"
            migrations = len(entry["migrations"])
            notes = [f"{migrations} migration{'' if migrations == 1 else 's'}"] if migrations else []
            notes += [brief(entry["message"])] if entry["message"] else []
            rows.append(
                (
                    "warning" if entry["outcome"] in UNWANTED else "ok",
                    [
                        app,
                        host,
                        utc(entry["time"]),
                        entry["verb"],
                        entry["outcome"],
                        short(entry["revision"]),
                        entry["by"],
                        seconds,
                        ", ".join(notes),
                    ],
                )
            )
    return ["APP", "HOST", "DEPLOYS", "VERB", "OUTCOME", "REVISION", "BY", "TOOK", "NOTES"], rows
