# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What hosts know of each database, cache and broker: its units, files, ports and account.

The controller knows more (engines/). Here is what modules and programs on hosts need without being told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES


@dataclass(frozen=True)
class Facts:
    """An engine on a host. {app} and {use} stand for an app and what it uses the engine for."""

    title: str
    # of the URLs that lead to it, each with the port of those that name none (0: it has none)
    schemes: Mapping[str, int]
    # the key under which a host keeps what the role was given (host/given.py)
    component: str = ""
    # the unit of an app's own instance, or of the one that all apps share
    unit: str = ""
    # the unit that the package brings; where instances run it is masked
    packaged: str = ""
    # its data in /var/lib, and what it has in /run, where these are an app's own
    data: str = ""
    runtime: str = ""
    # in /etc, names of files (without .conf) and folders that are an app's own
    configuration: str = ""
    # the user that it runs as, and what anybody may send it to see whether it asks for a password
    account: str = ""
    probe: bytes = b""
    # whether only a socket leads to it, so that it runs where its app does
    local: bool = False
    # secrets in its files, each with the permission bits that must not be set
    secrets: tuple[tuple[str, int], ...] = ()
    # how long a restart interrupts all apps
    restart: str = ""

    @property
    def role(self) -> str:
        """The role that runs it; the name of its record in /var/lib/homeport."""
        return self.component.partition(".")[2]

    @property
    def instances(self) -> bool:
        """Whether each app has one of its own."""
        return "{app}" in self.unit


def _redis(server: str, title: str, schemes: Mapping[str, int]) -> Facts:
    return Facts(
        title,
        schemes,
        component="service_config.redis",
        unit=f"{server}-server@{{app}}-{{use}}",
        packaged=f"{server}-server",
        data=f"{server}/{{app}}-{{use}}",
        configuration=f"{server}-{{app}}-{{use}}",
        account=server,
        probe=b"PING\r\n",
        secrets=(
            (f"/etc/{server}/*.conf", 0o007),
            (f"/etc/{server}/*/users.acl", 0o007),
            (f"/etc/{server}/*/reload", 0o077),
        ),
    )


FACTS: dict[str, Facts] = {
    "postgres": Facts(
        "PostgreSQL",
        dict.fromkeys(("postgres", "postgresql", "psql", "pgsql", "postgis"), 5432),
        component="postgres_databases.postgres",
        unit="postgresql@{cluster}",
        restart="1 to 3 s",
    ),
    "sqlite": Facts("SQLite", dict.fromkeys(("sqlite", "sqlite3", "spatialite"), 0)),
    "redis": _redis("redis", "Redis", {"redis": 6379, "rediss": 6379, "unix": 0}),
    "valkey": _redis("valkey", "Valkey", {"valkey": 6379, "valkeys": 6379}),
    "memcached": Facts(
        "Memcached",
        dict.fromkeys(("memcache", "pymemcache", "memcached"), 11211),
        component="service_config.memcached",
        unit="memcached@{app}",
        packaged="memcached",
        runtime="memcached-{app}",
        configuration="memcached@{app}.service.d",
        account="memcache",
        probe=b"version\r\n",
        local=True,
    ),
    "rabbitmq": Facts(
        "RabbitMQ",
        {"amqp": 5672, "amqps": 5671, "pyamqp": 5672},
        component="service_config.rabbitmq",
        unit="rabbitmq-server",
        packaged="rabbitmq-server",
        account="rabbitmq",
        secrets=(("/var/lib/rabbitmq/.erlang.cookie", 0o077),),
        restart="10 s",
    ),
}


def engine_of(url: str) -> str:
    """The engine that a URL leads to; empty where its scheme is not known."""
    scheme = url.partition("://")[0].partition("+")[0]
    return next((engine for engine, facts in FACTS.items() if scheme in facts.schemes), "")


def app_of(unit: str) -> str:
    """The app whose own instance a unit is; empty where it is no app's."""
    for facts in FACTS.values():
        pattern = re.escape(f"{facts.unit}.service").replace(r"\{app\}", "(.+)")
        found = re.fullmatch(pattern.replace(r"\{use\}", f"(?:{'|'.join(SERVICES)})"), unit)
        if facts.instances and found:
            return found[1]
    return ""


def of_app(template: str, app: str) -> list[str]:
    """What a template above stands for with an app, for each use."""
    return list(dict.fromkeys(template.format(app=app, use=use) for use in SERVICES)) if template else []


def roles_of_instances() -> list[str]:
    """The roles that run an instance for each app."""
    return list(dict.fromkeys(facts.role for facts in FACTS.values() if facts.instances))
