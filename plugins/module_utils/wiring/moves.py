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
    missing = {
        name: where
        for name, where in elsewhere(apps, facts, address).items()
        if apps[name]["database"]["name"] not in there
    }
    if not missing:
        return []
    return [
        f"The inventory's database server is {host}, and the rows of these apps are elsewhere:",
        *(f"{name}: PostgreSQL on {where}" for name, where in sorted(missing.items())),
        f"{host} has no database of theirs, and would get an empty one. The playbook {VERB} moves PostgreSQL with its "
        f"rows to {host} (docs/growing.md). Or name the previous host in database_servers. "
        "-e empty_database=true begins with empty databases, as before a restore.",
    ]
