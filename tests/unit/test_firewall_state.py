"""The firewall that is in force, against what is declared and what the host was given."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.status.firewall import (
    EXPECTED,
    LIST,
    firewall_differences,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import firewall_rules

PORTS = [
    {"port": 22, "sources": ["any"], "service": "ssh"},
    {"port": 80, "sources": ["any"], "service": "nginx"},
]
RULES = firewall_rules(PORTS, [])
GIVEN = (
    "table inet homeport {\n    chain input {\n"
    + "".join(f"        {rule}\n" for rule in RULES)
    + "    }\n}\n"
)
LOADED = 'table inet homeport {\n\tchain input {\n\t\tiif "lo" accept\n\t\ttcp dport 80 accept\n\t}\n}\n'


def found(declared: list[str] = RULES, given: str = GIVEN, **answers: Any) -> list[tuple[str, str]]:
    known = {" ".join(EXPECTED): (0, LOADED), " ".join(LIST): (0, LOADED)}
    known |= {" ".join(EXPECTED if key == "expected" else LIST): value for key, value in answers.items()}
    return firewall_differences(declared, given, lambda words: known[" ".join(words)], "typical")


def test_a_firewall_as_it_is_declared() -> None:
    assert found() == []
    # where sshd listens is not declared
    assert found(firewall_rules([{**PORTS[0], "port": 2222}, PORTS[1]], [])) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"now": (1, "")},
            ("failure", "the firewall is not in force: every port is open; the playbook typical loads it"),
        ),
        (
            {"now": (0, LOADED.replace("\t}\n}", "\t\ttcp dport 9 accept\n\t}\n}"))},
            ("failure", "somebody has added to the firewall: tcp dport 9 accept; the playbook typical restores it"),
        ),
        (
            {"now": (0, LOADED.replace("\t\ttcp dport 80 accept\n", ""))},
            ("failure",
             "somebody has removed from the firewall: tcp dport 80 accept; the playbook typical restores it"),
        ),
        (
            {"expected": (1, "")},
            ("warning", "the firewall's rules could not be compared with those in force"),
        ),
        (
            {"declared": [*RULES, 'tcp dport { 8443 } accept comment "mine"']},
            (
                "failure",
                'tcp dport { 8443 } accept comment "mine" is declared, but not loaded into the firewall; run the '
                "playbook typical",
            ),
        ),
        (
            {"declared": RULES[:1]},
            (
                "warning",
                'tcp dport { 80 } accept comment "nginx" is loaded into the firewall, but no longer declared; run '
                "the playbook typical",
            ),
        ),
    ],
)  # fmt: skip
def test_a_firewall_that_differs(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert found(**changes) == [expected]
