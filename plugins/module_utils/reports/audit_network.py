# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of ports and firewalls."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import (
    Checked,
    Seen,
    failure,
    listed,
    warning,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import Problem

HOMEPORT = "inet homeport"
EPHEMERAL = 32768  # from here on, sockets of UDP are those of clients
DHCP = (68, 546)
LAST_PORT = 65535
FORWARDER = "docker-proxy"
# of RFC 1918, carriers, and RFC 4193
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


def expected(seen: Seen) -> dict[tuple[str, int], list[str]]:
    """Protocol and port of everything that is to be open, with who may come."""
    found: dict[tuple[str, int], list[str]] = {}
    for entry in (*seen.wanted["exposure"], *seen.wanted["rules"]):
        for port in ports_of(entry["port"]):
            sources = found.setdefault((entry.get("protocol", "tcp"), port), [])
            sources += [str(source) for source in entry.get("sources", ["any"])]
    # behind a forwarded port the controller connects to another one than sshd has
    sshd = (seen.inside.get("sshd") or {}).get("found") or {}
    for port in sshd.get("ports", []):
        found.setdefault(("tcp", port), ["any"])
    return found


def ports_of(value: Any) -> Iterator[int]:
    """The ports of a rule: a number, a range (6000-6010), or a list of them."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        first, _dash, last = str(item).partition("-")
        yield from range(int(first), int(last or first) + 1)


def undeclared(seen: Seen) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    """What listens to others and is not expected, by protocol and port."""
    wanted = expected(seen)
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for entry in seen.part("sockets"):
        key = (entry["protocol"], entry["port"])
        client = key[0] == "udp" and (key[1] >= EPHEMERAL or key[1] in DHCP)
        if key not in wanted and not client and not local(entry["address"]):
            found.setdefault(key, []).append(entry)
    return found


def place(entries: Iterable[Mapping[str, Any]]) -> str:
    """Where something listens, and what it is."""
    found = []
    for entry in entries:
        address = f"[{entry['address']}]" if ":" in entry["address"] else entry["address"]
        found.append(f"{address}:{entry['port']} ({entry['program'] or entry['user']})")
    return ", ".join(dict.fromkeys(found))


def local(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


DROPPED = "dropped"
UNKNOWN = "unknown"
OPEN = "open"


def exposure(seen: Seen, entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What becomes of those who come from elsewhere to a port that is not declared, and how one knows."""
    found = seen.part("firewall")
    if any(entry["program"] == FORWARDER for entry in entries):
        return OPEN, "and Docker forwards it past the firewall"
    if HOMEPORT in found["dropping"]:
        rules = [rule for rule in found["accepted"] if covers(rule, entries[0])]
        if not rules:
            return DROPPED, ""
        if all(rule["some"] for rule in rules):
            return UNKNOWN, "the firewall accepts some sources"
        return OPEN, "and the firewall accepts every source"
    if found["dropping"]:
        return UNKNOWN, f"whether {listed(found['dropping'])} drops it is unknown"
    if not found["known"]:
        return UNKNOWN, "whether a firewall drops it is unknown"
    return OPEN, "and no firewall drops it"


def covers(rule: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return bool(rule["protocol"] == entry["protocol"] and rule["first"] <= entry["port"] <= rule["last"])


def ports(seen: Seen) -> Checked:
    """What listens beyond the host itself is what the inventory says; the rest nobody reaches."""
    others = undeclared(seen)
    problems, dropped = [], []
    for (protocol, port), entries in others.items():
        what, why = exposure(seen, entries)
        if what == DROPPED:
            dropped.append(place(entries))
            continue
        level = failure if what == OPEN and protocol == "tcp" else warning
        text = f"{place(entries)} listens to other hosts over {protocol} and is not declared in the inventory"
        problems.append(
            level(
                f"{text}{';' if what == UNKNOWN else ','} {why}",
                "stop it, or have it listen on 127.0.0.1 alone; if others are to reach it, add "
                f"{{port: {port}{', protocol: udp' if protocol == 'udp' else ''}}} to host_firewall_rules "
                "in group_vars",
            )
        )
    open_ports = sorted(
        {
            entry["port"]
            for entry in seen.part("sockets")
            if not local(entry["address"]) and (entry["protocol"], entry["port"]) not in others
            if entry["protocol"] == "tcp"
        }
    )
    note = f"{listed(open_ports)} as declared" if open_ports else "nothing listens to other hosts"
    if dropped:
        note += f"; the firewall drops {listed(dropped)}"
    return note, problems


def firewall(seen: Seen) -> Checked:
    found = seen.part("firewall")
    if HOMEPORT in found["dropping"]:
        return "drops what is not allowed", accepted_problems(expected(seen), found["accepted"])
    if not found["known"] and (found["declared"] or not found["dropping"]):
        text = "what the firewall drops is not known: nft is missing, or fails"
        do = "apt-get install nftables; nft list ruleset shows why it fails"
        return "not known", [(failure if found["declared"] else warning)(text, do)]
    if found["declared"]:
        return "off", [
            failure(
                "the firewall is configured, but drops nothing",
                "systemctl restart homeport-firewall; journalctl -u homeport-firewall shows why it stopped",
            )
        ]
    if found["dropping"]:
        return f"{listed(found['dropping'])}, which is not Homeport's, drops", []
    return "none", [
        warning(
            "there is no firewall: a program that opens a port by mistake opens it to everybody",
            "set host_firewall to true (its default) and run the setup playbook",
        )
    ]


def accepted_problems(
    wanted: Mapping[tuple[str, int], list[str]], accepted: Iterable[Mapping[str, Any]]
) -> list[Problem]:
    """What the firewall accepts now, and the inventory does not declare."""
    do = (
        "systemctl restart homeport-firewall removes what was added by hand, the setup playbook what is no longer "
        "in the inventory"
    )
    problems, unknown = [], []
    for rule in accepted:
        protocol, first, last = rule["protocol"], rule["first"], rule["last"]
        span = [(protocol, port) for port in range(first, last + 1)]
        name = f"{protocol} {first}{f'-{last}' if last > first else ''}"
        if len(span) > LAST_PORT:
            who, level = ("some sources", warning) if rule["some"] else ("every source", failure)
            problems.append(level(f"the firewall accepts {who} on every port of {protocol}", do))
        elif protocol == "udp" and first == last and first in DHCP:
            continue
        elif any(key not in wanted for key in span):
            unknown.append(name)
        elif not rule["some"] and any("any" not in wanted[key] for key in span):
            sources = dict.fromkeys(source for key in span for source in wanted[key])
            text = (
                f"the firewall accepts every source on {name}, which is declared for {listed(sources)} alone"
            )
            problems.append(failure(text, do))
    if unknown:
        text = f"the firewall accepts {listed(unknown)}, which is not declared in the inventory"
        problems.append(warning(text, do))
    return problems


def from_outside(seen: Seen) -> Checked:
    """What answers the controller is meant for it."""
    outside = seen.outside
    if not outside:
        return None
    if not outside["reached"]:
        return "not inspected", [
            warning(
                f"nothing was inspected from outside: {outside['reason']}",
                "run the audit from a machine that reaches the host's address, or add -e outside=false",
            )
        ]
    wanted = expected(seen)
    # the check of the ports reports those that nothing drops
    inside = all(seen.inside.get(name, {}).get("found") is not None for name in ("sockets", "firewall"))
    others = undeclared(seen) if inside else {}
    said = {key for key, entries in others.items() if exposure(seen, entries)[0] == OPEN}
    source = visitor(seen)
    problems = []
    for port in outside["ports"]:
        sources = wanted.get(("tcp", port))
        if sources is None and ("tcp", port) not in said:
            problems.append(
                failure(
                    f"port {port} answers {source} and is not declared in the inventory",
                    "have the firewall drop it (nft list ruleset), or stop what answers there; where something else "
                    f"than the host answers, look there; or add {{port: {port}}} to host_firewall_rules in group_vars",
                )
            )
        elif sources is not None and not allowed(source, sources):
            text = f"port {port} answers {source} and is declared for {listed(sources)} alone"
            if possibly_allowed(seen, sources):
                do = "nothing, where one of them is the address that the host sees this machine under"
                problems.append(warning(f"{text}; the host may see another address", do))
            else:
                do = "have the firewall drop it: host_firewall: true, or systemctl restart homeport-firewall"
                problems.append(failure(text, do))
    return f"{listed(outside['ports'])} answer {source}", problems


def visitor(seen: Seen) -> str:
    """The controller's address as the host sees it, which behind NAT is not the one that it has itself."""
    source: str = seen.outside["source"]
    return (private(source) and (seen.inside.get("client") or {}).get("found")) or source


def possibly_allowed(seen: Seen, sources: Iterable[str]) -> bool:
    """Whether the controller, of which no more than a private address is known, may be among those that may come."""
    known = (seen.inside.get("client") or {}).get("found")
    return not known and private(seen.outside["source"]) and not all(private(each) for each in sources)


def private(address: str) -> bool:
    """Whether an address, or a network, is one that others may have as well; a name is not."""
    try:
        network = ipaddress.ip_network(address.partition("%")[0], strict=False)
    except ValueError:
        return False
    return any(network.version == each.version and network.subnet_of(each) for each in PRIVATE)  # type: ignore[arg-type]


def allowed(source: str, sources: Iterable[str]) -> bool:
    """Whether an address is among those that may come; what is no address is somebody's name."""
    for each in sources:
        if each == "any":
            return True
        try:
            if ipaddress.ip_address(source) in ipaddress.ip_network(each, strict=False):
                return True
        except ValueError:
            continue
    return False


def unknown_names(seen: Seen) -> Checked:
    """Requests for a name that is not served here get nothing."""
    asked = seen.outside.get("unknown_names")
    if not asked:
        return None
    problems = []
    for port, answer in asked.items():
        found = answer["found"]
        if port == "443" and found:
            problems.append(
                warning(
                    "a request for a host name that is not served here gets the certificate of another site",
                    "leave the default server of port 443 to the role nginx; nginx before 1.19.4 cannot refuse earlier",
                )
            )
        elif port != "443" and found and found["status"] < 400:
            problems.append(
                failure(
                    f"a host name that is not served here is answered on port {port} (status {found['status']})",
                    "leave the default server to the role nginx (look for default_server in /etc/nginx); an app "
                    "without nginx needs its names in ALLOWED_HOSTS",
                )
            )
    return "unknown names are refused" if not problems else "unknown names are answered", problems
