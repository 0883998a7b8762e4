# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The filters by which the roles redis and memcached read their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.engines import memcached, redis
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import InputError
from ansible_collections.homeport.django.plugins.module_utils.validation.roles.instances import conflicts


def redis_instances(declared: Any, facts: Any) -> list[dict[str, Any]]:
    try:
        return redis.redis_instances(plain(declared), {name: facts.get(name, "") for name in redis.SERVERS})
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


def memcached_instances(declared: Any) -> list[dict[str, Any]]:
    try:
        return memcached.memcached_instances(plain(declared))
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


def instance_conflicts(declared: Any, variable: str) -> list[str]:
    return conflicts(plain(declared), str(variable))


class FilterModule:
    """Instances with all their defaults, or a list of what is wrong with them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "redis_instances": redis_instances,
            "memcached_instances": memcached_instances,
            "instance_conflicts": instance_conflicts,
        }
