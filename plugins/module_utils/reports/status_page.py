# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The report of status as one HTML page that needs nothing beside it: no script, no font, no image.

Whatever comes from a host is text that somebody else wrote; all of it goes through ``esc``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports.status import (
    LEVELS,
    LITTLE_DISK,
    LITTLE_MEMORY,
    NO_DISK,
    SERVED,
    UNWANTED,
    Document,
    ago,
    epoch,
    outcome,
    short,
    size,
    summary,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.status_style import STYLE
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import (
    aged,
    answer,
    behind,
    measured,
    printable,
    utc,
)

WORDS = {"ok": "Well", "warning": "Warning", "failure": "Failure"}
SIGNS = {
    "ok": '<path d="M4.5 8.5l2.5 2.5 4.5-5.5"/>',
    "warning": '<path d="M8 4.2v4.6M8 11.4v.3"/>',
    "failure": '<path d="M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4"/>',
}
CLOCK = (
    '<svg class="clock" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.5"/>'
    '<path d="M8 4.5V8l2.5 1.5"/></svg>'
)
LEGEND = (
    '<p class="legend"><span class="squares"><i class="up"></i></span> runs the live release '
    '<span class="squares"><i class="asleep"></i></span> sleeps until the next deploy '
    '<span class="squares"><i class="old"></i></span> runs another release '
    '<span class="squares"><i class="down"></i></span> does not run</p>'
)
DOTS = {"ok": "%23178a4c", "warning": "%23c98500", "failure": "%23c92a2a"}
SHOWN_DEPLOYS = 5
LONGEST_MESSAGE = 2000


def esc(text: Any) -> str:
    return html.escape(printable(text))


def block(text: str) -> str:
    """The same for text of several lines."""
    cut = text.strip()[:LONGEST_MESSAGE]
    return "\n".join(esc(line) for line in cut.splitlines())


def join(parts: Iterable[str]) -> str:
    return "".join(parts)


def icon(level: str) -> str:
    return (
        f'<svg class="icon {level}" viewBox="0 0 16 16" role="img" aria-label="{WORDS[level]}">'
        f'<circle cx="8" cy="8" r="7.5"/>{SIGNS[level]}</svg>'
    )


def pill(level: str, text: str) -> str:
    return f'<span class="pill {level}">{esc(text)}</span>'


def anchor(app: str) -> str:
    return f"app-{esc(app)}"


def when(text: str | None) -> str:
    return f'<time datetime="{esc(text)}">{esc(utc(text))}</time>' if text else "never"


def page(document: Document) -> str:
    level = document["level"]
    favicon = (
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
        f"%3Ccircle cx='8' cy='8' r='7' fill='{DOTS[level]}'/%3E%3C/svg%3E"
    )
    verdict = summary(document)
    body = join(
        [
            header(document, verdict),
            "<main>",
            problems(document),
            overview(document),
            diagram(document),
            section("apps", "The apps", join(app_card(name, app) for name, app in by_need(document))),
            section(
                "hosts",
                "The hosts",
                f'<div class="grid">{join(host_card(name, host) for name, host in document["hosts"].items())}</div>',
            ),
            "</main>",
            f"<footer>Written by Homeport, {when(document['time'])}. All times are UTC.</footer>",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="robots" content="noindex">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{esc(verdict[:1].upper() + verdict[1:])} - Homeport</title>\n"
        f'<link rel="icon" href="{favicon}">\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def section(name: str, title: str, content: str) -> str:
    if not content:
        return ""
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{esc(title)}</h2>{content}</section>\n'


def header(document: Document, verdict: str) -> str:
    level = document["level"]
    hosts, apps = len(document["hosts"]), len(document["apps"])
    counts = (
        f"{apps} app{'' if apps == 1 else 's'} on {hosts} host{'' if hosts == 1 else 's'}, "
        f"as of {when(document['time'])}"
    )
    return (
        f'<header class="{level}"><div><p class="name">Homeport status</p>'
        f"<h1>{icon(level)}<span>{esc(verdict[:1].upper() + verdict[1:])}</span></h1><p>{counts}</p></div></header>\n"
    )


def problems(document: Document) -> str:
    if not document["problems"]:
        return ""
    rows = []
    for problem in document["problems"]:
        app, host = problem["app"], problem["host"]
        where = f'<a href="#{anchor(app)}">{esc(app)}</a>' if app else ""
        where += f" <span>on</span> {esc(host)}" if app and host else esc(host)
        rows.append(
            f'<li class="{problem["level"]}">{icon(problem["level"])}<div><b>{where}</b> '
            f"{esc(problem['text'])}</div></li>"
        )
    return section("problems", "What needs attention", f'<ul class="problems">{join(rows)}</ul>')


def overview(document: Document) -> str:
    tiles = []
    for name, app in by_need(document):
        here = list(app["hosts"].values())
        states = list(dict.fromkeys(found["state"] for found in here))
        live = next((found["release"] for found in here if found["release"]), None) or {}
        used = [found["memory"]["bytes"] for found in here if found["memory"]]
        answers = dict.fromkeys(answer(found["health"]) for found in here if found["health"])
        facts = [
            ("health", ", ".join(answers) or "-"),
            ("live for", ago(live.get("live_seconds"))),
            ("revision", short(live.get("revision", "")) or "-"),
            ("memory", size(sum(used)) if used else "-"),
        ]
        domain = app["domains"][0] if app["domains"] else ""
        tiles.append(
            f'<a class="tile {app["level"]}" href="#{anchor(name)}"><span class="head">{icon(app["level"])}'
            f"<b>{esc(name)}</b></span>"
            f'<span class="domain">{esc(domain)}</span>{pill(app["level"], ", ".join(states) or "unknown")}'
            f"{pairs(facts)}</a>"
        )
    return section("overview", "At a glance", f'<div class="tiles">{join(tiles)}</div>' if tiles else "")


def by_need(document: Document) -> list[tuple[str, dict[str, Any]]]:
    """The apps, those first that need somebody."""
    return sorted(document["apps"].items(), key=lambda item: (-LEVELS.index(item[1]["level"]), item[0]))


def pairs(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values inside a link, where a list of definitions may not stand."""
    return (
        '<span class="pairs">'
        + join(f"<span><i>{esc(key)}</i> {esc(value)}</span>" for key, value in facts)
        + "</span>"
    )


# The boxes: what runs on which host, and who talks to whom


def diagram(document: Document) -> str:
    fronts, backs = [], []
    for name, host in document["hosts"].items():
        on_it = {app: entry for app, entry in document["apps"].items() if name in entry["hosts"]}
        if on_it or "app_servers" in host["groups"]:
            fronts.append(host_boxes(name, host, on_it, document))
        else:
            backs.append(host_boxes(name, host, {}, document))
    if not fronts and not backs:
        return ""
    away = remote_databases(document)
    domains = [app["domains"][0] for app in document["apps"].values() if app["domains"]]
    shown = join(f"<span>{esc(domain)}</span>" for domain in domains[:8])
    more = f"<span>and {len(domains) - 8} more</span>" if len(domains) > 8 else ""
    parts = [f'<div class="box visitors"><b>Visitors</b>{shown}{more}</div>{arrow("")}'] if domains else []
    parts.append(f'<div class="row">{join(fronts)}</div>')
    if backs or away:
        parts.append(arrow(", ".join(words(document)) or "database"))
        parts.append(f'<div class="row">{join(backs)}{away}</div>')
    return section("boxes", "What runs where", f'<div class="diagram">{join(parts)}</div>{LEGEND}')


def arrow(label: str) -> str:
    return f'<div class="arrow"><span>{esc(label)}</span></div>' if label else '<div class="arrow"></div>'


def words(document: Document) -> list[str]:
    """What goes from the hosts that have apps to those that have none."""
    groups = {
        group
        for host in document["hosts"].values()
        if "app_servers" not in host["groups"]
        for group in host["groups"]
    }
    found = ["PostgreSQL over TLS"] if "database_servers" in groups else []
    return found + [service for service, group in SERVED.items() if group in groups]


def remote_databases(document: Document) -> str:
    """Databases on machines that are not in the inventory."""
    found: dict[str, list[str]] = {}
    for name, app in document["apps"].items():
        database = app["database"]
        if database and not database["managed"] and database["engine"] != "sqlite":
            for host in database["hosts"]:
                found.setdefault(f"{database['engine']} at {host}", []).append(name)
    return join(
        f'<div class="host elsewhere"><h3>{esc(where)}</h3><p class="muted">{esc(", ".join(apps))}</p></div>'
        for where, apps in found.items()
    )


def host_boxes(name: str, host: Mapping[str, Any], on_it: Mapping[str, Any], document: Document) -> str:
    head = f"<h3>{icon(host['level'])}{esc(name)}</h3>"
    if host["cores"] is None:
        text = "No answer" if host["reachable"] else "Cannot be reached"
        apps = join(f'<div class="box unknown"><b>{esc(app)}</b></div>' for app in on_it)
        return f'<div class="host failure">{head}<p>{text}</p><div class="boxes">{apps}</div></div>'
    services = host["services"]
    layers = []
    if "nginx" in services:
        layers.append(service_box("nginx", services["nginx"], "web server"))
    if on_it:
        inside = join(app_box(app, name, entry) for app, entry in on_it.items())
        state = services.get("supervisor", "missing")
        mark = "" if state == "active" else f" {pill('failure', state)}"
        layers.append(f'<div class="group"><p>supervisord{mark}</p><div class="boxes">{inside}</div></div>')
    stores = []
    neighbours = {
        other
        for entry in on_it.values()
        for other in (entry["database"] or {"hosts": []})["hosts"]
        if other != name and "app_servers" in document["hosts"].get(other, {"groups": []})["groups"]
    }
    for other in sorted(neighbours):
        stores.append(f'<div class="box unknown">PostgreSQL on {esc(other)}</div>')
    if "postgresql" in services:
        held = [
            " ".join(filter(None, [entry["database"]["name"], known_size(entry["database"]["bytes"])]))
            for entry in document["apps"].values()
            if entry["database"] and entry["database"]["managed"] and name in entry["database"]["hosts"]
        ]
        stores.append(service_box("PostgreSQL", services["postgresql"], ", ".join(held)))
    for service in sorted(set(services) - {"nginx", "supervisor", "postgresql"}):
        stores.append(service_box(service, services[service], held_for(document, name, service)))
    if stores:
        layers.append(f'<div class="boxes">{join(stores)}</div>')
    return f'<div class="host {host["level"]}">{head}{arrow("").join(layers)}</div>'


def held_for(document: Document, host: str, unit: str) -> str:
    """Whose cache or broker a unit is, and how much memory it takes."""
    apps: dict[str, list[str]] = {}
    memory = None
    for app, entry in document["apps"].items():
        for found in entry["hosts"].values():
            for service in SERVED:
                one = found[service]
                if one and (one["host"], one["unit"]) == (host, unit):
                    memory = one["memory"]
                    if app not in apps.setdefault(service, []):
                        apps[service].append(app)
    of = ", ".join(f"{service} of {', '.join(names)}" for service, names in apps.items())
    return " ".join(filter(None, [of, known_size(memory)]))


def known_size(count: int | None) -> str:
    return "" if count is None else size(count)


def service_box(name: str, state: str, note: str) -> str:
    level = "ok" if state == "active" else "failure"
    mark = "" if state == "active" else pill(level, state)
    text = f'<span class="muted">{esc(note)}</span>' if note else ""
    return f'<div class="box {level}"><b>{esc(name)}</b>{mark}{text}</div>'


def app_box(name: str, host: str, app: Mapping[str, Any]) -> str:
    found = app["hosts"][host]
    lines = []
    for group in found["processes"]:
        label = "gunicorn" if group["name"] == "web" else group["name"]
        kind = f'<span class="muted">{esc(group["kind"])}</span> ' if group["kind"] else ""
        lines.append(f"<span>{esc(label)} {kind}{squares(group, found)}</span>")
    for schedule in found["schedules"]:
        good = schedule["result"] in ("", "success", "running")
        lines.append(f'<span class="{"" if good else "bad"}">{CLOCK} {esc(schedule["name"])}</span>')
    database = app["database"]
    if database and database["engine"] == "sqlite":
        lines.append(f'<span class="muted">SQLite {known_size((found["disk"] or {}).get("database"))}</span>')
    state = "" if found["state"] == "healthy" else pill(found["level"], found["state"])
    return f'<div class="box {found["level"]}"><b>{esc(name)}</b>{state}{join(lines)}</div>'


def squares(group: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """One square for each process: full runs the live release, hollow sleeps, crossed does not run."""
    live = (found["release"] or {}).get("id")
    kinds = []
    for one in group["instances"]:
        if one["state"] != "running":
            kinds.append("down")
        elif not one["release"]:
            kinds.append("asleep")
        else:
            kinds.append("up" if one["release"] == live else "old")
    missing = (group["declared"] or 0) - len(kinds)
    kinds += ["down"] * max(0, missing)
    words = {"up": "runs", "old": "runs another release", "asleep": "sleeps", "down": "does not run"}
    label = ", ".join(f"{kinds.count(kind)} {words[kind]}" for kind in words if kind in kinds)
    boxes = join(f'<i class="{kind}"></i>' for kind in kinds[:16])
    more = f"+{len(kinds) - 16}" if len(kinds) > 16 else ""
    return f'<span class="squares" role="img" aria-label="{label}">{boxes}{more}</span>'


# Cards


def app_card(name: str, app: Mapping[str, Any]) -> str:
    link = f'<a href="{esc(app["url"])}">{esc(app["url"])}</a>' if app["url"] else ""
    others = ", ".join(app["domains"][1:])
    also = f'<span class="muted">also {esc(others)}</span>' if others else ""
    own = join(
        f'<p class="note {problem["level"]}">{icon(problem["level"])}<span>{esc(problem["text"])}</span></p>'
        for problem in app["problems"]
    )
    parts = join(on_host(name, host, found, app) for host, found in app["hosts"].items())
    return (
        f'<article class="card {app["level"]}" id="{anchor(name)}"><div class="title"><h3>{icon(app["level"])}'
        f"{esc(name)}</h3><p>{link} {also}</p></div>{own}{parts}</article>\n"
    )


def on_host(name: str, host: str, found: Mapping[str, Any], app: Mapping[str, Any]) -> str:
    head = (
        f'<div class="where"><h4>{esc(host)}</h4>{pill(found["level"], found["state"])}{doing(found)}</div>'
    )
    notes = join(
        f'<p class="note {problem["level"]}">{icon(problem["level"])}<span>{esc(problem["text"])}</span></p>'
        for problem in found["problems"]
    )
    if found["state"] == "unknown":
        return f'<div class="on">{head}<p class="muted">The host could not be looked at.</p></div>'
    left = facts(found, app, host) + processes(found) + schedules(found)
    right = history(found)
    return (
        f'<div class="on">{head}{notes}<div class="columns{"" if right else " single"}"><div>{left}</div>'
        f"{right}</div></div>"
    )


def doing(found: Mapping[str, Any]) -> str:
    lock = found["lock"]
    if not lock:
        return ""
    since = f" since {when(lock['since'])}" if epoch(lock["since"]) is not None else ""
    return f'<span class="muted">A deploy by {esc(lock["holder"] or "somebody")} runs{since}.</span>'


def used_service(one: Mapping[str, Any], host: str) -> str:
    """The cache or the broker of an app."""
    where = f" on {one['host']}" if one["host"] not in ("", host) else ""
    state = "" if one["state"] in (None, "active") else pill("failure", one["state"])
    held = f" {known_size(one['memory'])}" if one["memory"] is not None else ""
    return f"{esc(one['engine'])}{held} {state}<small>{esc((one['unit'] + where).strip())}</small>"


def facts(found: Mapping[str, Any], app: Mapping[str, Any], host: str) -> str:
    release, health, disk = found["release"], found["health"], found["disk"]
    rows: list[tuple[str, str]] = []
    if health:
        rows.append(("Health", f"{esc(answer(health))} <small>{esc(health['path'])}</small>"))
    if release:
        revision = esc(short(release["revision"]))
        version = f"<small>{esc(release['version'])}</small>" if release["version"] else ""
        rows += [
            ("Release", f"<code>{esc(release['id'])}</code>"),
            ("Code", f"<code>{revision}</code> {version}"),
            (
                "Live for",
                f"{esc(ago(release['live_seconds']))} <small>since {when(release['live_since'])}</small>",
            ),
            (
                "Runs on",
                f"Django {esc(release['django'] or '?')} <small>Python {esc(release['python'] or '?')}</small>",
            ),
        ]
    memory = found["memory"]
    if memory:
        rows.append(("Memory", f"{esc(size(memory['bytes']))} <small>{esc(memory['kind'].upper())}</small>"))
    if disk:
        count = disk["releases"]["count"]
        kept = f"<small>in {count} release{'' if count == 1 else 's'}</small>"
        rows.append(("Code on disk", f"{esc(measured(disk['releases']))} {kept}"))
        if disk["media"]:
            rows.append(("Media", esc(measured(disk["media"]))))
    database = app["database"]
    if database:
        bytes_here = (disk or {}).get("database") if database["engine"] == "sqlite" else database["bytes"]
        held = f" {known_size(bytes_here)}"
        where = f"<small>on {esc(', '.join(database['hosts']))}</small>" if database["hosts"] else ""
        rows.append(("Database", f"{esc(database['engine'])}{held} {where}"))
    rows += [
        (service.capitalize(), used_service(one, host))
        for service, one in ((service, found[service]) for service in SERVED)
        if one
    ]
    if app["backup"] and app["backup"]["host"] == host:
        rows += [
            ("Backup", saved(app["backup"]["backup"])),
            ("Restore drill", saved(app["backup"]["drill"])),
        ]
    return (
        f'<dl class="facts">{join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in rows)}</dl>'
    )


def saved(entry: Mapping[str, Any]) -> str:
    """When the last good backup or drill was, and how old it may be."""
    wrong = "failed" if entry["failed"] else "late" if entry["late"] else ""
    mark = pill("failure", wrong) if wrong else ""
    most = f"<small>{esc(ago(entry['limit_seconds']))} at most</small>" if entry["limit_seconds"] else ""
    return f"{esc(aged(entry))} {mark}{most}"


def processes(found: Mapping[str, Any]) -> str:
    live = (found["release"] or {}).get("id")
    rows = []
    for group in found["processes"]:
        serving = [one for one in group["instances"] if one["release"]]
        ages = " / ".join(dict.fromkeys(ago(one["seconds"]) for one in serving if one["seconds"] is not None))
        stopped = [one for one in group["instances"] if one["state"] != "running"]
        wrong = sorted({one["release"] for one in serving} - {live})
        notes = [
            f"number {one['name']}: " + ", ".join(filter(None, [one["state"], one["detail"]]))
            for one in stopped
        ]
        notes += [f"runs {release}, which is not live" for release in wrong]
        workers = sum(one["workers"] for one in serving)
        what = f"{workers} gunicorn workers" if group["name"] == "web" and workers else group["kind"]
        declared = group["declared"]
        count = f"{group['running']} run" if declared is None else f"{group['running']} of {declared} run"
        used = size(sum(one["memory"] for one in group["instances"]))
        details = ", ".join(filter(None, [what, f"up {ages}" if ages else "", used]))
        lines = join(f'<p class="bad">{esc(note)}</p>' for note in notes)
        rows.append(
            f"<li><b>{esc(group['name'])}</b>{squares(group, found)}<span>{esc(count)}</span>"
            f'<span class="muted">{esc(details)}</span>{lines}</li>'
        )
    return f'<h5>Processes</h5><ul class="rows">{join(rows)}</ul>' if rows else ""


def schedules(found: Mapping[str, Any]) -> str:
    rows = []
    for schedule in found["schedules"]:
        good = schedule["result"] in ("", "success", "running")
        level = "ok" if good and schedule["active"] else "warning"
        last = "has not run yet"
        if schedule["last"]:
            result = {"success": "well", "running": "runs now"}.get(schedule["result"]) or outcome(schedule)
            ended = f", ended {when(schedule['ended'])}" if not good and schedule["ended"] else ""
            last = f"last {when(schedule['last'])}: {esc(result)}{ended}"
        following = f"next {when(schedule['next'])}" if schedule["active"] else "its timer is not active"
        rows.append(
            f"<li>{icon(level)}<b>{esc(schedule['name'])}</b><code>{esc(schedule['calendar'])}</code>"
            f'<span class="muted">{last}; {following}</span></li>'
        )
    return f'<h5>Schedules</h5><ul class="rows">{join(rows)}</ul>' if rows else ""


def history(found: Mapping[str, Any]) -> str:
    live = (found["release"] or {}).get("id")
    arrived = [entry for entry in found["deploys"] if (entry["release"], entry["outcome"]) == (live, "live")]
    entries = [deploy(entry, entry is next(iter(arrived), None)) for entry in found["deploys"]]
    if not entries:
        return ""
    rest = ""
    if len(entries) > SHOWN_DEPLOYS:
        count = len(entries) - SHOWN_DEPLOYS
        rest = (
            f'<details><summary>{count} earlier</summary><ol class="timeline">'
            f"{join(entries[SHOWN_DEPLOYS:])}</ol></details>"
        )
    return f'<div><h5>Deploys</h5><ol class="timeline">{join(entries[:SHOWN_DEPLOYS])}</ol>{rest}</div>'


def deploy(entry: Mapping[str, Any], live: bool) -> str:
    level = "ok"
    if entry["outcome"] in UNWANTED:
        level = "failure" if entry["outcome"] == "failed" else "warning"
    took = f"in {entry['seconds']:.0f} s" if entry["seconds"] is not None else ""
    count = len(entry["migrations"])
    moved = ""
    if count:
        what = f"{count} migration{'' if count == 1 else 's'}: {', '.join(entry['migrations'])}"
        moved = f'<p class="muted">{esc(what)}</p>'
    is_live = pill("ok", "live now") if live else ""
    text = " ".join(filter(None, [f"by {entry['by']}" if entry["by"] else "", took]))
    message = f"<pre>{block(entry['message'])}</pre>" if entry["message"] else ""
    return (
        f'<li class="{level}"><p>{icon(level)}<b>{esc(entry["verb"])}: {esc(entry["outcome"])}</b> '
        f"<code>{esc(short(entry['revision']))}</code> {is_live}</p>"
        f'<p class="muted">{when(entry["time"])} {esc(text)}</p>'
        f"{moved}{message}</li>"
    )


def host_card(name: str, host: Mapping[str, Any]) -> str:
    notes = join(
        f'<p class="note {problem["level"]}">{icon(problem["level"])}<span>{esc(problem["text"])}</span></p>'
        for problem in host["problems"]
    )
    system = f'<p class="muted">{esc(host["system"])}</p>'
    head = f'<div class="title"><h3>{icon(host["level"])}{esc(name)}</h3>{system}</div>'
    if host["cores"] is None:
        return f'<article class="card {host["level"]}">{head}{notes}</article>'
    memory = host["memory"]
    free = memory["available"] / memory["total"] if memory["total"] else 1.0
    text = f"{size(memory['available'])} of {size(memory['total'])} free"
    meters = [meter("Memory", 1 - free, text, "warning" if free < LITTLE_MEMORY else "ok")]
    for disk in host["disks"]:
        free = disk["free"] / disk["total"] if disk["total"] else 1.0
        level = "failure" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
        text = f"{size(disk['free'])} of {size(disk['total'])} free"
        meters.append(meter(f"Disk {disk['path']}", 1 - free, text, level))
    load, cores = host["load"][0], host["cores"]
    text = f"{load:.2f} on {cores} core{'' if cores == 1 else 's'}"
    meters.append(meter("Load", load / cores, text, "warning" if load > cores else "ok"))
    states = join(
        pill(
            "ok" if state == "active" else "failure", service if state == "active" else f"{service}: {state}"
        )
        for service, state in host["services"].items()
    )
    kept = archive(host["archive"]) if host["archive"] else ""
    up = f"Up {esc(ago(host['uptime_seconds']))}, set up as <b>{esc(host['setup'] or 'nothing yet')}</b>"
    return (
        f'<article class="card {host["level"]}">{head}{notes}{join(meters)}<p class="pills">{states}</p>{kept}'
        f'<p class="muted">{up}; {esc(", ".join(host["groups"]))}</p></article>'
    )


def archive(found: Mapping[str, Any]) -> str:
    """PostgreSQL's continuous archive."""
    rows = []
    if found["wal"]:
        wal = found["wal"]
        mark = pill("failure", "late") if wal["late"] else ""
        rows.append(("Log archived", f"{esc(aged(wal))} {mark}<small>{esc(behind(wal))}</small>"))
    rows += [
        (word, saved(found[kind]))
        for kind, word in (("backup", "Backup"), ("full", "Full backup"), ("drill", "Restore drill"))
    ]
    facts = join(f"<div><dt>{word}</dt><dd>{value}</dd></div>" for word, value in rows)
    return f'<h5>PostgreSQL\'s archive</h5><dl class="facts">{facts}</dl>'


def meter(name: str, share: float, text: str, level: str) -> str:
    return (
        f'<div class="meter {level}"><p><span>{esc(name)}</span><span>{esc(text)}</span></p>'
        f'<div><i style="width:{100 * min(1.0, share):.0f}%"></i></div></div>'
    )
