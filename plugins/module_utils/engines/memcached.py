# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Memcached: an instance for each app, which its group alone can reach, through a socket."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Wanted
from ansible_collections.homeport.django.plugins.module_utils.engines.instances import (
    DEFAULT_MEMORY,
    Instance,
    InstancesError,
    check_memory,
    check_name,
    names_taken,
    where,
    whole,
)


def resolve(wanted: Wanted) -> dict[str, Any]:
    socket = f"/run/memcached-{wanted.app}/memcached.sock"
    return {"managed": True, "socket": socket, "url": f"pymemcache://{socket}"}


def memcached_instances(declared: list[Any]) -> list[Instance]:
    """The instances with every default."""
    problems = names_taken(declared)
    result = []
    for number, given in enumerate(declared):
        path = where(given, number)
        problems += [*check_name(path, given), *check_memory(path, given)]
        group = str(given.get("group", ""))
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", group) or group == "root":
            problems.append(f"{path}.group: must be the name of a group of the host, and not root")
        result.append(
            {
                "name": given.get("name"),
                "unit": f"memcached@{given.get('name')}.service",
                "group": group,
                "memory": whole(given.get("memory", DEFAULT_MEMORY)),
            }
        )
    if problems:
        raise InstancesError(problems)
    return result


MEMCACHED = Engine(
    "memcached",
    uses=("cache",),
    resolve=resolve,
    client="pymemcache",
    idle=6,
    inputs={"memcached_instances": memcached_instances},
)
