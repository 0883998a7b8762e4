# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Redis and Valkey: an instance for each app and use."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.homeport.django.plugins.module_utils.engines import rabbitmq
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import (
    Engine,
    Since,
    Values,
    Wanted,
)
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

# Of the apps' own Redis or Valkey instances: without RabbitMQ's, those of other services that Debian hosts run, and
# those from 600 on, which NFS and RPC take at random.
PORTS = tuple(sorted({*range(200, 600)} - {
    209, 264, 311, 319, 320, 371, 389, 427, 443, 444, 445, 464, 465, 500, 502, 512, 513, 514, 515, 520, 521, 524, 540,
    543, 544, 546, 547, 548, 554, 563, rabbitmq.PORT, 568, 569, 587, 593,
}))  # fmt: skip
SERVERS = ("redis", "valkey")
LOOPBACK = ["127.0.0.1", "::1"]
# Whoever reaches the port can try a million passwords a second.
SHORTEST_PASSWORD = 16
POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
# Dangerous where many share a server; an instance has one app. Caches (FLUSHDB, KEYS), Celery (INFO), RQ
# (CLIENT LIST, INFO, SORT), django-q2 and Huey (INFO) use them, and clients announce themselves by CLIENT.
ALLOWED = ("client", "flushall", "flushdb", "info", "keys", "role", "sort")
# Knows rules for channels, which let in nobody by default, and addresses that may be missing.
SINCE_6_2 = (6, 2)


def service_place(name: str, service: str) -> tuple[str, int]:
    """Loopback address and port of an app's own instance: the same whatever other apps there are."""
    digest = hashlib.sha256(f"{name}/{service}".encode()).digest()
    address = f"127.{1 + digest[4] % 254}.{digest[5]}.{1 + digest[6] % 254}"
    return address, PORTS[int.from_bytes(digest[:4], "big") % len(PORTS)]


def resolve(wanted: Wanted) -> dict[str, Any]:
    address, port = "127.0.0.1", wanted.given.get("port")
    if not port:
        address, port = service_place(wanted.app, wanted.use)
    host = wanted.host or address
    return {
        "managed": True,
        "host": host,
        "port": port,
        "password": wanted.logins[0]["password"],
        # passwords of the default user, who may have several
        "logins": [{**login, "name": ""} for login in wanted.logins],
        "url": wanted.url("redis", host, port, "0"),
    }


def environment(service: Values) -> dict[str, str]:
    names = {"REDIS_HOST": "host", "REDIS_PORT": "port", "REDIS_PASSWORD": "password"}
    found = {key: str(service[field]) for key, field in names.items() if service[field]}
    return {"REDIS_URL": service["url"], **found}


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def access(passwords: list[str], installed: str) -> str:
    """The rules of the default user, the only one that clients know."""
    # no package yet (check mode): the versions that are installed now are new enough
    channels = ["&*"] if not installed or version(installed) >= SINCE_6_2 else []
    words = ["on", *hashes(passwords), "~*", *channels, "+@all", "-@admin", "-@dangerous"]
    return " ".join([*words, *(f"+{name}" for name in ALLOWED)])


def hashes(passwords: list[str]) -> list[str]:
    return [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords]


def reload_passwords(passwords: list[str]) -> list[str]:
    """The passwords by which root reloads an instance's users. They allow nothing else."""
    return [hmac.new(word.encode(), b"homeport/reload", hashlib.sha256).hexdigest() for word in passwords]


def bind(addresses: list[str], installed: str) -> list[str]:
    """The addresses of ``bind``. ::1 is optional, for hosts without IPv6."""
    # before 6.2 every address is optional, and the prefix is unknown
    optional = "-" if not installed or version(installed) >= SINCE_6_2 else ""
    return [f"{optional}::1" if address == "::1" else address for address in addresses]


def redis_instances(declared: list[Any], versions: Mapping[str, str]) -> list[Instance]:
    """The instances with every default, and hashes in place of the passwords."""
    problems = [*names_taken(declared), *ports_taken(declared)]
    result = []
    for number, given in enumerate(declared):
        path = where(given, number)
        server = given.get("server", "redis")
        listen = given.get("listen") or LOOPBACK
        policy = str(given.get("policy", "noeviction"))
        persistent = boolean(given.get("persistent", False), strict=False)
        problems += [
            *check_name(path, given),
            *check_memory(path, given),
            *check_listen(path, listen),
            *check_port(path, given.get("port")),
        ]
        if server not in SERVERS:
            problems.append(f"{path}.server: must be {' or '.join(SERVERS)}")
        if policy not in POLICIES:
            problems.append(f"{path}.policy: must be one of {', '.join(POLICIES)}")
        if persistent and policy.startswith("allkeys-"):
            problems.append(
                f"{path}.policy: a persistent instance must not evict keys; set noeviction, "
                "or volatile-lru to evict keys that have a time to live"
            )
        if len(str(given.get("password") or "")) < SHORTEST_PASSWORD:
            problems.append(f"{path}.password: must have {SHORTEST_PASSWORD} characters or more")
        earlier = given.get("previous_passwords") or []
        if any(len(str(word)) < SHORTEST_PASSWORD for word in earlier):
            problems.append(
                f"{path}.previous_passwords: must have {SHORTEST_PASSWORD} characters or more each"
            )
        passwords = [str(word) for word in (given.get("password") or "", *earlier)]
        installed = versions.get(str(server), "")
        result.append(
            {
                "name": given.get("name"),
                "server": server,
                "unit": f"{server}-server@{given.get('name')}.service",
                "port": whole(given.get("port")),
                "bind": bind([str(address) for address in listen], installed),
                "access": access(passwords, installed),
                "reload_access": " ".join(["on", *hashes(reload_passwords(passwords)), "-@all", "+acl|load"]),
                "reload_passwords": reload_passwords(passwords),
                "memory": whole(given.get("memory", DEFAULT_MEMORY)),
                "policy": policy,
                "persistent": persistent,
            }
        )
    if problems:
        raise InstancesError(problems)
    return result


def ports_taken(declared: list[Any]) -> list[str]:
    """Instances that use the same port of the same address."""
    by_place: dict[Any, list[str]] = {}
    for number, given in enumerate(declared):
        listen = given.get("listen")
        for address in listen if listen and isinstance(listen, list) else LOOPBACK:
            by_place.setdefault((whole(given.get("port")), str(address)), []).append(where(given, number))
    problems = [
        f"{', '.join(names)}: use the same port {port}; give one of them another (cache.port or broker.port of an app)"
        for (port, _address), names in by_place.items()
        if len(names) > 1 and port is not None
    ]
    return list(dict.fromkeys(problems))


def check_port(path: str, given: Any) -> list[str]:
    port = whole(given)
    return [] if port and port <= 65535 else [f"{path}.port: must be a number from 1 to 65535"]


def check_listen(path: str, listen: Any) -> list[str]:
    if not isinstance(listen, list):
        return [f"{path}.listen: must be a list of IP addresses"]
    problems = []
    for address in listen:
        try:
            found = ipaddress.ip_address(str(address))
        except ValueError:
            problems.append(f"{path}.listen: {address} is not an IP address")
            continue
        if found.is_unspecified or found.is_multicast or found.is_global:
            problems.append(
                f"{path}.listen: {address} is not a loopback or private address; what goes over the network "
                "is not encrypted"
            )
    return problems


REDIS = Engine(
    "redis",
    uses=("cache", "broker"),
    resolve=resolve,
    environment=environment,
    client="redis",
    idle=6,
    own_port=True,
    inputs={"redis_instances": lambda declared: redis_instances(declared, {})},
)
VALKEY = replace(
    REDIS,
    name="valkey",
    since=Since({"debian": (13,), "ubuntu": (24, 4)}, "Valkey", instead="redis"),
)
