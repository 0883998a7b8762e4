# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The cache and the broker of an app: which they are, whether they fit its queues, and where they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS, Setup, not_part
from ansible_collections.homeport.django.plugins.module_utils.common.derive import accepted, logins
from ansible_collections.homeport.django.plugins.module_utils.common.names import REDIS, SERVICES
from ansible_collections.homeport.django.plugins.module_utils.queues.table import (
    BROKERS,
    QUEUES,
    default_broker,
    kinds_of,
    needs_broker,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems

Values = Mapping[str, Any]

# Ports below 1024: an app cannot bind them while a service restarts (docs/decisions/0024).
RABBITMQ_PORT = 567
# Of the apps' own Redis or Valkey instances: without RabbitMQ's, those of other services that Debian hosts run, and
# those from 600 on, which NFS and RPC take at random.
PORTS = tuple(sorted({*range(200, 600)} - {
    209, 264, 311, 319, 320, 371, 389, 427, 443, 444, 445, 464, 465, 500, 502, 512, 513, 514, 515, 520, 521, 524, 540,
    543, 544, 546, 547, 548, 554, 563, RABBITMQ_PORT, 568, 569, 587, 593,
}))  # fmt: skip
# Every cache and broker has these keys.
NOTHING: dict[str, Any] = {
    "engine": "none",
    "managed": False,
    "url": "",
    "host": "",
    "port": "",
    "user": "",
    "password": "",
    "logins": [],
    "vhost": "",
    "socket": "",
    "memory": 0,
}


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def service_place(name: str, service: str) -> tuple[str, int]:
    """Loopback address and port of an app's own instance: the same whatever other apps there are."""
    digest = hashlib.sha256(f"{name}/{service}".encode()).digest()
    address = f"127.{1 + digest[4] % 254}.{digest[5]}.{1 + digest[6] % 254}"
    return address, PORTS[int.from_bytes(digest[:4], "big") % len(PORTS)]


def engine_of(url: str) -> str:
    """The kind of service that an address leads to; `other` where it is not known."""
    scheme = url.partition("://")[0].partition("+")[0]
    return {
        "redis": "redis", "rediss": "redis", "unix": "redis", "valkey": "valkey", "valkeys": "valkey",
        "amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq",
        "memcache": "memcached", "pymemcache": "memcached", "memcached": "memcached",
    }.get(scheme, "other")  # fmt: skip


def cache_engine(app: Values, secrets: Values, setup: Setup) -> str:
    """The kind of cache that an app has."""
    url = app.get("cache", {}).get("url") or secrets.get("cache_url")
    return engine_of(url) if isinstance(url, str) else app.get("cache", {}).get("engine", setup.caches[0])


def broker_engine(app: Values, secrets: Values, setup: Setup) -> str:
    """The kind of broker that an app has: what it says, else what all of its queues can use."""
    given = app.get("broker", {})
    url = given.get("url") or secrets.get("broker_url")
    if isinstance(url, str):
        return engine_of(url)
    if isinstance(given.get("engine"), str):
        return str(given["engine"])
    return default_broker(kinds_of(app.get("processes", {})), setup.brokers)


# What is wrong


def check_address(url: str, path: str, example: str, problems: Problems) -> None:
    """The URL of a service that exists already."""
    try:
        parts = urlsplit(url)
        parts.port, parts.hostname  # noqa: B018  (raise where they are none)
    except ValueError:
        problems.add(path, "is not a URL (a password in it must be percent-encoded)")
        return
    if not re.match(r"[a-z][a-z0-9+]*://", url):
        problems.add(path, f"must be a URL such as {example}")


def check_services(
    path: str, name: str, app: Values, secrets: Values, setup_name: str, problems: Problems
) -> None:
    """Services that the setup does not have, and queues that cannot use the app's broker."""
    setup = SETUPS[setup_name]
    for service, part, choices in (("cache", "caches", setup.caches), ("broker", "brokers", setup.brokers)):
        given = app.get(service, {})
        known = {choice for other in SETUPS.values() for choice in (*other.caches, *other.brokers)}
        if given.get("engine") in known and given["engine"] not in choices:
            problems.add(
                f"{path}.{service}",
                not_part(given["engine"], part, setup_name),
            )
        if "port" in given and given.get("engine") not in (None, *REDIS):
            problems.add(f"{path}.{service}.port", "goes with redis and valkey only")
        vault = f"vault_django_apps.{name}.{service}_url"
        for place, url in (
            (f"{path}.{service}.url", given.get("url")),
            (vault, secrets.get(f"{service}_url")),
        ):
            if isinstance(url, str):
                check_address(url, place, "redis://host:6379/0", problems)
        if "url" in given and f"{service}_url" in secrets:
            problems.add(f"{path}.{service}.url", f"is also in {vault}; keep one")
        elif isinstance(secrets.get(f"{service}_url"), str) and "engine" in given:
            found = engine_of(secrets[f"{service}_url"])
            same = found == "other" or found == given["engine"] or {found, given["engine"]} <= set(REDIS)
            if not same:
                problems.add(f"{path}.{service}.engine", f"is not what {vault} leads to ({found})")
    _check_queues(path, app, secrets, setup_name, problems)


def _check_queues(path: str, app: Values, secrets: Values, setup_name: str, problems: Problems) -> None:
    setup = SETUPS[setup_name]
    database = app.get("database", {})
    has_database = (
        "url" in database or "database_url" in secrets or database.get("engine", setup.databases[0]) != "none"
    )
    engine = broker_engine(app, secrets, setup)
    if engine not in (*BROKERS, "none", "other"):
        return  # which has been said already
    for process, options in app.get("processes", {}).items():
        kind = options.get("kind")
        if kind not in QUEUES:
            continue
        place, takes = f"{path}.processes.{process}.kind", QUEUES[kind].brokers
        if needs_broker(kind) and engine not in (*takes, "other"):
            here = [broker for broker in setup.brokers if broker in takes]
            has = f"the app's broker is {engine}" if engine != "none" else "the app has no broker"
            advice = (
                f": set broker to {' or '.join(here)}"
                if here
                else f", and the {setup_name} setup has none of them: use worker or site"
            )
            problems.add(place, f"{kind} works with {', '.join(takes)}; {has}{advice}")
        elif "database" in (engine if needs_broker(kind) else "database",) and not has_database:
            problems.add(place, f"{kind} keeps its tasks in the database, and the app has none")


def check_ports(
    name: str, app: Values, secrets: Values, setup: Setup, taken: dict[int, str], problems: Problems
) -> None:
    """Instances of two apps on one declared port; ``taken`` is what is taken already."""
    engines = {"cache": cache_engine(app, secrets, setup), "broker": broker_engine(app, secrets, setup)}
    for service, engine in engines.items():
        given = app.get(service, {})
        if engine not in REDIS or "url" in given or f"{service}_url" in secrets:
            continue
        port, owner = given.get("port"), f"the {service} of {name}"
        if isinstance(port, int) and taken.setdefault(port, owner) != owner:
            problems.add(
                f"django_apps.{name}.{service}.port", f"{port} is taken by {taken[port]}; choose another"
            )


# Where they are


def accepted_of(
    name: str, purpose: str, app: Values, secrets: Values, homeport_secrets: list[str]
) -> list[str]:
    """Every secret that is good for some purpose of an app, the one that is used first."""
    given, generations = secrets.get(purpose, ()), app["rotation"].get(purpose, ())
    return accepted(homeport_secrets, name, purpose, given, generations)


def resolve_services(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, dict[str, Any]]:
    """Cache and broker as the app sees them: engine, url, host, port, user, password, vhost, socket, memory (MiB),
    all logins that are good, and whether they are Homeport's (managed)."""
    engines = {"cache": cache_engine(app, secrets, setup), "broker": broker_engine(app, secrets, setup)}
    found = {}
    for service, engine in engines.items():
        url = app[service].get("url") or secrets.get(f"{service}_url")
        if url:
            found[service] = _by_address(engine, url)
            continue
        found[service] = {**NOTHING, "engine": engine, "memory": app[service]["memory"]}
        users = logins(name, accepted_of(name, f"{service}_password", app, secrets, homeport_secrets))
        user, password = users[0].values()
        address, port = "127.0.0.1", app[service].get("port")
        if engine in REDIS and not port:
            address, port = service_place(name, service)
        server = str(host.get(f"{service}_host") or address)
        place = f":{quote(password, safe='')}@{in_url(server)}"
        if engine in REDIS:
            found[service].update(
                managed=True,
                host=server,
                port=port,
                password=password,
                logins=[{**login, "name": ""} for login in users],  # the default user, who may have several
                url=f"redis://{place}:{port}/0",
            )
        elif engine == "memcached":
            socket = f"/run/memcached-{name}/memcached.sock"
            found[service].update(managed=True, socket=socket, url=f"pymemcache://{socket}")
        elif engine == "rabbitmq":
            found[service].update(
                managed=True,
                host=server,
                port=RABBITMQ_PORT,
                user=user,
                password=password,
                logins=users,
                vhost=name,
                url=f"amqp://{user}{place}:{RABBITMQ_PORT}/{name}",
            )
    return found


def _by_address(engine: str, url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    found = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    return {**NOTHING, "engine": engine, "url": url, **{key: value or "" for key, value in found.items()}}


def services_environment(name: str, services: Mapping[str, Values]) -> dict[str, str]:
    """Where cache and broker are. What is just called Redis is the broker: it forgets nothing."""
    cache, broker = services["cache"], services["broker"]
    result: dict[str, str] = {}
    if cache["url"]:
        result.update(CACHE_URL=cache["url"], CACHE_PREFIX=name)
    if broker["url"]:
        result.update(BROKER_URL=broker["url"], CELERY_BROKER_URL=broker["url"])
    if broker["engine"] == "rabbitmq":
        result.update(AMQP_URL=broker["url"], RABBITMQ_URL=broker["url"])
    for service in (broker, cache):
        if service["engine"] in REDIS and "REDIS_URL" not in result:
            names = {"REDIS_HOST": "host", "REDIS_PORT": "port", "REDIS_PASSWORD": "password"}
            result["REDIS_URL"] = service["url"]
            result.update({key: str(service[field]) for key, field in names.items() if service[field]})
    return result


# First versions of the distributions that have a server, and a Redis that Celery can use (6.2).
FIRST = {
    "valkey": {"debian": (13,), "ubuntu": (24, 4)},
    "celery": {"debian": (12,), "ubuntu": (24, 4)},
}


def unavailable(apps: Mapping[str, Values], services: Iterable[str], facts: Values) -> list[str]:
    """What a host is to serve that its distribution does not have."""
    version = tuple(int(part) for part in re.findall(r"\d+", str(facts.get("version", ""))))
    system = f"{facts.get('distribution', '')} {facts.get('version', '')}".strip()

    def missing(what: str) -> bool:
        return version < FIRST[what].get(str(facts.get("distribution", "")), (0,))

    problems = []
    for name, app in apps.items():
        for service in [found for found in SERVICES if found in services and app[found]["managed"]]:
            engine = app[service]["engine"]
            celery = service == "broker" and engine == "redis" and "celery" in kinds_of(app["processes"])
            if engine == "valkey" and missing("valkey"):
                problems.append(f"django_apps.{name}.{service}: {system} has no Valkey; use redis")
            elif celery and missing("celery"):
                problems.append(
                    f"django_apps.{name}.broker: Celery needs Redis 6.2 or newer, which {system} does not have; "
                    "use rabbitmq"
                )
    return problems
