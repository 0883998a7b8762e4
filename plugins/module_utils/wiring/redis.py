# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role redis has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import SERVERS
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def redis_app_instances(apps: Apps, services: Iterable[str], listen: Iterable[str]) -> list[dict[str, Any]]:
    """One instance for each app and use, on the host that serves them: a cache may forget, a broker must not."""
    return [
        {
            "name": f"{name}-{service}",
            "server": app[service]["engine"],
            "port": app[service]["port"],
            # an address of its own instead of the loopback address that all share
            "listen": list(
                dict.fromkeys(
                    [app[service]["host"], *(address for address in listen if address != "127.0.0.1")]
                )
            ),
            "tls": app[service]["tls"],
            "password": app[service]["password"],
            "previous_passwords": [login["password"] for login in app[service]["logins"][1:]],
            "admin_password": app[service]["admin_password"],
            "memory": app[service]["memory"],
            "policy": "allkeys-lru" if service == "cache" else "noeviction",
            "persistent": service == "broker",
        }
        for name, app in apps.items()
        for service in SERVICES
        if service in services and app[service]["managed"] and app[service]["engine"] in SERVERS
    ]
