# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host still has that is not declared any more, in words: each with the way to remove it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import app_of

Line = dict[str, str]  # app, kind and text


def undeclared_lines(
    found: Mapping[str, Any], declared: Mapping[str, Any], run: str, setup: str
) -> list[Line]:
    """A line for each thing that is not declared any more. What stops apps, processes and schedules is called ``run``,
    and services the playbook ``setup``."""
    apps = set(declared["apps"])
    data = left_data(found, declared)
    who = run if run == "this run" else f"the playbook {setup}"
    lines = [
        {"app": was, "kind": "app", "text": f"{was} is called {new} now: {who} renames it, with its data"}
        for was, new in sorted(declared["renamed"].items())
        if was in found["apps"]
    ]
    data = [entry for entry in data if entry[0] not in declared["renamed"]]
    here = set(found["apps"]) - (apps if declared["here"] else set())
    here -= declared["renamed"].keys()
    for name in sorted(here | {app for app, _what, _how in data} - {*apps, ""}):
        stay = [f"/srv/{name}"] if name in found["apps"] else []
        stay += [what for app, what, _how in data if app == name]
        served = any(program.startswith(f"{name}.") for program in found["process"])
        state = f"{run} stops it" if served else "it is not served"
        # remove_app would remove it on the other hosts, too
        elsewhere = name in apps
        remedy = (
            "Name the host in app_servers or worker_servers again, or remove them by hand"
            if elsewhere
            else f"Declare it again, or remove it after a last dump: remove_app.yml -e app={name}"
        )
        text = (
            f"{name} is not declared{' here' if elsewhere else ''} any more: {state}, and its data stay "
            f"({', '.join(stay)}). {remedy}"
        )
        lines.append({"app": name, "kind": "app", "text": text})
    for kind, end in PARTS.items() if declared["here"] else ():
        for full in sorted(set(found[kind]) - set(declared[kind])):
            app, _dot, name = full.partition(".")
            if app in apps:
                text = f"the {kind} {name} of {app} is not declared any more: {run} stops it{end}"
                lines.append({"app": app, "kind": kind, "text": text})
    for unit in sorted(set(found["units"]) - set(declared["units"])):
        if (app := app_of(unit)) in apps:
            stays = f", and its data stay in {found['stores'][unit]}" if unit in found["stores"] else ""
            end = f"the playbook {setup} stops it"
            end = end if declared["services"] else still_runs(f"systemctl disable --now {unit}")
            text = f"{unit.removesuffix('.service')} is not declared any more: {end}{stays}"
            lines.append({"app": app, "kind": "service", "text": text})
    for app, what, how in data:
        if app in {*apps, ""} and how:
            text = f"{what} is not declared, and stays. To remove it, once no release uses it, as root: {how}"
            lines.append({"app": app, "kind": "data", "text": text})
    for kind, text in COPIES.items():
        if found[kind] and not declared[kind]:
            lines.append({"app": "", "kind": kind, "text": f"{text} with the playbook {setup}. {STAY[kind]}"})
    return lines


def still_runs(command: str) -> str:
    return f"it still runs, and no run stops it (as root: {command})"


PARTS = {
    "process": ". It finishes what it does; tasks that wait stay in its queue",
    "schedule": "",
}
COPIES = {
    "backup": "backup_repository is not set any more: backups and restore drills end",
    "archive": "pgbackrest_repository is not set any more: PostgreSQL's archive ends",
}
STAY = {
    "backup": "The backups that there are stay in the repository",
    "archive": "What is archived stays in the repository",
}


def left_data(found: Mapping[str, Any], declared: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Data of services that are not declared: of which app, what, and the command that removes them, if nothing uses
    them any more."""
    data = [
        (
            app_of(unit),
            f"{unit.removesuffix('.service')} ({path})",
            "" if unit in found["units"] else f"rm -r {path}",
        )
        for unit, path in found["stores"].items()
        if unit not in declared["units"]
    ]
    data += [
        (owner, f"the database {name}", f"runuser -u postgres -- dropdb {shlex.quote(name)}")
        for name, owner in found["databases"].items()
        if name not in declared["databases"]
    ]
    known = {*found["apps"], *declared["apps"], *(app for app, _what, _how in data)}
    data += [
        (
            name if name in known else "",  # others make virtual hosts, too
            f"RabbitMQ's virtual host {name}",
            f"rabbitmqctl delete_vhost {shlex.quote(name)}",
        )
        for name in found["vhosts"]
        if name not in declared["vhosts"]
    ]
    return sorted(data)
