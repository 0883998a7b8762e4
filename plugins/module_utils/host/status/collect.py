# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host and the apps on it are doing, read from the host itself. Nothing here changes anything.

Each part stands on its own: what cannot be read is left out or has its reason, and the rest is still reported.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout
from ansible_collections.homeport.django.plugins.module_utils.host.status import backups as status_backups
from ansible_collections.homeport.django.plugins.module_utils.host.status.apps import (
    bare,
    describe,
    sizes,
    timers,
    unknown,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.certificates import certificate
from ansible_collections.homeport.django.plugins.module_utils.host.status.health import asked_for, health
from ansible_collections.homeport.django.plugins.module_utils.host.status.host import (
    STORES,
    databases,
    host,
    instances,
    services,
    show_units,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import (
    Places,
    Run,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.processes import (
    Process,
    descendants,
    memory,
    process_table,
    supervised,
)
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import present
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of

WALK = 4.0  # seconds that all apps of a host may take to have their folders measured


def collect(
    specs: list[dict[str, Any]],
    run: Run,
    timeout: float = 5,
    history: int = 10,
    only: str = "",
    places: Places | None = None,
) -> dict[str, Any]:
    """Everything about the host, its services and its apps; also of apps that nobody declares any more."""
    places = places or Places()
    declared = {spec["name"]: spec for spec in specs}
    names = [only] if only else sorted({*declared, *present(places.apps)})
    chosen = {name: declared.get(name) or bare(name, places) for name in names}
    schedules = [unit for name in names for unit in timers(name, declared.get(name), places)]
    units = show_units(run, [*instances(places), *schedules])
    supervisor = supervised(places)
    table = process_table(places.proc)
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = {
            name: pool.submit(health, spec, timeout)
            for name, spec in chosen.items()
            if name in declared and Layout(spec).current and asked_for(spec)
        }
        visits = {
            name: pool.submit(problem_of, chosen[name]["visit"], chosen[name]["home"], timeout)
            for name in answers
            if chosen[name]["visit"]
        }
        end = time.monotonic() + WALK
        apps = {}
        for name, spec in chosen.items():
            try:
                found = describe(
                    spec, name in declared, supervisor["processes"], units, table, places, history
                )
                found["disk"] = sizes(spec, end)
                found["certificate"] = certificate(spec, run, places)
                apps[name] = found
                if name in answers:
                    found["health"] = answers[name].result()
                if name in visits:
                    found["visit"] = visits[name].result()
            except Exception as error:  # whatever an app brings about concerns no other app
                apps[name] = unknown(spec, name in declared, f"{type(error).__name__}: {error}")
    return {
        "time": int(time.time()),
        "host": host(places),
        "services": services(units),
        "stores": stores(units, table, places.proc),
        "supervisor": {"error": supervisor["error"]},
        "databases": databases(units),
        "backups": status_backups.backups(run, names, places.backups),
        "archive": status_backups.archive(run, places.archive),
        "apps": apps,
    }


def stores(
    units: dict[str, dict[str, str]], table: dict[int, Process], proc: str = "/proc"
) -> dict[str, int]:
    """Bytes of memory of each cache and broker that runs on this host."""
    return {
        name[: -len(".service")]: memory(descendants(int(unit["MainPID"]), table), table, proc)["bytes"]
        for name, unit in units.items()
        if re.fullmatch(rf"({STORES})\.service", name) and unit.get("MainPID", "0").strip("0")
    }
