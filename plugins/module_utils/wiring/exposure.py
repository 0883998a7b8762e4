# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The exposure of a host: which ports are open, and to whom. It follows from the apps and the inventory alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES, find
from ansible_collections.homeport.django.plugins.module_utils.validation.roles.host import FIREWALL_RULE

ANY = ["any"]


def exposure(apps: Mapping[str, Mapping[str, Any]], host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The open TCP ports of a host: C(port), C(sources) (addresses, or V(any)) and the C(service) behind it.

    host: C(ssh_ports), C(serves) (which of apps, database, cache, broker it is in the inventory), and the addresses of
    the app servers that are other hosts (C(peers)).
    """
    serves, peers = set(host["serves"]), sorted(set(host["peers"]))
    found = [_port(int(port), ANY, "ssh") for port in host["ssh_ports"]]
    if "apps" in serves:
        if any(app["proxied"] for app in apps.values()):
            found += [_port(port, ANY, "nginx") for port in (80, 443)]
        found += [
            _port(port, ANY, name)
            for name, app in apps.items()
            if not app["proxied"] and (port := public_port(app["web"]["socket"]))
        ]
    if peers:
        found += [_port(port, peers, label) for port, label in service_ports(apps, serves)]
    return found


def service_ports(apps: Mapping[str, Mapping[str, Any]], serves: set[str]) -> list[tuple[int, str]]:
    """The TCP ports of the databases, caches and brokers that a host serves, each with what is behind it: by role."""
    found = []
    for role in dict.fromkeys(engine.facts.role for engine in ENGINES.values()):
        for use in sorted(serves & {"database", *SERVICES}):
            for name, app in apps.items():
                engine = find(app[use]["engine"], use)
                if app[use]["managed"] and app[use]["port"] and engine and engine.facts.role == role:
                    found.append((app[use]["port"], engine.label(name, use)))
    return list(dict.fromkeys(found))


def public_port(socket: str) -> int:
    """The port of a socket that is not for this host alone, or 0."""
    found = re.fullmatch(r"tcp://(.*):(\d+)", socket)
    if not found or found[1].strip("[]") in ("localhost", "::1") or found[1].startswith("127."):
        return 0
    return int(found[2])


def firewall_rules(ports: Iterable[Mapping[str, Any]], own: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rules of nftables for the ports of exposure() and those of the user (C(host_firewall_rules))."""
    lines: list[str] = []
    defaults = FIREWALL_RULE.blank()
    for given in [*ports, *own]:
        entry = {**defaults, **given}
        service = entry.get("service") or entry["comment"] or "host_firewall_rules"
        listed = entry["port"] if isinstance(entry["port"], (list, tuple)) else [entry["port"]]
        target = f"{entry['protocol']} dport {{ {', '.join(str(port) for port in listed)} }} accept"
        comment = f' comment "{service}"'
        sources = list(entry["sources"])
        if sources == ANY:
            lines.append(target + comment)
            continue
        for family, chosen in (
            ("ip", [source for source in sources if ":" not in source]),
            ("ip6", [source for source in sources if ":" in source]),
        ):
            if chosen:
                lines.append(f"{family} saddr {{ {', '.join(chosen)} }} {target}{comment}")
    return list(dict.fromkeys(lines))


def _port(port: int, sources: list[str], service: str) -> dict[str, Any]:
    return {"port": port, "protocol": "tcp", "sources": sources, "service": service}
