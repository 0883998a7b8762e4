# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Apps whose PostgreSQL is declared on another host than the one that has their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

VERB = "move_postgresql"


def server_of(live: Mapping[str, str], address: str) -> str:
    """The address of the host that has the database of a live release on a host with ``address``."""
    return address if live["host"].startswith("/") or not live["host"] else live["host"]


def elsewhere(apps: Apps, facts: Mapping[str, Any], address: str) -> dict[str, str]:
    """The address of the database of each app whose live release uses another host's than is declared."""
    found = {}
    for name, app in apps.items():
        names, wanted = [name, *app["was"]], app["database"]
        live = next((facts["databases"][each] for each in names if each in facts["databases"]), None)
        if live and wanted["managed"] and wanted["engine"] == "postgres":
            server = server_of(live, address)
            if server.lower() != server_of(wanted, address).lower():
                found[name] = server
    return found


def unmoved(
    apps: Apps, facts: Mapping[str, Any], server: Mapping[str, Any], host: str, address: str
) -> list[str]:
    """What keeps a release from another database server: without its rows, an app would be empty.

    ``facts`` are those of the app's host, which others know by ``address``; ``server`` those of the ``host`` that is
    declared, empty where this run leaves it out.
    """
    there = (server.get("undeclared") or {}).get("databases", {})
    # Where a move is not finished, what is there is a copy, and the original may have served since.
    void = server.get("postgres_move", "") not in ("", "open")
    missing = {
        name: where
        for name, where in elsewhere(apps, facts, address).items()
        if void or apps[name]["database"]["name"] not in there
    }
    if not missing:
        return []
    have = "no more than a copy" if void else "no database of theirs, and would get an empty one"
    return [
        f"The inventory's database server is {host}, and the rows of these apps are elsewhere:",
        *(f"{name}: PostgreSQL on {where}" for name, where in sorted(missing.items())),
        f"{host} has {have}. The playbook {VERB} moves PostgreSQL with its rows to {host} (docs/growing.md). Or name "
        "the previous host in database_servers."
        + ("" if void else " -e empty_database=true begins with empty databases, as before a restore."),
    ]


SPARE = 1 << 30  # bytes that stay free
# Seconds of an interruption on hosts with nothing else to do, estimated: stopping and starting; for each table; and for
# each GiB, whose rows are counted on both sides.
BASE, EACH_TABLE, EACH_GIB = 12, 0.002, 3


class MoveError(Exception):
    """A move that cannot begin; the message is for the operator."""


def origin(servers: Mapping[str, str], addresses: Mapping[str, str], recorded: str) -> str:
    """The host that PostgreSQL moves from: ``recorded`` by a move that began, else the one that has the databases of
    the apps (``servers``, by app); empty where nothing is elsewhere. ``addresses`` are those of all hosts."""
    if recorded:
        return recorded
    found = sorted(set(servers.values()))
    if len(found) > 1:
        raise MoveError(
            f"The apps have their databases on several servers ({', '.join(found)}), which are not joined"
        )
    if not found:
        return ""
    hosts = [host for host, address in addresses.items() if address.lower() == found[0].lower()]
    if not hosts:
        raise MoveError(
            f"PostgreSQL is on {found[0]}, and no host of the inventory has that address: keep the previous database "
            "server in the inventory (below all, without a group) until the move is finished"
        )
    return hosts[0]


def decided(
    source: Mapping[str, Any], target: Mapping[str, Any], apps: list[str], finish: bool
) -> dict[str, Any]:
    """What a run does: move, resume, finish or nothing, with what the operator is told of it; refuses what could not
    work. Both have C(host) and the host's facts of its system beside what the module has found."""
    old, new = source.get("host", ""), target["host"]
    phase = source.get("phase", "")
    # A copy that was promoted while nobody could see it is void once the original has served again. A run that finishes
    # can be interrupted when the source has forgotten already.
    if target["promoted"] and (phase in ("stopped", "left", "removing") or (finish and not apps)):
        complete = not apps and phase != "stopped"
        if finish and not complete:
            raise MoveError(f"The move to {new} is not complete yet: run this without finish first")
        if finish:
            return {
                "goes": "finish",
                "lines": [f"{old}: the previous cluster is removed. There is no way back then."],
            }
        if not complete:
            return {
                "goes": "resume",
                "lines": [f"The move from {old} to {new} was interrupted, and goes on."],
            }
        kept = f"PostgreSQL has moved to {new}. {old} keeps the previous cluster; -e finish=true removes it."
        return {"goes": "", "lines": [f"Nothing to do. {kept}"]}
    if finish:
        raise MoveError(f"No move of PostgreSQL to {new} is to be finished")
    if not apps:
        return {"goes": "", "lines": [f"Nothing to do. No app has its database on another host than {new}."]}
    if phase == "stopped" and not source["runs"]:  # in check mode: any other run has started it before
        return {
            "goes": "",
            "lines": [
                f"An interrupted run has stopped PostgreSQL on {old}: the next starts it, and begins again."
            ],
        }
    problems = obstacles(source, target)
    if problems:
        raise MoveError("\n".join([f"PostgreSQL cannot be moved from {old} to {new}:", *problems]))
    idle = BASE + EACH_TABLE * source["tables"] + EACH_GIB * (source["bytes"] / 2**30)
    seconds = round(source["pace"] * idle)
    return {
        "goes": "move",
        "lines": [
            f"PostgreSQL {source['version']} moves from {old} to {new}, with all databases: "
            f"{', '.join(name for name in source['databases'] if name not in ('postgres', 'template1'))}.",
            f"It is copied while {old} serves, and followed by a replica. Then these apps are closed to visitors for "
            f"about {seconds} s: {', '.join(apps)}. All rows are counted on both hosts.",
            f"{old} keeps the previous cluster, stopped, until -e finish=true.",
        ],
    }


def obstacles(source: Mapping[str, Any], target: Mapping[str, Any]) -> list[str]:
    old, new = source["host"], target["host"]
    if not source["runs"]:
        return [f"PostgreSQL does not run on {old}: start it"]
    found = []
    # A bare server does not know yet what it would install: then it is asked before the copy.
    if target["version"] and source["version"] != target["version"]:
        newer = int(target["version"]) > int(source["version"])
        remedy = (
            f"run upgrade_postgresql on {old} first"
            if newer
            else f"install postgresql-{source['version']} on {new}"
        )
        found.append(
            f"{old} has PostgreSQL {source['version']} and {new} {target['version']}, and a move needs "
            f"the same version: {remedy}"
        )
    for what, name in (("system", "release of the distribution"), ("architecture", "architecture")):
        if source[what] != target[what]:
            found.append(f"{old} is {source[what]} and {new} {target[what]}: a move needs the same {name}")
    if target["held"] or (not target["empty"] and target.get("phase") != "left"):
        found.append(
            f"{new} has a cluster with {', '.join(target['held']) or 'tables'} already, which a move would replace: "
            "drop those databases if nobody needs them, or choose another host"
        )
    if target["linked"]:
        found.append(
            f"PostgreSQL's folder on {new} is a link or a disk of its own: mount it at /var/lib/postgresql"
        )
    needed = SPARE + int(source["bytes"] * 1.1)
    if target["free"] < needed:
        found.append(
            f"{new} has {target['free'] >> 20} MiB free for PostgreSQL, and {needed >> 20} MiB are needed"
        )
    if source["tablespaces"]:
        found.append(
            f"{old} has tablespaces of its own, which are not moved here: move them into the cluster"
        )
    if source["unlogged"]:
        found.append(
            f"Rows of unlogged tables would be lost: {', '.join(source['unlogged'][:5])}: ALTER TABLE ... SET LOGGED"
        )
    if source["wal_level"] == "minimal" or source["senders"] < 2 or source["slots"] < 1:
        found.append(
            f"The settings of {old} allow no replica: remove wal_level, max_wal_senders and max_replication_slots from "
            "postgres_settings, and restart PostgreSQL"
        )
    if source["recovering"]:
        found.append(f"PostgreSQL on {old} is a replica itself")
    return found
