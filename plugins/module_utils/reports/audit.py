# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One report of an audit: a document of plain data, and the same as a table.

The keys of the document are described in docs/audit.md; they are only ever added to.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports.audit_checks import (
    APP_CHECKS,
    HOST_CHECKS,
    SITE_CHECKS,
    Check,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import (
    Seen,
    failure,
    listed,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import iso
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import LEVELS, Problem, worst
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import (
    WIDTH,
    Line,
    printable,
    table,
    utc,
)

VERSION = 2  # 1 had the level "wrong" for "failure"
Document = dict[str, Any]
MARKS = {"ok": "ok", "warning": "warning", "failure": "FAILURE"}


def report(results: Mapping[str, Mapping[str, Any]], now: int | None = None) -> Document:
    """The document. ``results`` holds for each host what C(inside) and C(outside) have returned."""
    now = int(time.time()) if now is None else now
    hosts: dict[str, Any] = {}
    apps: dict[str, Any] = {}
    for name, result in results.items():
        inside, look = result["inside"].get("audit") or {}, result["outside"]
        wanted = {**look["wanted"], "now": now}
        seen = Seen(inside, look["outside"], wanted)
        checks = {} if inside else {"answer": result_of("answer", [unanswered(result["inside"])])}
        checks.update(judged(HOST_CHECKS, seen))
        hosts[name] = {
            "level": level_of(checks),
            "reachable": not result["inside"].get("unreachable"),
            "checks": checks,
        }
        specs = {spec["name"]: spec for spec in wanted["apps"] if spec["name"] in inside.get("apps", {})}
        for app in dict.fromkeys([*specs, *wanted["sites"]]):
            here = Seen(inside, look["outside"], wanted, app)
            checks = judged(SITE_CHECKS, here)
            if app in specs:
                checks.update(judged(APP_CHECKS, here))
            if checks:
                entry = apps.setdefault(app, {"level": "ok", "hosts": {}})
                entry["hosts"][name] = {"level": level_of(checks), "checks": checks}
                entry["level"] = worst([entry["level"], level_of(checks)])
    problems = [
        {"level": problem["level"], "host": host, "app": app, "check": check, **problem}
        for host, app, check, found in rows({"hosts": hosts, "apps": apps})
        for problem in found["problems"]
    ]
    problems.sort(key=lambda problem: -LEVELS.index(problem["level"]))
    return {
        "version": VERSION,
        "time": iso(now),
        "level": worst(problem["level"] for problem in problems),
        "problems": problems,
        "hosts": hosts,
        "apps": apps,
    }


def unanswered(result: Mapping[str, Any]) -> Problem:
    message = " ".join(str(result.get("msg") or "no answer").split()).removeprefix("Task failed: ")
    what = "cannot be reached" if result.get("unreachable") else "could not be inspected"
    return failure(f"{what}: {message}", "check whether it runs, and whether ansible -m ping reaches it")


def judged(checks: Iterable[Check], seen: Seen) -> dict[str, Any]:
    """What each check says, as far as there is something to judge."""
    found = {}
    parts = {**seen.inside, **seen.inside.get("apps", {}).get(seen.app, {})}
    for name, judge, needs in checks:
        if any(part not in parts for part in needs):
            continue  # the host gave no answer
        errors = [f"{part}: {parts[part]['error']}" for part in needs if parts[part]["error"]]
        if errors:
            text = f"could not be inspected ({'; '.join(errors)})"
            found[name] = result_of(
                "", [failure(text, "repeat the audit; if it stays, see why root on the host cannot read it")]
            )
            continue
        verdict = judge(seen)
        if verdict:
            found[name] = result_of(*verdict)
    return found


def result_of(note: str, problems: list[Problem]) -> dict[str, Any]:
    return {"level": worst(problem["level"] for problem in problems), "note": note, "problems": problems}


def level_of(checks: Mapping[str, Mapping[str, Any]]) -> str:
    return worst(check["level"] for check in checks.values())


def rows(document: Document) -> Iterable[tuple[str, str, str, Mapping[str, Any]]]:
    """Every check with its host, its app (empty for what concerns the host alone) and its name."""
    for host, entry in document["hosts"].items():
        for name, found in entry["checks"].items():
            yield host, "", name, found
    for app, entry in document["apps"].items():
        for host, here in entry["hosts"].items():
            for name, found in here["checks"].items():
                yield host, app, name, found


def summary(document: Document) -> str:
    """The verdict in one sentence."""
    levels = [problem["level"] for problem in document["problems"]]
    failures, warnings = levels.count("failure"), levels.count("warning")
    count = sum(1 for _row in rows(document))
    if not failures and not warnings:
        return f"{count} checks, all ok"
    parts = [f"{failures} failure{'' if failures == 1 else 's'}"] if failures else []
    parts += [f"{warnings} warning{'' if warnings == 1 else 's'}"] if warnings else []
    return f"{count} checks, {', '.join(parts)}"


def lines(document: Document) -> list[Line]:
    """The report for a terminal, each line with its level."""
    found: list[Line] = [
        (document["level"], f"Homeport audit, {utc(document['time'])}: {summary(document)}"),
        ("ok", ""),
    ]
    body = [
        (
            entry["level"],
            # a problem says more than what was seen
            [
                host,
                app or "-",
                name,
                MARKS[entry["level"]],
                entry["problems"][0]["text"] if entry["problems"] else entry["note"],
            ],
        )
        for host, app, name, entry in rows(document)
    ]
    found += table(["HOST", "APP", "CHECK", "RESULT", "NOTES"], body)
    if document["problems"]:
        found += [("ok", ""), ("ok", "WHAT TO DO")]
    # the same about several apps or hosts is said once
    same: dict[tuple[str, ...], list[str]] = {}
    for problem in document["problems"]:
        key = tuple(problem[field] for field in ("level", "check", "text", "do"))
        same.setdefault(key, []).append(" on ".join(filter(None, [problem["app"], problem["host"]])))
    for (level, check, text, do), places in same.items():
        first = printable(f"{MARKS[level]:7}  {listed(places)}, {check}: {text}")
        found += wrapped(level, f"  {first}", " " * 11)
        found += wrapped(level, f"           -> {printable(do)}", " " * 14)
    return found


def wrapped(level: str, text: str, indent: str) -> list[Line]:
    """Whole words: what one copies is not cut."""
    options: dict[str, Any] = {"break_on_hyphens": False, "break_long_words": False}
    return [(level, line) for line in textwrap.wrap(text, WIDTH, subsequent_indent=indent, **options)]
