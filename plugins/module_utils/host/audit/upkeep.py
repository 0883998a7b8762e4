# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Pending upgrades, restarts that are due, failed units and the clock."""

from __future__ import annotations

import glob
import os
import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.apt_lists import lists_age
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Run, read


def updates(run: Run) -> dict[str, Any]:
    """Packages that apt would upgrade, by what it knows; nothing is fetched."""
    status, out = run(["apt-get", "-s", "-q", "-o", "Debug::NoLocking=1", "dist-upgrade"])
    if status:
        raise OSError(f"apt-get -s dist-upgrade ended with status {status}")
    names = ("ENABLE", "APT::Periodic::Enable", "UPGRADE", "APT::Periodic::Unattended-Upgrade")
    _status, periodic = run(["apt-config", "shell", *names])
    settings = dict(re.findall(r"^(\w+)='(.*)'$", periodic, re.MULTILINE))
    idle, _out = run(["systemctl", "is-active", "--quiet", "apt-daily-upgrade.timer"])
    age = lists_age()
    return {
        **pending(out),
        "age": None if age == float("inf") else int(age),
        "automatic": os.path.exists("/usr/bin/unattended-upgrade")
        and not idle
        and settings.get("ENABLE", "1") != "0"
        and settings.get("UPGRADE", "") not in ("", "0"),
    }


def pending(text: str) -> dict[str, list[str]]:
    """All packages and those with a security fix, from what apt prints of a simulation."""
    found: dict[str, list[str]] = {"packages": [], "security": []}
    for name, origins in re.findall(r"^Inst (\S+) \[[^\]]*\] \(\S+ ([^)]*)\)", text, re.MULTILINE):
        found["packages"].append(name)
        if "security" in origins.lower():
            found["security"].append(name)
    return found


def kernel(base: str = "", running: str = "") -> dict[str, Any]:
    """Whether a package has asked for a reboot, and a kernel of the same kind that is newer than the running one."""
    running = running or os.uname().release
    kinds = {}
    for path in glob.glob(f"{base}/boot/vmlinuz-*"):
        version = os.path.basename(path)[len("vmlinuz-") :]
        if re.sub(r"\d+", "", version) == re.sub(r"\d+", "", running):
            kinds[tuple(int(number) for number in re.findall(r"\d+", version))] = version
    newest = kinds[max(kinds)] if kinds else running
    flag = f"{base}/run/reboot-required"
    return {
        "asked": os.path.exists(flag),
        "packages": sorted(set(read(f"{flag}.pkgs").split())),
        "running": running,
        "newer": newest if newest != running else "",
    }


def stale(proc: str = "/proc") -> list[str]:
    """Units with processes that use programs or libraries which an upgrade has replaced."""
    found = set()
    for pid in os.listdir(proc):
        if pid.isdigit() and replaced(read(f"{proc}/{pid}/maps", -1)):
            found.add(unit_of(read(f"{proc}/{pid}/cgroup")) or read(f"{proc}/{pid}/comm").strip())
    return sorted(found - {""})


def replaced(maps: str) -> bool:
    return re.search(r" (/usr|/lib\w*|/bin|/sbin)/\S.* \(deleted\)$", maps, re.MULTILINE) is not None


def unit_of(cgroup: str) -> str:
    """The unit that a process belongs to."""
    found = re.search(r"/([^/\n]+\.service)(/|$)", cgroup, re.MULTILINE)
    return found[1] if found else ""


def failed_units(run: Run) -> list[str]:
    _status, out = run(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"])
    return [line.split()[0] for line in out.splitlines() if line.split()]


def clock(run: Run) -> dict[str, Any]:
    """Whether the clock is kept right; that of a container is its machine's."""
    status, _out = run(["systemd-detect-virt", "--container", "--quiet"])
    _status, out = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    return {"container": status == 0, "synchronized": out.strip() == "yes"}
