# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a worker has loaded: what still does computes, reads from the disk, or connects to a service."""

from __future__ import annotations

import glob
import os
import re

SYN_SENT = "02"  # the state of a socket in connect(), in /proc/net/tcp


def has_settled(launcher: int) -> bool:
    """Whether everything below the launcher of a process waits for something to do. The launcher always waits."""
    processes = below(launcher)
    return bool(processes) and all(state == "S" for state in processes.values()) and not connecting(processes)


def below(pid: int) -> dict[int, str]:
    """The descendants of a process, each with its state in the kernel's letters; none that has ended."""
    children: dict[int, list[tuple[int, str]]] = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                state, parent = stream.read().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):  # ended meanwhile
            continue
        if state not in "ZX":
            children.setdefault(int(parent), []).append((int(path.split("/")[2]), state))
    found: dict[int, str] = {}
    left = [pid]
    while left:
        born = children.get(left.pop(), [])
        found.update(born)
        left += [child for child, _state in born]
    return found


def connecting(processes: dict[int, str]) -> bool:
    """Whether one of the processes is in connect(): it waits, too, but may end when nobody answers."""
    sockets = {
        words[9]
        for name in ("tcp", "tcp6")
        for words in table(f"/proc/net/{name}")
        if len(words) > 9 and words[3] == SYN_SENT
    }
    return bool(sockets) and any(sockets & open_sockets(pid) for pid in processes)


def table(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as stream:
            return [line.split() for line in stream]
    except OSError:  # a kernel without IPv6
        return []


def open_sockets(pid: int) -> set[str]:
    """The inodes of the sockets of a process."""
    found = set()
    for link in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        except OSError:
            continue
        if match:
            found.add(match[1])
    return found
