# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users say of their hosts (the variables C(host_*)): what is wrong with it, and what follows from it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import (
    firewall_problems,
    is_network,
)

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TRUTHS = ("true", "false", "yes", "no", "on", "off", "1", "0")
# File systems on which a swap file simply works.
SWAP_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs")
SWAP_LEAST, SWAP_MOST = 256, 4096  # MiB


def host_problems(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with some of the variables C(host_*), each as a sentence that begins with its name."""
    found: list[str] = []
    for name, value in given.items():
        problems = CHECKS.get(name)
        if problems:
            found += problems(name, value)
    return found


def swap_size(wanted: Any, facts: Mapping[str, Any]) -> int:
    """The size of the host's swap file in MiB; 0 for none.

    wanted: a number of MiB, or V(auto): as much as the host has memory, between 1 and 4 GiB and at most a quarter of
    the free disk, unless it has swap of its own, is a container, or has its files where swap cannot be.
    facts: what M(homeport.django.host_facts) found. A file that is there keeps its size with V(auto).
    """
    if str(wanted) != "auto":
        return int(wanted)
    swap = facts["swap"]
    if facts["container"] or swap["other_mb"] or swap["filesystem"] not in SWAP_FILESYSTEMS:
        return 0
    if swap["own_mb"]:
        return int(swap["own_mb"])
    size = (
        min(max(int(facts["memory_mb"]), 1024), SWAP_MOST, int(facts["free_mb"]) // 4)
        // SWAP_LEAST
        * SWAP_LEAST
    )
    return max(size, 0)


def _truth(name: str, value: Any) -> list[str]:
    return [] if str(value).lower() in TRUTHS else [f"{name}: must be true or false"]


def _number(least: int, most: int, what: str) -> Callable[[str, Any], list[str]]:
    def problems(name: str, value: Any) -> list[str]:
        good = (
            not isinstance(value, bool)
            and re.fullmatch(r"\d{1,9}", str(value))
            and least <= int(value) <= most
        )
        return [] if good else [f"{name}: must be a number of {what} from {least} to {most}"]

    return problems


def _matches(pattern: str, what: str) -> Callable[[str, Any], list[str]]:
    def problems(name: str, value: Any) -> list[str]:
        good = isinstance(value, str) and re.fullmatch(pattern, value)
        return [] if good else [f"{name}: must be {what}"]

    return problems


def _each(good: Callable[[str], bool], what: str) -> Callable[[str, Any], list[str]]:
    def problems(name: str, value: Any) -> list[str]:
        if not isinstance(value, (list, tuple)):
            return [f"{name}: must be a list of {what}"]
        return [f"{name}: {item!r} is not one of {what}" for item in value if not good(str(item))]

    return problems


def _swap(name: str, value: Any) -> list[str]:
    if value == "auto":
        return []
    found = _number(0, 1 << 20, "MiB")(name, value)
    return [f"{name}: must be auto, 0, or a number of MiB"] if found else []


def _is_server(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", text) is not None
    return True


CHECKS: dict[str, Callable[[str, Any], list[str]]] = {
    **dict.fromkeys(
        (
            "host_hide_processes", "host_firewall", "host_ssh_hardening", "host_ssh_keys_only",
            "host_ssh_agent_forwarding", "host_fail2ban", "host_updates", "host_updates_reboot", "host_time_sync",
            "host_kernel_hardening", "host_pwquality", "host_checklists",
        ),
        _truth,
    ),
    "host_firewall_rules": lambda _name, value: firewall_problems(value),
    "host_ssh_root_login": _matches("auto|no|prohibit-password|yes", "auto, 'no', prohibit-password or 'yes'"),
    "host_fail2ban_ignored": _each(is_network, "addresses or networks, such as 192.0.2.7 or 2001:db8::/32"),
    "host_updates_at": _matches(r"([01]\d|2[0-3]):[0-5]\d", "a time of day in quotes, such as '04:00'"),
    "host_updates_spread": _number(0, 720, "minutes"),
    "host_updates_days": _each(DAYS.__contains__, ", ".join(DAYS)),
    "host_updates_except": _each(
        lambda text: re.fullmatch(r"[a-zA-Z0-9.+*^$\[\]()|\\-]+", text) is not None, "regular expressions of names"
    ),
    "host_time_servers": _each(_is_server, "names or addresses of time servers"),
    "host_swap": _swap,
    "host_journal_mb": _number(0, 1 << 20, "MiB"),
    "host_log_mb": _number(0, 1 << 20, "MiB"),
}  # fmt: skip
