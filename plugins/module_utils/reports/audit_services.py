# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of databases, caches, supervisord and backups."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_network import (
    place,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import (
    AGAIN,
    Checked,
    Seen,
    failure,
    listed,
    warning,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.backups import of_host
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import Problem

PRIVILEGED = 1024  # ports below are root's, and of units that may bind them
KEPT = tuple(facts.account for facts in FACTS.values() if facts.account and not facts.local)


def postgres(seen: Seen) -> Checked:
    found = seen.part("postgres")
    if not found:
        return None
    apps = [
        database
        for spec in seen.wanted["apps"]
        for database in [spec["database"], *spec.get("databases", {}).values()]
    ]
    names = {
        database["name"] for database in apps if database["managed"] and database["engine"] == "postgres"
    }
    owners = {database["owner"] for database in found["databases"] if database["name"] in names}
    problems = []
    for database in found["databases"]:
        if database["public"] and database["name"] != "postgres":
            text = f"every role may use the database {database['name']} ({database['public']})"
            do = f"{AGAIN}, or REVOKE ALL ON DATABASE {database['name']} FROM PUBLIC"
            problems.append((failure if database["name"] in names else warning)(text, do))
    for role in found["roles"]:
        name = role["name"]
        if role["powers"] and name != "postgres":
            level = failure if name in owners or "SUPERUSER" in role["powers"] else warning
            less = " ".join(f"NO{power}" for power in role["powers"].split(", "))
            problems.append(level(f"the role {name} has {role['powers']}", f"ALTER ROLE {name} {less}"))
        if role["md5"]:
            problems.append(
                warning(f"the password of the role {name} is kept as MD5", f"give {name} a new one")
            )
    return f"{len(found['databases'])} databases, {len(found['roles'])} roles", problems + rules(
        found["rules"]
    )


def rules(entries: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Lines of pg_hba.conf that let in whom they should not."""
    found = []
    for rule in entries:
        text, near = (
            f"line {rule['line']} of its hba file",
            rule["type"] == "local" or nearby(rule["address"]),
        )
        do = "change the line: leave postgres_clients to the role, and put no others in"
        if rule["method"] == "trust":
            found.append(failure(f"{text} accepts everybody without a password (trust)", do))
        elif rule["method"] == "password" and not near:
            found.append(failure(f"{text} takes passwords in the clear", do))
        elif (
            rule["type"] in ("host", "hostnossl", "hostnogssenc") and not near and rule["method"] != "reject"
        ):
            found.append(failure(f"{text} accepts {rule['address'] or 'others'} without TLS", do))
    return found


def nearby(address: str) -> bool:
    if address == "samehost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def stores(seen: Seen) -> Checked:
    found = seen.part("stores")
    if not found:
        return None
    problems = [
        failure(
            f"{entry['program']} on port {entry['port']} takes commands from every user of the host without a password",
            f"{AGAIN}; stop one that is not Homeport's, or give it a password",
        )
        for entry in found
        if entry["open"]
    ]
    problems += [
        warning(
            f"{entry['program']} on port {entry['port']} did not answer: whether it asks for a password is not known",
            "check it by hand: it may speak TLS alone, or hang",
        )
        for entry in found
        if entry["open"] is None
    ]
    return listed(f"{entry['program']} {entry['port']}" for entry in found), problems


def service_ports(seen: Seen) -> Checked:
    """Nobody else can bind a service's port while it restarts, where clients would give their passwords to it."""
    first = seen.part("unprivileged_port")
    served = [
        entry
        for entry in seen.part("sockets")
        if entry["protocol"] == "tcp" and (entry["user"] in KEPT or entry["program"] == "supervisord")
    ]
    if not served:
        return None
    low = [entry for entry in served if first <= entry["port"] < PRIVILEGED]
    high = [entry for entry in served if entry["port"] >= max(first, PRIVILEGED)]
    problems = []
    if low:
        problems.append(
            failure(
                f"every user may bind ports from {first} on, so that of {place(low)} when it restarts",
                "set net.ipv4.ip_unprivileged_port_start to 1024; grep -r /etc/sysctl* for what lowers it",
            )
        )
    if high:
        problems.append(
            warning(
                f"every user may bind the port of {place(high)} when it restarts",
                "choose one below 1024, or take port out of cache and broker in the app's definition",
            )
        )
    return listed(place([entry]) for entry in served), problems


def supervisord(seen: Seen) -> Checked:
    found = seen.part("supervisord")
    if found is None:
        return None
    problems = [
        failure(
            f"{path} has supervisord take orders over TCP (inet_http_server)",
            "remove that section, and systemctl reload supervisor",
        )
        for path in found["files"]
    ]
    return "takes orders from root's socket alone" if not problems else "", problems


def backups(seen: Seen) -> Checked:
    """What concerns the host's backups as a whole, by the rules of status; those of an app are a check of their own."""
    made, kept = seen.part("backups"), seen.part("archive")
    if not made and not kept:
        return None
    _shown, problems = of_host({"backups": made, "archive": kept, "time": seen.inside["time"]})
    what = ["their timers run"] + (["PostgreSQL's archive is up to date"] if kept else [])
    do = "the setup playbook starts timers that do not run; journalctl -u 'homeport-*' and docs/backups.md say more"
    levels = {"failure": failure, "warning": warning}
    return listed(what), [levels[problem["level"]](problem["text"], do) for problem in problems]
