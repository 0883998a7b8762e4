# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What of a host's own an app, or a service for the apps, would take over."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any


def objections(
    apps: dict[str, Any],
    databases: Iterable[str],
    found: dict[str, Any],
    taken: Iterable[str],
    host: str,
    nginx_sandbox: bool = True,
) -> list[str]:
    """What of it an app, or a service for the apps, would take: lines for the operator. ``taken`` are the words of
    ``take_over``, by which the operator has said that it may."""
    others, taken = found["others"], set(taken)
    told = [
        *of_accounts(apps, others, set(found["domains"]), host),
        *of_ports(apps, others["listeners"], host),
    ]
    if any(app["proxied"] for app in apps.values()):
        told += of_nginx(others, taken, host, nginx_sandbox)
    return [*told, *of_postgres(list(databases), others["postgres"], taken, host)]


def of_accounts(apps: dict[str, Any], others: dict[str, Any], known: Collection[str], host: str) -> list[str]:
    """Users and folders. ``known`` are apps that are there already."""
    told = []
    for name, app in sorted(apps.items()):
        if app["user"] in others["accounts"]:
            home = others["accounts"][app["user"]]
            told.append(
                f"{host} has a user {app['user']} with the home {home}: give the app {name} another name"
            )
        if name in others["folders"] and name not in known:
            told.append(
                f"{host} has a /srv/{name} that is not Homeport's: move it aside, or give the app another name"
            )
    return told


def of_ports(apps: dict[str, Any], listeners: dict[str, list[str]], host: str) -> list[str]:
    told = []
    for port, names in wanted_ports(apps).items():
        owners = listeners.get(port)
        if owners is not None and not {"nginx", "supervisord"} & set(owners):
            owner = ", ".join(owners) or "another program"
            remedy = (
                f"systemctl disable --now {owner}"
                if len(owners) == 1
                else f"ss -ltnp 'sport = :{port}' names it"
            )
            told.append(
                f"port {port} of {host} belongs to {owner}, and {', '.join(names)} would be served there: stop it for "
                f"good ({remedy}), or have it listen elsewhere"
            )
    return told


def of_nginx(others: dict[str, Any], taken: Collection[str], host: str, sandbox: bool) -> list[str]:
    """Other sites, and what they have where Homeport's nginx does not see it."""
    told, files = [], others["nginx"]
    if files and "nginx" not in taken:
        told.append(
            f"nginx on {host} serves something already ({', '.join(files)}): Homeport replaces nginx.conf and removes "
            "sites-enabled/default, and leaves other sites as they are. -e take_over=nginx goes on"
        )
    for path, hidden in others["hidden"].items() if sandbox else ():
        told.append(
            f"nginx on {host} uses {hidden} ({path}), and Homeport's nginx does not see /home, /root and /run/user: "
            "move it, such as to /srv, or set nginx_sandbox to false"
        )
    return told


def of_postgres(wanted: list[str], found: dict[str, Any], taken: Collection[str], host: str) -> list[str]:
    """Rules of pg_hba.conf, and databases of the same names."""
    told, rules = [], found.get("rules", [])
    if rules and wanted and "pg_hba" not in taken:
        told.append(
            f"PostgreSQL on {host} accepts others by {len(rules)} rule{'' if len(rules) == 1 else 's'} of pg_hba.conf "
            f"({rules[0]}{', ...' if len(rules) > 1 else ''}), which Homeport's own file replaces: name the "
            "clients in postgres_clients; -e take_over=pg_hba goes on"
        )
    for name in wanted:
        owner = found.get("databases", {}).get(name)
        if owner and f"database:{name}" not in taken:
            told.append(
                f"PostgreSQL on {host} has a database {name} already, of {owner}: choose another database.name, or go "
                f"on with -e take_over=database:{name}, and it becomes the app's"
            )
    return told


def wanted_ports(apps: dict[str, Any]) -> dict[str, list[str]]:
    """The ports at which visitors meet each app."""
    found: dict[str, list[str]] = {}
    for name, app in sorted(apps.items()):
        if app["proxied"]:
            ports = ["80", *(["443"] if app["tls"]["certificate"] != "none" else [])]
        else:
            port = re.fullmatch(r"tcp://.*:(\d+)", app["web"]["socket"])
            ports = [port[1]] if port else []
        for number in ports:
            found.setdefault(number, []).append(name)
    return found
