# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What of a host's own an app, or a service for the apps, would take over."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS

SANDBOX = "does not see /home, /root and /run/user: move it, such as to /srv, or set"
# What needs no open port (Docker's is let pass, Tailscale meets its peers over UDP), and what fresh machines have (name
# resolution of the local network, rpcbind).
PASSES, FRESH = {"docker-proxy", "tailscaled"}, {"5355", "111"}


def objections(
    apps: dict[str, Any],
    databases: Mapping[str, list[dict[str, Any]]],
    found: dict[str, Any],
    taken: Iterable[str],
    host: str,
    here: Mapping[str, Any],
) -> list[str]:
    """What of it an app, or a service for the apps, would take: lines for the operator. ``taken`` are the words of
    ``take_over``, by which the operator has said that it may.

    ``databases`` are those of each app. ``here`` has what the host is to run: the ``engines`` of caches and brokers,
    the ``rules`` of its firewall (none where it gets none), and whether nginx (``nginx_sandbox``) and supervisord
    (``supervisord_sandbox``) get a sandbox.
    """
    others, taken = found["others"], set(taken)
    told = [
        *of_accounts(apps, others, set(found["domains"]), host),
        *of_ports(apps, others, host),
        *of_firewall(others, here, found["sets"], taken, host),
        *of_services(others["services"], here["engines"], taken, host),
    ]
    if any(app["proxied"] for app in apps.values()):
        told += of_nginx(apps, others, taken, host, here["nginx_sandbox"])
    if apps:
        told += of_programs(others, taken, host, here["supervisord_sandbox"])
    known = set(found["parts"].get(FACTS["postgres"].component, {}))
    return [*told, *of_postgres(databases, known, others["postgres"], taken, host)]


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


def of_ports(apps: dict[str, Any], others: dict[str, Any], host: str) -> list[str]:
    told = []
    for port, names in wanted_ports(apps).items():
        owners = others["listeners"].get(port)
        if owners is not None and not {"nginx", "supervisord"} & set(owners):
            owner = ", ".join(owners) or "another program"
            told.append(
                f"port {port} of {host} belongs to {owner}, and {', '.join(names)} would be served there: "
                f"{freed(port, owners, others['units'])}, or have it listen elsewhere"
            )
    return told


def freed(port: str, owners: list[str], units: Mapping[str, str]) -> str:
    """How its owners give up a port."""
    if owners == ["docker-proxy"]:
        return f"publish another port of the container (docker ps --filter publish={port} names it)"
    unit = units.get(owners[0]) if len(owners) == 1 else None
    remedy = f"systemctl disable --now {unit}" if unit else f"ss -ltnp 'sport = :{port}' names it"
    return f"stop it for good ({remedy})"


def of_firewall(
    others: dict[str, Any], here: Mapping[str, Any], sets: Collection[str], taken: Collection[str], host: str
) -> list[str]:
    """Programs that a first firewall would cut off from the network."""
    if here["rules"] is None or "firewall" in sets or "ports" in taken:
        return []
    engines = {"beam.smp", "epmd"} if "rabbitmq" in here["engines"] else set()
    closed = {
        port: names
        for port, names in others["listeners"].items()
        if port not in FRESH
        and port not in others["local"]
        and not (names and set(names) <= PASSES | engines | {"sshd", "postgres"})
        and not is_open(int(port), here["rules"])
    }
    if not closed:
        return []
    listed = ", ".join(
        f"{port} ({', '.join(names) or 'of the kernel'})"
        for port, names in sorted(closed.items(), key=lambda it: int(it[0]))
    )
    return [
        f"programs of {host} listen on ports that Homeport's firewall closes: {listed}. Add them to "
        "host_firewall_rules, have the programs listen on 127.0.0.1, or set host_firewall to false; "
        "-e take_over=ports closes them"
    ]


def is_open(port: int, rules: Iterable[Mapping[str, Any]]) -> bool:
    """Whether any rule opens a TCP port, to whomever."""
    for rule in rules:
        listed = rule["port"] if isinstance(rule["port"], (list, tuple)) else [rule["port"]]
        for entry in listed if rule.get("protocol", "tcp") == "tcp" else []:
            first, _dash, last = str(entry).partition("-")
            if int(first) <= port <= int(last or first):
                return True
    return False


def of_services(
    used: Collection[str], engines: Collection[str], taken: Collection[str], host: str
) -> list[str]:
    """Caches and brokers of others."""
    told = []
    for engine in sorted(set(used) & set(engines) - set(taken)):
        facts = FACTS[engine]
        does = (
            "stops it and runs an instance of its own for each app"
            if facts.instances
            else "gives it other settings, deletes its user guest and does not see what it keeps now"
        )
        told.append(
            f"{facts.title} runs on {host} already ({facts.packaged}.service), and Homeport {does}: if nothing needs "
            f"it, disable it (systemctl disable --now {facts.packaged}), or choose another engine or host; "
            f"-e take_over={engine} goes on"
        )
    return told


def of_programs(others: dict[str, Any], taken: Collection[str], host: str, sandbox: bool) -> list[str]:
    """Programs of others in supervisord, and commands in places that are Homeport's, too."""
    told, programs = [], others["programs"]
    if programs and "supervisord" not in taken:
        told.append(
            f"supervisord on {host} runs programs of others ({', '.join(programs)}): Homeport restarts it, and them "
            "with it. -e take_over=supervisord goes on"
        )
    for path, hidden in programs.items() if sandbox else ():
        if hidden:
            told.append(
                f"supervisord on {host} uses {hidden} ({path}), and Homeport's supervisord {SANDBOX} "
                "supervisord_sandbox to false"
            )
    for path in others["commands"]:
        if "commands" not in taken:
            told.append(
                f"{host} has a {path} that is not Homeport's, and Homeport puts a link there: move it aside; "
                "-e take_over=commands replaces it"
            )
    return told


def of_nginx(
    apps: dict[str, Any], others: dict[str, Any], taken: Collection[str], host: str, sandbox: bool
) -> list[str]:
    """Other sites, and what they have where Homeport's nginx does not see it."""
    told, files = [], others["nginx"]
    if files and "nginx" not in taken:
        told.append(
            f"nginx on {host} serves something already ({', '.join(files)}): Homeport replaces nginx.conf and removes "
            "sites-enabled/default, and leaves other sites as they are. -e take_over=nginx goes on"
        )
    for name in sorted(name for name, app in apps.items() if app["proxied"] and name in others["sites"]):
        told.append(
            f"{host} has a site /etc/nginx/sites-enabled/{name}.conf that is not Homeport's, where the site of the app "
            f"{name} would be: give the file or the app another name"
        )
    for path, hidden in others["hidden"].items() if sandbox else ():
        told.append(
            f"nginx on {host} uses {hidden} ({path}), and Homeport's nginx {SANDBOX} nginx_sandbox to false"
        )
    return told


def of_postgres(
    wanted: Mapping[str, list[dict[str, Any]]],
    known: Collection[str],
    found: dict[str, Any],
    taken: Collection[str],
    host: str,
) -> list[str]:
    """Rules of pg_hba.conf, databases and roles. ``known`` are apps that have theirs from Homeport."""
    told, rules = [], found.get("rules", [])
    if rules and any(wanted.values()) and "pg_hba" not in taken:
        told.append(
            f"PostgreSQL on {host} accepts others by {len(rules)} rule{'' if len(rules) == 1 else 's'} of pg_hba.conf "
            f"({rules[0]}{', ...' if len(rules) > 1 else ''}), which Homeport's own file replaces: name the "
            "clients in postgres_clients; -e take_over=pg_hba goes on"
        )
    for app, specs in wanted.items():
        for spec in specs:
            told += of_database(spec, app in known, found, taken, host)
        if app not in known:
            told += of_roles(specs, found, taken, host)
    names = {spec["name"] for specs in wanted.values() for spec in specs}
    others = sorted(set(found.get("databases", {})) - names)
    if others and names and not found["ours"] and "postgres" not in taken:
        told.append(
            f"PostgreSQL on {host} has databases of others ({', '.join(others)}): Homeport restarts it once, with "
            "settings of its own. -e take_over=postgres goes on"
        )
    return told


def of_database(
    spec: Mapping[str, Any], known: bool, found: dict[str, Any], taken: Collection[str], host: str
) -> list[str]:
    name = spec["name"]
    database = found.get("databases", {}).get(name)
    if not database or f"database:{name}" in taken or is_ours(database, spec["owner"], known):
        return []
    return [
        f"PostgreSQL on {host} has a database {name} already, of {database['owner']}: choose another database.name, or "
        f"go on with -e take_over=database:{name}, and it becomes the app's"
    ]


def is_ours(database: Mapping[str, Any], owner: str, known: bool) -> bool:
    """Whether it is as Homeport leaves one: the app's, and closed to others; or not handed over yet. A run that was
    interrupted has left no other trace."""
    return bool(database["new"] or (database["owner"] == owner and (known or not database["public"])))


def of_roles(
    specs: list[dict[str, Any]], found: dict[str, Any], taken: Collection[str], host: str
) -> list[str]:
    """Roles that somebody else uses, in databases other than those of the app."""
    told, databases = [], found.get("databases", {})
    for owner in dict.fromkeys(spec["owner"] for spec in specs):
        role = found.get("roles", {}).get(owner)
        if not role or f"role:{owner}" in taken:
            continue
        ours = {spec["name"] for spec in specs if spec["owner"] == owner}
        elsewhere = [
            name
            for name in role["in"]
            if name not in ours and not (name in databases and is_ours(databases[name], owner, False))
        ]
        why = (
            "which is a superuser"
            if role["super"]
            else f"which uses the database {elsewhere[0]}"
            if elsewhere
            else "which is a member of other roles"
            if role["member"]
            else "which has a password"
            if role["password"] and not role["in"]
            else ""
        )
        if why:
            goes_on = (
                ""
                if role["super"]
                else f", or go on with -e take_over=role:{owner}, and it becomes the app's"
            )
            told.append(
                f"PostgreSQL on {host} has a role {owner} already, {why}: give the app another name{goes_on}"
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
