# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The exposure of a host: which ports are open, and to whom. It follows from the apps and the inventory alone."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES, find

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
    for entry in [*ports, *own]:
        service = entry.get("service") or entry.get("comment") or "host_firewall_rules"
        protocol = entry.get("protocol", "tcp")
        listed = entry["port"] if isinstance(entry["port"], (list, tuple)) else [entry["port"]]
        target = f"{protocol} dport {{ {', '.join(str(port) for port in listed)} }} accept"
        comment = f' comment "{service}"'
        sources = list(entry.get("sources", ANY))
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


def firewall_problems(rules: Any) -> list[str]:
    """What is wrong with C(host_firewall_rules)."""
    if not isinstance(rules, list):
        return [
            "host_firewall_rules: must be a list of rules, such as [{port: 8443, sources: [192.0.2.0/24]}]"
        ]
    found: list[str] = []
    for index, rule in enumerate(rules):
        where = f"host_firewall_rules[{index}]"
        if not isinstance(rule, Mapping) or "port" not in rule:
            found.append(f"{where}: must have a port, such as {{port: 8443}}")
            continue
        for field in sorted(set(rule) - {"port", "protocol", "sources", "comment"}, key=str):
            found.append(
                f"{where}.{field}: is not a field here; there are port, protocol, sources and comment"
            )
        ports = rule["port"] if isinstance(rule["port"], (list, tuple)) else [rule["port"]]
        if not ports:
            found.append(f"{where}.port: has no port in it")
        for port in ports:
            if isinstance(port, bool) or not _is_port(str(port)):
                found.append(
                    f"{where}.port: {port!r} is not a port from 1 to 65535, nor a range such as 6000-6010"
                )
        if rule.get("protocol", "tcp") not in ("tcp", "udp"):
            found.append(f"{where}.protocol: must be tcp or udp, not {rule['protocol']!r}")
        sources = rule.get("sources", ANY)
        if not isinstance(sources, (list, tuple)):
            found.append(f"{where}.sources: must be a list of addresses or networks")
        elif not sources:
            found.append(
                f"{where}.sources: is empty, so nobody has access; leave it out for everybody, or leave the rule out"
            )
        elif list(sources) != ANY:
            found += [
                f"{where}.sources: {source!r} is not an address or a network, such as 192.0.2.7 or 2001:db8::/32"
                for source in sources
                if not is_network(str(source))
            ]
        if not re.fullmatch(r"[\w .,:()+-]{0,100}", str(rule.get("comment", "")), re.ASCII):
            found.append(
                f"{where}.comment: may have letters (a to z), digits, spaces and .,:()+- only, 100 of them"
            )
    return found


def is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    # nftables takes no 192.0.2.0/255.255.255.0
    return re.fullmatch(r"\d*", text.partition("/")[2]) is not None


def _is_port(text: str) -> bool:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", text)
    return found is not None and 1 <= int(found[1]) <= int(found[2] or found[1]) <= 65535


def _port(port: int, sources: list[str], service: str) -> dict[str, Any]:
    return {"port": port, "protocol": "tcp", "sources": sources, "service": service}
