# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The filters by which the roles redis and memcached read their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.engines import memcached, redis
from ansible_collections.homeport.django.plugins.module_utils.engines.instances import (
    Instance,
    InstancesError,
)


def redis_instances(declared: Any, facts: Any) -> list[Instance]:
    try:
        return redis.redis_instances(plain(declared), {name: facts.get(name, "") for name in redis.SERVERS})
    except InstancesError as error:
        raise AnsibleFilterError(f"redis_instances is invalid:\n{error}") from error


def ports_taken(declared: Any) -> list[str]:
    return redis.ports_taken(plain(declared))


def memcached_instances(declared: Any) -> list[Instance]:
    try:
        return memcached.memcached_instances(plain(declared))
    except InstancesError as error:
        raise AnsibleFilterError(f"memcached_instances is invalid:\n{error}") from error


class FilterModule:
    """Instances with all their defaults, or a list of what is wrong with them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "redis_instances": redis_instances,
            "memcached_instances": memcached_instances,
            "ports_taken": ports_taken,
        }
