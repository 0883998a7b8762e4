# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host still has that is not declared any more: apps, processes, schedules, services and their data.

A run stops what is not declared and deletes no data: what stays is named, with the way to remove it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, roles_of_instances
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, PROGRAMS, SERVICES
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME, STATE
from ansible_collections.homeport.django.plugins.module_utils.host.given import read, units
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster

# Owners are apps by the names of their logins, or may be by their own.
DATABASES = r"""
SELECT coalesce(json_object_agg(datname, json_build_object('owner', role.rolname, 'logins', EXISTS (
  SELECT FROM pg_roles AS login WHERE login.rolname LIKE replace(role.rolname, '_', '\_') || '.%'
  AND login.rolname ~ '[.][0-9a-f]{8}$'))), '{}')
FROM pg_database JOIN pg_roles AS role ON role.oid = datdba
WHERE NOT datistemplate AND NOT rolsuper AND datname NOT LIKE 'homeport\_drill\_%';
"""


# On the host


def found_here(homes: str = APPS_HOME, records: str = STATE, state: str = "/var/lib") -> dict[str, Any]:
    """What there is of apps and their services on this host."""
    apps = present(homes)
    timers = started(recorded(records, "django_app", "units"))
    paths = recorded(records, "supervisord", "paths")
    programs = [path for path in paths if path.startswith(PROGRAMS) and os.path.exists(path)]
    return {
        "apps": apps,
        "process": [path[len(PROGRAMS) : -len(".conf")] for path in programs],
        "schedule": [unit[: -len(".timer")] for unit in timers if unit.endswith(".timer")],
        "units": [
            unit for name in roles_of_instances() for unit in started(recorded(records, name, "units"))
        ],
        "stores": stores(state),
        "vhosts": vhosts(f"{state}/rabbitmq/mnesia"),
        "databases": databases(apps),
        "backup": bool(recorded(records, "backup", "units")),
        "archive": bool(recorded(records, "pgbackrest", "units")),
    }


def recorded(records: str, name: str, key: str) -> list[str]:
    """Paths or units of a role, as the module service_config has written them down."""
    return sorted(read(f"{records}/{name}.json").get(key, []))


def started(names: list[str]) -> list[str]:
    """Without those that somebody has stopped for good."""
    states = units(names)
    return [name for name in names if any(states.get(name, [True]))]


def present(homes: str) -> list[str]:
    """The apps that have releases on the host."""
    names = [os.path.basename(os.path.dirname(path)) for path in glob.glob(f"{homes}/*/slots")]
    # not what somebody else keeps there: links in their folders could lead anywhere
    return sorted(
        name
        for name in names
        if re.fullmatch(APP_NAME, name) and os.stat(f"{homes}/{name}").st_uid == os.geteuid()
    )


def stores(state: str) -> dict[str, str]:
    """Folders with data of the apps' own caches and brokers, by the unit that would serve them."""
    found = {}
    for facts in FACTS.values():
        for use in SERVICES if facts.data else ():
            before, _app, after = facts.data.format(app="*", use=use).partition("*")
            for path in glob.glob(f"{state}/{before}*{after}"):
                app = path[len(f"{state}/{before}") : len(path) - len(after)]
                with contextlib.suppress(OSError):
                    if os.listdir(path):
                        found[f"{facts.unit.format(app=app, use=use)}.service"] = path
    return found


def vhosts(folder: str) -> list[str]:
    """RabbitMQ's virtual hosts, from its own files: it answers only while it runs, and slowly."""
    found = set()
    for path in glob.glob(f"{folder}/*/msg_stores/vhosts/*/.vhost"):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as stream:
            found.add(stream.read(200).strip())
    return sorted(found - {"/"})


def databases(apps: Iterable[str]) -> dict[str, str]:
    """The owners of the apps' databases in the local cluster, by database."""
    if not glob.glob("/etc/postgresql/*/*/postgresql.conf"):
        return {}
    try:
        found = json.loads(Cluster().ask(DATABASES, seconds=5))
    except DeployError:
        return {}  # it does not run
    ours = set(apps)
    return {name: role["owner"] for name, role in found.items() if role["logins"] or role["owner"] in ours}
