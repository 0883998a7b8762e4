# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The firewalls of a host, and what Homeport's accepts."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import FIREWALL
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Run, read

ALL_PORTS = (0, 65535)


def firewall(run: Run) -> dict[str, Any]:
    """Which firewalls drop what comes in and is not allowed, and what Homeport's lets in."""
    status, out = run(["nft", "-j", "list", "ruleset"])
    # where neither program is, nothing has made any tables
    none = status == 127 and not shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin")
    return {
        "declared": os.path.exists(FIREWALL),
        "known": status == 0 or none,
        "dropping": dropping(out) + legacy(run),
        "accepted": accepted(out),
    }


def ruleset(text: str) -> list[dict[str, Any]]:
    """What nft prints as JSON."""
    try:
        items: list[dict[str, Any]] = json.loads(text)["nftables"] if text.strip() else []
    except (ValueError, KeyError):
        return []
    return items


def dropping(text: str) -> list[str]:
    """Families and tables whose chain for what comes in drops by default, from what nft prints as JSON."""
    chains = [item["chain"] for item in ruleset(text) if "chain" in item]
    return [
        f"{chain['family']} {chain['table']}"
        for chain in chains
        if chain.get("hook") == "input" and chain.get("policy") == "drop"
    ]


def legacy(run: Run, proc: str = "/proc") -> list[str]:
    """The same of the older tables that nft does not show. To ask for them would make them where there are none."""
    return [
        f"{family} filter ({program})"
        for family, program in (("ip", "iptables-legacy"), ("ip6", "ip6tables-legacy"))
        if "filter" in read(f"{proc}/net/{family}_tables_names").split()
        and run([program, "-S", "INPUT"])[1].startswith("-P INPUT DROP")
    ]


def accepted(text: str) -> list[dict[str, Any]]:
    """What Homeport's table accepts now: C(protocol), the C(first) and the C(last) port.

    C(some) says whether that is limited to some sources, by address, interface or anything else.
    """
    found: list[dict[str, Any]] = []
    own = [
        (kind, item[kind])
        for item in ruleset(text)
        for kind in ("set", "rule")
        if kind in item and (item[kind].get("family"), item[kind].get("table")) == ("inet", "homeport")
    ]
    sets = {f"@{entry['name']}": entry.get("elem", []) for kind, entry in own if kind == "set"}
    for kind, entry in own:
        if kind == "rule":
            found += [new for new in let_in(entry["expr"], sets) if new not in found]
    return found


def let_in(statements: list[dict[str, Any]], sets: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The ports that one rule accepts: all of them where it names none."""
    if not any("accept" in statement for statement in statements):
        return []
    protocols, spans, some = {"tcp", "udp"}, [ALL_PORTS], False
    for match in (statement["match"] for statement in statements if "match" in statement):
        what, field = subject(match["left"])
        values, equal = values_of(match["right"], sets), match["op"] in ("==", "in")
        if what in ("tcp", "udp"):
            protocols &= {what}
        if field == "dport":
            spans = [span(value) for value in values] if equal else spans
            some = some or (equal and ALL_PORTS in spans)  # no port that can be read here
        elif not equal:
            some = True
        elif what in ("icmp", "icmpv6") or (field in ("iif", "iifname") and values == ["lo"]):
            return []
        elif (what, field) in (("meta", "l4proto"), ("ip", "protocol"), ("ip6", "nexthdr")):
            protocols = {protocol for protocol in protocols if protocol in values}
        elif (what, field) == ("ct", "state") and "new" not in values:
            return []  # answers to what the host itself has asked
        elif (what, field) != ("ct", "state"):
            some = True
    return [
        {"protocol": protocol, "first": first, "last": last, "some": some}
        for protocol in sorted(protocols)
        for first, last in spans
    ]


def subject(left: dict[str, Any]) -> tuple[str, str]:
    """What a rule looks at: a protocol or a kind of knowledge, and its field."""
    for kind in ("payload", "meta", "ct"):
        if kind in left:
            return left[kind].get("protocol", kind), left[kind].get("field", left[kind].get("key", ""))
    return "", ""


def values_of(right: Any, sets: dict[str, list[Any]]) -> list[Any]:
    if isinstance(right, str):
        return sets.get(right, [right])
    found = right.get("set", [right]) if isinstance(right, dict) else right
    return found if isinstance(found, list) else [found]


def span(value: Any) -> tuple[int, int]:
    if isinstance(value, dict) and "elem" in value:
        value = value["elem"]["val"]
    if isinstance(value, dict) and "range" in value:
        return value["range"][0], value["range"][1]
    return (value, value) if isinstance(value, int) else ALL_PORTS
