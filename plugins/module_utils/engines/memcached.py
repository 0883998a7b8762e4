# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Memcached: an instance for each app, which its group alone can reach, through a socket."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Wanted
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import parsed


def resolve(wanted: Wanted) -> dict[str, Any]:
    socket = f"/run/memcached-{wanted.app}/memcached.sock"
    return {"managed": True, "socket": socket, "url": f"pymemcache://{socket}"}


def memcached_instances(declared: list[Any]) -> list[dict[str, Any]]:
    """The instances with every default."""
    return [
        {**given, "unit": f"memcached@{given['name']}.service"}
        for given in parsed(declared, "memcached_instances")
    ]


MEMCACHED = Engine(
    "memcached",
    uses=("cache",),
    resolve=resolve,
    client="pymemcache",
    idle=6,
)
