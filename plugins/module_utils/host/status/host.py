# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The host itself: its system, units, services and databases."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, roles_of_instances
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    interpreter,
)
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.site_record import recorded_site
from ansible_collections.homeport.django.plugins.module_utils.host.size import booted, memory_mb
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import (
    Places,
    Run,
    read,
)

# What a package of a cache starts by itself is masked where Homeport runs instances of its own.
SERVICES = ("nginx", "supervisor", *(facts.packaged for facts in FACTS.values() if facts.packaged))
# Units of caches and brokers.
STORES = "|".join(
    re.escape(facts.packaged) + ("(@.+)?" if facts.instances else "")
    for facts in FACTS.values()
    if facts.packaged
)
CLUSTERS = "postgresql@*.service"  # the unit "postgresql" itself is active whatever its clusters do
UNIT = (
    "Id LoadState ActiveState Result MainPID LastTriggerUSec NextElapseUSecRealtime ExecMainStartTimestamp "
    "ExecMainExitTimestamp ExecMainStatus"
)
SIZES = """
SELECT coalesce(json_object_agg(datname, pg_database_size(oid)), '{}') FROM pg_database WHERE NOT datistemplate;
"""


def host(places: Places) -> dict[str, Any]:
    system = {}
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as stream:
        system = dict(line.rstrip().partition("=")[::2] for line in stream)
    memory = {
        name: int(value) << 10
        for name, value in re.findall(r"(\w+):\s+(\d+) kB", read(f"{places.proc}/meminfo"))
    }
    disks: dict[int, dict[str, Any]] = {}
    for path in ("/", "/srv", "/var/lib/postgresql", "/var/log"):
        if os.path.isdir(path):
            usage = shutil.disk_usage(path)
            disks.setdefault(os.stat(path).st_dev, {"path": path, "total": usage.total, "free": usage.free})
    return {
        "name": socket.gethostname(),
        "system": system.get("PRETTY_NAME", "").strip("\"'"),
        "setup": read(places.setup).strip(),
        "set_up_by": read(f"{places.records}/version").strip(),
        "site": recorded_site(places.records),
        "uptime": int(float((read(f"{places.proc}/uptime") or "0").split()[0])),
        "booted": booted(places.proc),
        "upgrade": upgrade(places),
        "memory_mb": memory_mb(),
        "size": size(places),
        "load": [round(value, 2) for value in os.getloadavg()],
        "cores": len(os.sched_getaffinity(0)),
        "python": interpreter(""),
        "memory": {"total": memory.get("MemTotal", 0), "available": memory.get("MemAvailable", 0)},
        "disks": list(disks.values()),
    }


def size(places: Places) -> dict[str, int]:
    """How large the host was when it was set up last; empty where that is not known."""
    found = re.findall(r"^(cores|memory_mb)=(\d+)$", read(f"{places.records}/size"), re.MULTILINE)
    return {name: int(number) for name, number in found}


def upgrade(places: Places) -> dict[str, Any] | None:
    """An upgrade or a move of PostgreSQL that has not ended, or has apps closed; None where there is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        known = json.loads(read(f"{places.records}/upgrades/postgresql.json") or "{}")
        closing = json.loads(read(f"{places.records}/upgrades/closed.json") or "{}")
        closed = closing.get("apps", [])
        phase = known.get("phase", "")
        move = json.loads(read(f"{places.records}/moves/postgresql.json") or "{}").get("phase", "")
        moving = move in ("open", "stopped", "removing", "copying", "promoting")
        ended = phase not in ("stopped", "undoing") and (phase != "switched" or known.get("finished"))
        if closed or moving or not ended:
            found = {"closed": closed, "undo": phase in ("undoing", "undone")}
            moves = closing.get("command", "move_postgresql" if move else "") == "move_postgresql"
            return {**found, "move": True} if ended and moves else found
    return None


def show_units(run: Run, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of the services and of some more units, in one call."""
    units = [*(f"{name}.service" for name in SERVICES), CLUSTERS, *names]
    properties = ",".join(UNIT.split())
    status, out = run(["env", "TZ=UTC", "LC_ALL=C", "systemctl", "show", f"--property={properties}", *units])
    return parse_units(out) if status == 0 else {}


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """Units and their properties from the blocks that ``systemctl show`` prints."""
    found = {}
    for block in text.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if unit.get("Id") and unit.get("LoadState") != "not-found":
            found[unit["Id"]] = unit
    return found


def instances(places: Places) -> list[str]:
    """The units of caches and brokers that the roles run here, also such as do not run now."""
    found: list[str] = []
    for name in roles_of_instances():
        with contextlib.suppress(ValueError):
            found += json.loads(read(f"{places.records}/{name}.json")).get("units", [])
    return found


def services(units: dict[str, dict[str, str]]) -> dict[str, str]:
    """The state of each service that the host has; a masked one is there for nobody."""
    found = {
        name[: -len(".service")]: unit["ActiveState"]
        for name, unit in units.items()
        if name[: -len(".service")] in SERVICES or re.fullmatch(rf"({STORES})\.service", name)
        if unit.get("LoadState") != "masked"
    }
    version, cluster = used_cluster()
    if version:
        unit = units.get(f"postgresql@{version}-{cluster}.service", {})
        found["postgresql"] = unit.get("ActiveState", "inactive")
    return found


def databases(units: dict[str, dict[str, str]]) -> dict[str, int]:
    """Bytes of each database of this host."""
    if services(units).get("postgresql") != "active":
        return {}
    try:
        found: dict[str, int] = json.loads(Cluster().ask(SIZES, seconds=5))
    except DeployError:
        return {}
    return found
