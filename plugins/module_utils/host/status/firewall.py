# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The firewall of a host: what is declared, what the host was given, and the rules in force."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.homeport.django.plugins.module_utils.common.paths import FIREWALL
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Run

LIST = ["nft", "--stateless", "list", "table", "inet", "homeport"]
# As nft itself writes them: in a network of their own, where they do nothing.
EXPECTED = ["unshare", "--net", "sh", "-c", f"nft --file {FIREWALL} && exec {' '.join(LIST)}"]
SSH = 'comment "ssh"'  # its ports are what sshd listens on, and not declared


def firewall_differences(declared: Iterable[str], text: str, run: Run, setup: str) -> list[tuple[str, str]]:
    """Levels and texts of what differs. ``declared`` are the rules of the inventory, and ``text`` is FIREWALL's."""
    found = []
    wanted, given = rules(declared), rules(line for line in text.splitlines() if line.strip().endswith('"'))
    for level, names, what in (
        ("failure", wanted - given, "is declared, but not loaded into the firewall"),
        ("warning", given - wanted, "is loaded into the firewall, but no longer declared"),
    ):
        found += [(level, f"{rule} {what}; run the playbook {setup}") for rule in sorted(names)]
    status, out = run(EXPECTED)
    if status:
        return [*found, ("warning", "the firewall's rules could not be compared with those in force")]
    expected = out.splitlines()
    status, out = run(LIST)
    if status:
        return [
            *found,
            ("failure", f"the firewall is not in force: every port is open; the playbook {setup} loads it"),
        ]
    now = out.splitlines()
    for lines, what in ((without(now, expected), "added to"), (without(expected, now), "removed from")):
        found += [
            ("failure", f"somebody has {what} the firewall: {line}; the playbook {setup} restores it")
            for line in lines
        ]
    return found


def rules(lines: Iterable[str]) -> set[str]:
    return {line.strip() for line in lines if not line.strip().endswith(SSH)}


def without(lines: list[str], others: list[str]) -> list[str]:
    """The lines that others do not have as often."""
    left = list(others)
    found = []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            found.append(line.strip())
    return found
