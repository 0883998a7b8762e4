# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of instances of Redis, Valkey and Memcached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import IpAddress
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Field,
    Int,
    List,
    Object,
    Problems,
    Str,
)

LOOPBACK = ["127.0.0.1", "::1"]
SERVERS = ("redis", "valkey")
POLICIES = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


class OwnAddress(IpAddress):
    """One IP address of a host."""

    def objection(self, value: str) -> str:
        found = super().objection(value or "none")
        address = None if found else ip_address(value)
        return "is not one address" if address and (address.is_unspecified or address.is_multicast) else found


class Instances(List):
    """Instances that share neither a name nor a port."""

    def __init__(self, item: Object) -> None:
        super().__init__(item, strict=True)

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        found = super().check(value, path, problems)
        problems.extend(conflicts(found, path))
        return found


def conflicts(instances: Iterable[Mapping[str, Any]], variable: str) -> list[str]:
    """Names, and ports of an address, that several instances have. A text may be a number of a template."""
    names: dict[str, int] = {}
    places: dict[tuple[str, str], list[str]] = {}
    for instance in instances:
        name, port = (str(instance.get(field) or "") for field in ("name", "port"))
        if name:
            names[name] = names.get(name, 0) + 1
        listen = instance.get("listen") or LOOPBACK
        for address in listen if port and isinstance(listen, list) else []:
            places.setdefault((port, str(address)), []).append(name)
    shared = [
        f"{variable}: {', '.join(users)} use the same port {port}; give one of them another (cache.port or "
        "broker.port of an app)"
        for (port, _address), users in places.items()
        if len(users) > 1
    ]
    several = [
        f"{variable}: {name} is declared {count} times; each needs a name of its own"
        for name, count in names.items()
        if count > 1
    ]
    return list(dict.fromkeys([*several, *shared]))


def _name() -> Str:
    return Str(
        "name of the instance",
        pattern=r"[a-z][a-z0-9_-]{0,62}",
        hint="must be small letters, digits, - and _, a letter first, 63 at most",
        required=True,
    )


def _memory() -> Int:
    # an empty Redis counts one MiB to itself
    return Int("MiB for what is stored in it", low=8, high=1 << 20, default=64)


def is_public(address: Any) -> bool:
    try:
        found = ip_address(str(address))
    except ValueError:
        return False
    return found.is_global and not found.is_multicast


def _password(**options: Any) -> Str:
    # whoever reaches the port can try a million passwords a second
    return Str(
        "what clients must say first",
        pattern=r".{16,}",
        hint="must have 16 characters or more",
        **options,
    )


def _redis_rule(instance: dict[str, Any], path: str, problems: Problems) -> None:
    listen = instance.get("listen")
    for index, address in enumerate(
        listen if isinstance(listen, list) and instance.get("tls") is not True else []
    ):
        if is_public(address):
            problems.add(
                f"{path}.listen[{index}]",
                "is not a loopback or private address; what goes over the network is not encrypted without tls",
            )
    if instance.get("persistent") is True and str(instance.get("policy")).startswith("allkeys-"):
        problems.add(
            f"{path}.policy",
            "a persistent instance must not evict keys; set noeviction, or volatile-lru to evict keys that have a "
            "time to live",
        )


INPUTS: dict[str, Field] = {
    "redis_instances": Instances(
        Object(
            {
                "name": _name(),
                "server": Choice([*SERVERS], doc="what runs it", default="redis"),
                "port": Int(
                    "TCP port, of this instance alone on each of its addresses",
                    low=1,
                    high=65535,
                    required=True,
                ),
                "listen": List(
                    OwnAddress(),
                    doc="IP addresses to listen on; without tls loopback or private ones",
                    strict=True,
                    least=1,
                    default=LOOPBACK,
                ),
                "tls": Bool("encrypt all connections, with redis_tls_certificate", default=False),
                "admin_password": Str(
                    "by which root has a running instance read a new certificate, which restarts it otherwise",
                    pattern=r"(.{16,})?",
                    hint="must have 16 characters or more",
                    default="",
                ),
                "password": _password(required=True),
                "previous_passwords": List(
                    _password(), doc="passwords that clients may still say", strict=True, default=[]
                ),
                "memory": _memory(),
                "policy": Choice(
                    POLICIES, doc="what to throw away when the memory is full", default="noeviction"
                ),
                "persistent": Bool("write to the disk what is stored", default=False),
            },
            rule=_redis_rule,
        )
    ),
    "memcached_instances": Instances(
        Object(
            {
                "name": _name(),
                "group": Str(
                    "group of the host whose members may connect",
                    pattern=r"(?!root$)[a-z_][a-z0-9_-]{0,31}",
                    hint="must be the name of a group of the host, and not root",
                    required=True,
                ),
                "memory": _memory(),
            }
        )
    ),
}
