# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The cache and the broker of an app: their engines and addresses, and whether they fit its queues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS, Setup, not_part
from ansible_collections.homeport.django.plugins.module_utils.common.authority import TRUSTED_FOLDERS
from ansible_collections.homeport.django.plugins.module_utils.common.derive import (
    accepted,
    derive,
    logins,
)
from ansible_collections.homeport.django.plugins.module_utils.common.engines import engine_of
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values, Wanted
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import verified
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES, find
from ansible_collections.homeport.django.plugins.module_utils.queues.table import (
    BROKERS,
    QUEUES,
    default_broker,
    kinds_of,
    needs_broker,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems

# Schemes of URLs with TLS.
ENCRYPTED = ("rediss", "valkeys", "amqps")
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
    # whether its connections are encrypted, as they are where the app is on another host
    "tls": False,
    # the file on the host with the authority that has signed for it, where that is not one of the system's
    "authority": "",
    # by which root on its server renews its certificate; no app knows it
    "admin_password": "",
    "socket": "",
    "memory": 0,
}


def engine_at(url: str) -> str:
    """The engine that a service's address leads to; `other` where it is not known."""
    engine = engine_of(url)
    return engine if any(find(engine, use) for use in SERVICES) else "other"


def cache_engine(app: Values, secrets: Values, setup: Setup) -> str:
    """The kind of cache that an app has."""
    url = app.get("cache", {}).get("url") or secrets.get("cache_url")
    return engine_at(url) if isinstance(url, str) else app.get("cache", {}).get("engine", setup.caches[0])


def broker_engine(app: Values, secrets: Values, setup: Setup) -> str:
    """The kind of broker that an app has: what it says, else what all of its queues can use."""
    given = app.get("broker", {})
    url = given.get("url") or secrets.get("broker_url")
    if isinstance(url, str):
        return engine_at(url)
    if isinstance(given.get("engine"), str):
        return str(given["engine"])
    return default_broker(kinds_of(app.get("processes", {})), setup.brokers)


# What is wrong


def check_address(url: str, path: str, example: str, problems: Problems) -> None:
    """Checks the URL of a service that exists already."""
    try:
        parts = urlsplit(url)
        parts.port, parts.hostname  # noqa: B018  (raise where they are none)
    except ValueError:
        problems.add(path, "is not a URL (a password in it must be percent-encoded)")
        return
    if not re.match(r"[a-z][a-z0-9+]*://", url):
        problems.add(path, f"must be a URL such as {example}")


def check_trust(path: str, given: Values, address: Any, problems: Problems) -> None:
    """The authority of a cache or broker that exists already."""
    for field in ("ca", "plain"):
        if given.get(field) and not isinstance(address, str):
            problems.add(f"{path}.{field}", "goes with the url of a service that exists already")
            return
    if "ca" not in given or not isinstance(address, str):
        return
    if address.partition("://")[0].partition("+")[0] not in ENCRYPTED:
        schemes = " or ".join(f"{scheme}://" for scheme in ENCRYPTED)
        problems.add(f"{path}.ca", f"is for a url with TLS: {schemes}")
    elif "ssl_ca_certs=" in address:
        problems.add(f"{path}.ca", "is also in the url, as ssl_ca_certs; keep one")
    if given.get("plain"):
        problems.add(f"{path}.plain", "is for a url without TLS, and ca is for one with it; keep one")


def unencrypted(apps: Mapping[str, Values], secrets: Mapping[str, Values]) -> list[str]:
    """Services of somebody else's that apps log in to over the network without TLS, unless that is confirmed."""
    found = []
    for name, app in apps.items():
        for service in SERVICES:
            given, key = app.get(service, {}), f"{service}_url"
            address = given.get("url") or secrets.get(name, {}).get(key)
            if given.get("plain") or not isinstance(address, str) or not in_the_clear(address):
                continue
            field = f"django_apps.{name}.{service}"
            place = f"{field}.url" if "url" in given else f"vault_django_apps.{name}.{key}"
            engine = engine_of(address)
            better = [f"use {scheme}://, or " for scheme in ENCRYPTED if engine_of(f"{scheme}://") == engine]
            seen = "the password and the data" if better else "the data"
            found.append(
                f"{place}: leads to another host without TLS, so that the network sees {seen}: {''.join(better)}"
                f"confirm it by {field}.plain: true"
            )
    return found


def in_the_clear(address: str) -> bool:
    """Whether the address of a cache or broker leads to another host without TLS."""
    try:
        host = (urlsplit(address).hostname or "").lower()
    except ValueError:
        return False  # which has been said already
    scheme = address.partition("://")[0].partition("+")[0]
    here = host in ("", "localhost", "::1") or host.startswith(("127.", "%2f"))
    return bool(engine_of(address)) and scheme not in ENCRYPTED and not here


def check_services(
    path: str, name: str, app: Values, secrets: Values, setup_name: str, problems: Problems
) -> None:
    """Refuses services that the setup does not have, and queues that cannot use the app's broker."""
    setup = SETUPS[setup_name]
    for service, part, choices in (("cache", "caches", setup.caches), ("broker", "brokers", setup.brokers)):
        given = app.get(service, {})
        known = {choice for other in SETUPS.values() for choice in (*other.caches, *other.brokers)}
        if given.get("engine") in known and given["engine"] not in choices:
            problems.add(
                f"{path}.{service}",
                not_part(given["engine"], part, setup_name),
            )
        choosing = [name for name, engine in ENGINES.items() if engine.own_port]
        if "port" in given and given.get("engine") not in (None, *choosing):
            problems.add(f"{path}.{service}.port", f"goes with {' and '.join(choosing)} only")
        vault = f"vault_django_apps.{name}.{service}_url"
        for place, url in (
            (f"{path}.{service}.url", given.get("url")),
            (vault, secrets.get(f"{service}_url")),
        ):
            if isinstance(url, str):
                check_address(url, place, "redis://host:6379/0", problems)
        check_trust(f"{path}.{service}", given, given.get("url") or secrets.get(f"{service}_url"), problems)
        if "url" in given and f"{service}_url" in secrets:
            problems.add(f"{path}.{service}.url", f"is also in {vault}; keep one")
        elif isinstance(secrets.get(f"{service}_url"), str) and "engine" in given:
            found = engine_at(secrets[f"{service}_url"])
            if found != "other" and not same_protocol(found, given["engine"]):
                problems.add(f"{path}.{service}.engine", f"is not what {vault} leads to ({found})")
    _check_queues(path, app, secrets, setup_name, problems)


def same_protocol(one: str, other: str) -> bool:
    """Whether engines speak the same language: the same role runs them."""
    roles = [ENGINES[engine].facts.role for engine in (one, other) if engine in ENGINES]
    return one == other or (len(roles) == 2 and roles[0] == roles[1])


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
    """Refuses two instances on one declared port; ``taken`` are the owners of ports so far."""
    engines = {"cache": cache_engine(app, secrets, setup), "broker": broker_engine(app, secrets, setup)}
    for service, engine in engines.items():
        given = app.get(service, {})
        kind = find(engine, service)
        if not kind or not kind.own_port or "url" in given or f"{service}_url" in secrets:
            continue
        port, owner = given.get("port"), f"the {service} of {name}"
        if isinstance(port, int) and taken.setdefault(port, owner) != owner:
            problems.add(
                f"django_apps.{name}.{service}.port", f"{port} is taken by {taken[port]}; choose another"
            )


# Where they are


def first_name(name: str, app: Values) -> str:
    """The name that an app had first, for what cannot be renamed and what is derived from it."""
    return str([name, *app["was"]][-1])


def accepted_of(
    name: str, purpose: str, app: Values, secrets: Values, homeport_secrets: list[str]
) -> list[str]:
    """Every valid secret of an app for a purpose; the first one is used. They are derived for its first name."""
    given, generations = secrets.get(purpose, ()), app["rotation"].get(purpose, ())
    return accepted(homeport_secrets, first_name(name, app), purpose, given, generations)


def resolve_services(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, dict[str, Any]]:
    """Cache and broker as the app sees them: engine, url, host, port, user, password, vhost, socket, memory (MiB),
    all valid logins, and whether Homeport runs it (managed)."""
    engines = {"cache": cache_engine(app, secrets, setup), "broker": broker_engine(app, secrets, setup)}
    found = {}
    for service, engine in engines.items():
        url = app[service].get("url") or secrets.get(f"{service}_url")
        if url:
            found[service] = _by_address(name, service, app[service], engine, url)
            continue
        found[service] = {**NOTHING, "engine": engine, "memory": app[service]["memory"]}
        if kind := find(engine, service):
            found[service].update(
                kind.resolve(wanted_of(name, service, app, secrets, homeport_secrets, host))
            )
    return found


def wanted_of(
    name: str, use: str, app: Values, secrets: Values, homeport_secrets: list[str], host: Values
) -> Wanted:
    return Wanted(
        app=name,
        first_name=first_name(name, app),
        use=use,
        home=f"{APPS_HOME}/{name}",
        given=app[use],
        host=str(host.get(f"{use}_host") or ""),
        logins=logins(name, accepted_of(name, f"{use}_password", app, secrets, homeport_secrets)),
        admin_password=derive(homeport_secrets[0], name, f"{use}_admin"),
    )


def authority_of(name: str, service: str) -> str:
    """The file with the authority of a cache or broker that is somebody else's."""
    return f"{APPS_HOME}/{name}/config/{service}-ca.pem"


def authorities(name: str) -> str:
    """The folder with these, under the names by which OpenSSL looks for them."""
    return f"{APPS_HOME}/{name}/config/authorities"


def _by_address(name: str, service: str, given: Values, engine: str, url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    login = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    found = {**NOTHING, "engine": engine, "url": url, **{key: value or "" for key, value in login.items()}}
    if "ca" in given:
        found.update(ca=given["ca"], authority=authority_of(name, service))
        # as for a cache of the inventory's, whose url has no query
        if service == "broker" and engine in ENGINES and ENGINES[engine].facts.role == "redis":
            found["url"] = verified(url, found["authority"])
    return found


def services_environment(name: str, prefix: str, services: Mapping[str, Values]) -> dict[str, str]:
    """The variables of cache and broker of an app, with the prefix of cached keys.

    REDIS_URL is the broker where both are Redis: it evicts nothing.
    """
    cache, broker = services["cache"], services["broker"]
    result: dict[str, str] = {}
    if cache["url"]:
        result.update(CACHE_URL=cache["url"], CACHE_PREFIX=prefix)
    if broker["url"]:
        result.update(BROKER_URL=broker["url"], CELERY_BROKER_URL=broker["url"])
    for use, service in (("broker", broker), ("cache", cache)):
        engine = find(service["engine"], use)
        found = engine.environment(service) if engine and service["url"] else {}
        if not found.keys() & result.keys():
            result.update(found)
    # not every client's URL can say whom to trust
    if "ca" in cache or "ca" in broker:
        result["SSL_CERT_DIR"] = f"{TRUSTED_FOLDERS}:{authorities(name)}"
    elif cache["tls"] or broker["tls"]:
        result["SSL_CERT_DIR"] = TRUSTED_FOLDERS
    return result


def unavailable(apps: Mapping[str, Values], services: Iterable[str], facts: Values) -> list[str]:
    """Engines that a host is to run and its distribution does not have."""
    system = f"{facts.get('distribution', '')} {facts.get('version', '')}".strip()
    problems = []
    for name, app in apps.items():
        for service in [found for found in SERVICES if found in services and app[found]["managed"]]:
            path, engine = f"django_apps.{name}.{service}", app[service]["engine"]
            since = ENGINES[engine].since
            if since and since.missing(facts):
                problems.append(f"{path}: {system} has no {since.what}; use {since.instead}")
            for kind in kinds_of(app["processes"]) if service == "broker" else ():
                needs = QUEUES[kind].needs.get(engine)
                if needs and needs.missing(facts):
                    problems.append(
                        f"{path}: {QUEUES[kind].title} needs {needs.what}, which {system} does not have; "
                        f"use {needs.instead}"
                    )
    return problems
