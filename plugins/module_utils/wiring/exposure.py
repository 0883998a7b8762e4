# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which ports of a host are to be reached from elsewhere, and by whom: from the apps and the inventory alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.services import RABBITMQ_PORT
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import POSTGRES_PORT

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
        if "database" in serves and any(_managed(app, "database", "postgres") for app in apps.values()):
            found.append(_port(POSTGRES_PORT, peers, "postgresql"))
        for use in sorted({"cache", "broker"} & serves):
            found += [
                _port(app[use]["port"], peers, f"{app[use]['engine']} ({name}-{use})")
                for name, app in apps.items()
                if any(_managed(app, use, engine) for engine in ("redis", "valkey"))
            ]
        if "broker" in serves and any(_managed(app, "broker", "rabbitmq") for app in apps.values()):
            found.append(_port(RABBITMQ_PORT, peers, "rabbitmq"))
    return found


def public_port(socket: str) -> int:
    """The port of a socket that is not for this host alone, or 0."""
    found = re.fullmatch(r"tcp://(.*):(\d+)", socket)
    if not found or found[1].strip("[]") in ("localhost", "::1") or found[1].startswith("127."):
        return 0
    return int(found[2])


def firewall_rules(ports: Iterable[Mapping[str, Any]], own: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rules in nftables' language, from what exposure() says and from what the user adds (C(host_firewall_rules))."""
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


def _managed(app: Mapping[str, Any], use: str, engine: str) -> bool:
    return bool(app[use]["managed"] and app[use]["engine"] == engine)


def _port(port: int, sources: list[str], service: str) -> dict[str, Any]:
    return {"port": port, "protocol": "tcp", "sources": sources, "service": service}
