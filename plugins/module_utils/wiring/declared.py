# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is declared of all that a host may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import all_databases
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import schedule_units
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs


def declared(apps: Apps, host: Mapping[str, Any]) -> dict[str, Any]:
    """What is declared of all that a host may have (common/undeclared.py). ``host`` has C(here) (whether it runs
    the apps), C(services) (whether a run looks after its caches and brokers), C(databases), C(instances) (by engine),
    C(vhosts) (all that its roles are given), C(backup), C(archive)."""
    instances = [
        f"{FACTS.get(str(each.get('server')), FACTS[engine]).unit.partition('@')[0]}@{each['name']}.service"
        for engine, found in host["instances"].items()
        for each in found
    ]
    return {
        "apps": sorted(apps),
        "renamed": {was: name for name, app in apps.items() for was in app["was"]},
        "process": sorted(supervisord_programs(apps)),
        "schedule": [unit[: -len(".timer")] for unit in schedule_units(apps)],
        "units": sorted(instances),
        "databases": sorted(
            {
                *(each["name"] for each in host["databases"]),
                # one that was given by its address may be in the very cluster
                *(
                    database["name"]
                    for app in apps.values()
                    for database in all_databases(app).values()
                    if not database["managed"]
                ),
            }
        ),
        "vhosts": sorted(each["name"] for each in host["vhosts"]),
        **{key: bool(host[key]) for key in ("here", "services", "backup", "archive")},
    }
