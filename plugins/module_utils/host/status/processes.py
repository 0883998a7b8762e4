# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The processes of a host and of its apps: supervisord's, what they run and the memory that they use."""

from __future__ import annotations

import calendar
import http.client
import os
import re
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.log_files import end_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.serving import release_of
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import (
    Places,
    read,
)
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import Supervisor

LATELY = 300  # seconds in which a worker that has ended by itself is worth a look
LOG = 64 << 10  # bytes at the end of a log in which that is looked for


def supervised(places: Places) -> dict[str, Any]:
    """All processes of supervisord, or why there is no telling."""
    try:
        return {"processes": Supervisor(places.supervisor).processes(""), "error": ""}
    except FileNotFoundError:
        return {"processes": None, "error": "supervisord does not run"}
    except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
        return {"processes": None, "error": f"supervisord does not answer: {error}"}


@dataclass(frozen=True)
class Process:
    parent: int
    uid: int
    resident: int  # bytes, shared ones counted in full


def process_table(proc: str = "/proc") -> dict[int, Process]:
    """Every process of the host."""
    found = {}
    for name in os.listdir(proc):
        if name.isdigit():
            fields = dict(
                re.findall(r"^(PPid|Uid|VmRSS):\s+(\d+)", read(f"{proc}/{name}/status"), re.MULTILINE)
            )
            if {"PPid", "Uid"} <= fields.keys():
                found[int(name)] = Process(
                    int(fields["PPid"]), int(fields["Uid"]), int(fields.get("VmRSS", 0)) << 10
                )
    return found


def descendants(pid: int, table: dict[int, Process]) -> set[int]:
    """A process and all that come from it."""
    found = {pid}
    more = True
    while more:
        children = {child for child, entry in table.items() if entry.parent in found} - found
        found |= children
        more = bool(children)
    return found


def memory(pids: Iterable[int], table: dict[int, Process], proc: str = "/proc") -> dict[str, Any]:
    """Bytes of some processes: their proportional share (pss), else all that is resident (rss)."""
    pids = [pid for pid in pids if pid in table]
    shares = []
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+) kB", read(f"{proc}/{pid}/smaps_rollup"), re.MULTILINE)
        if found:
            shares.append(int(found[1]) << 10)
        elif table[pid].resident and os.path.exists(f"{proc}/{pid}"):
            return {"bytes": sum(table[pid].resident for pid in pids), "kind": "rss"}
    return {"bytes": sum(shares), "kind": "pss"}


def processes(
    spec: dict[str, Any],
    known: dict[str, dict[str, Any]],
    table: dict[int, Process],
    proc: str = "/proc",
) -> list[dict[str, Any]]:
    """The web slots and the workers of an app, each with the release that it runs."""
    prefix = f"{spec['name']}."
    groups: dict[str, list[dict[str, Any]]] = {}
    for info in known.values():
        if info["group"].startswith(prefix):
            groups.setdefault(info["group"][len(prefix) :], []).append(info)
    wanted = {**({"web": 1} if spec.get("socket") else {}), **spec.get("processes", {})}
    result = []
    for name in [*wanted, *sorted(set(groups) - set(wanted))]:
        instances = [instance(info, table, proc) for info in sorted(groups.get(name, []), key=number)]
        serving = [one for one in instances if one["state"] == "running" and one["release"]]
        result.append(
            {
                "name": name,
                "kind": spec.get("kinds", {}).get(name, ""),
                "declared": wanted.get(name),
                "running": len(serving),
                "instances": instances,
            }
        )
    return result


def number(info: dict[str, Any]) -> tuple[int, str]:
    return (int(info["name"]) if info["name"].isdigit() else 0, info["name"])


def instance(info: dict[str, Any], table: dict[int, Process], proc: str) -> dict[str, Any]:
    """One process. ``release`` is empty where it sleeps: a slot that is not in use, or nothing to run yet."""
    state = info["statename"].lower()
    alive = state in ("running", "starting", "stopping") and info["pid"] in table
    tree = descendants(info["pid"], table) if alive else set()
    return {
        "name": info["name"],
        "state": state,
        "detail": "" if alive else str(info.get("spawnerr") or info.get("description") or ""),
        "seconds": max(0, info["now"] - info["start"]) if alive else None,
        "ended": ends(info) if alive and info["now"] - info["start"] < LATELY else 0,
        "release": release_of(info["pid"]) if alive else "",
        "workers": sum(1 for pid in tree if table[pid].parent == info["pid"]),
        "memory": memory(tree, table, proc)["bytes"],
    }


def ends(info: dict[str, Any]) -> int:
    """How often a worker has failed lately: its launcher writes that down in its log. With status 0 it ends on
    purpose, such as after a number of jobs."""
    name = re.escape(f"{info['group']}:{info['name']}")
    try:
        text = end_of(info["stdout_logfile"], 10_000, LOG).decode(errors="replace")
    except (KeyError, OSError):
        return 0
    times = re.findall(
        rf"^homeport: {name} ended by itself with status (?!0 )\d+ at ([\d:TZ-]{{20}})$", text, re.MULTILINE
    )
    return sum(info["now"] - seconds_of(each) < LATELY for each in times)


def seconds_of(stamp: str) -> int:
    """A time of the launcher's, in seconds; 0 for what only looks like one."""
    try:
        return calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return 0
