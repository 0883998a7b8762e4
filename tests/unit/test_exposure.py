"""Which ports of a host are open, and to whom."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import malformed
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import (
    exposure,
    firewall_rules,
    public_port,
)

from tests.unit.support import SECRET, app

EVERYTHING = ["apps", "database", "cache", "broker"]
PEER = "192.0.2.7"


def open_ports(
    serves: list[str], peers: list[str] | None = None, setup: str = "site", **fields: Any
) -> dict[int, list[str]]:
    host = {"cores": 2, "memory_mb": 1024}
    apps = resolve({"blog": app(**fields)}, {}, SECRET, setup, host)
    found = exposure(apps, {"ssh_ports": [22], "serves": serves, "peers": peers or []})
    return {entry["port"]: entry["sources"] for entry in found}


def test_one_server_serves_ssh_and_the_web() -> None:
    found = open_ports(EVERYTHING, database="postgres", cache="redis", broker="rabbitmq")
    assert found == {22: ["any"], 80: ["any"], 443: ["any"]}


def test_the_port_of_an_app_without_nginx() -> None:
    assert open_ports(["apps"], setup="simple") == {22: ["any"], 80: ["any"]}


def test_services_are_open_to_the_app_servers_alone() -> None:
    found = open_ports(["database"], [PEER], database="postgres")
    assert found == {22: ["any"], 5432: [PEER]}
    assert open_ports(["database"], [PEER], database="sqlite") == {22: ["any"]}
    found = open_ports(["broker"], [PEER], broker="rabbitmq")
    assert found == {22: ["any"], 567: [PEER]}
    found = open_ports(["cache", "broker"], [PEER], cache="redis", broker="valkey")
    assert len(found) == 3
    assert all(sources == [PEER] for port, sources in found.items() if port != 22)


def test_what_somebody_else_runs_is_not_opened() -> None:
    assert open_ports(EVERYTHING, [PEER], database={"url": "postgres://u:p@db.example/x"}).keys() == {
        22,
        80,
        443,
    }


@pytest.mark.parametrize(
    ("socket", "port"),
    [
        ("tcp://0.0.0.0:80", 80),
        ("tcp://203.0.113.5:8080", 8080),
        ("tcp://127.0.0.1:8000", 0),
        ("tcp://localhost:8000", 0),
        ("unix:///run/homeport/blog.sock", 0),
    ],
)
def test_the_port_of_a_socket(socket: str, port: int) -> None:
    assert public_port(socket) == port


def test_rules_name_who_gets_in() -> None:
    ports = [
        {"port": 22, "protocol": "tcp", "sources": ["any"], "service": "ssh"},
        {"port": 5432, "protocol": "tcp", "sources": [PEER, "2001:db8::7"], "service": "postgresql"},
    ]
    own = [{"port": ["6000-6010", 53], "protocol": "udp", "comment": "calls"}]
    assert firewall_rules(ports, own) == [
        'tcp dport { 22 } accept comment "ssh"',
        f'ip saddr {{ {PEER} }} tcp dport {{ 5432 }} accept comment "postgresql"',
        'ip6 saddr { 2001:db8::7 } tcp dport { 5432 } accept comment "postgresql"',
        'udp dport { 6000-6010, 53 } accept comment "calls"',
    ]


def firewall_problems(rules: Any) -> list[str]:
    return malformed({"host_firewall_rules": rules})


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"port": 1}, "must be a list"),
        ([{}], "[0].port: is required"),
        ([{"port": 0}], "port[0]: must be a port"),
        ([{"port": "1-70000"}], "must be a port"),
        ([{"port": "9-5"}], "must be a port"),
        ([{"port": True}], "port: must be a list"),
        ([{"port": 1, "from": "x"}], "[0].from: is not a field"),
        ([{"port": 1, "protocol": "sctp"}], "must be one of tcp, udp"),
        ([{"port": 1, "sources": "any"}], "must be a list"),
        ([{"port": 1, "sources": ["somewhere"]}], "sources[0]: must be an IP address, or a network"),
        ([{"port": 1, "sources": ["192.0.2.1 } accept; tcp dport { 1"]}], "must be an IP address"),
        ([{"port": 1, "comment": 'x" accept'}], "comment: may have"),
        ([{"port": 1, "comment": "ü" * 100}], "comment: may have"),
        ([{"port": []}], "port: must have at least 1 item"),
        ([{"port": 1, "sources": []}], "sources: must have at least 1 item"),
        ([{"port": 1, "sources": ["192.0.2.0/255.255.255.0"]}], "must end in the length of its prefix"),
        ([{"port": 1, "sources": ["any", "192.0.2.1"]}], "sources: has any"),
        ([{"port": 1, 2: 3, "x": 4}], "[0].2: is not a field"),
    ],
)
def test_what_is_wrong_with_a_rule(rules: Any, problem: str) -> None:
    assert problem in "\n".join(firewall_problems(rules))


def test_a_rule_that_is_right() -> None:
    rules = [{"port": [80, "6000-6010"], "protocol": "udp", "sources": ["any"], "comment": "a (b), c"}]
    assert firewall_problems(rules) == []
    assert firewall_problems([{"port": 1, "sources": ["192.0.2.0/24", "2001:db8::/32"]}]) == []


def test_a_rule_that_is_for_nobody_lets_nobody_in() -> None:
    assert firewall_rules([], [{"port": 9100, "sources": []}]) == []
