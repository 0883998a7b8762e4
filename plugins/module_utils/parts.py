# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the services of a host are given for each app: what is wanted, compared with what they were given last.

By component (the key of its record, module_utils/given.py), app and the user's own field. Passwords are not among it:
whether a service lets a release in is found out by asking it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app_services import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.given import Parts, digest
from ansible_collections.homeport.django.plugins.module_utils.queues import REDIS
from ansible_collections.homeport.django.plugins.module_utils.wiring import (
    Apps,
    nginx_sites,
    postgres_databases,
)

NGINX = "service_config.nginx"
POSTGRES = "postgres_databases.postgres"
# The component that runs each kind of cache and broker, and what it is called.
COMPONENTS = {
    **dict.fromkeys(REDIS, "service_config.redis"),
    "memcached": "service_config.memcached",
    "rabbitmq": "service_config.rabbitmq",
}
CERTIFICATES = "service_config.certificates"
NAMES = {
    NGINX: "nginx",
    CERTIFICATES: "the certificate renewal",
    POSTGRES: "PostgreSQL",
    "service_config.redis": "Redis or Valkey",
    "service_config.memcached": "Memcached",
    "service_config.rabbitmq": "RabbitMQ",
}
# The user's fields behind what a site of nginx has.
SITE = {
    **dict.fromkeys(("server_names", "redirects", "canonical"), "domains"),
    "upstream": "web",
    **{name: name for name in ("tls", "static", "media", "maintenance")},
    **dict.fromkeys(("tls_in_front", "hsts"), "tls"),
}
# The user's fields behind the certificate of a site.
CERTIFICATE = {"kind": "tls", "domains": "domains", "challenge": "tls.challenge", "chain": "tls.chain"}


def wanted(apps: Apps, database_apps: Apps, served: Iterable[str]) -> dict[str, Parts]:
    """What the components of a host that serves the ``apps``, ``database``, ``cache`` or ``broker`` are to be given."""
    served = set(served)
    found: dict[str, dict[str, dict[str, Any]]] = {}

    def give(component: str, app: str, fields: Mapping[str, Any]) -> None:
        found.setdefault(component, {}).setdefault(app, {}).update(fields)

    if "apps" in served:
        for name, site in nginx_sites({name: app for name, app in apps.items() if app["proxied"]}).items():
            fields: dict[str, list[Any]] = {}
            for key, value in site.items():
                fields.setdefault(SITE.get(key, f"proxy.{key}"), []).append(value)
            give(NGINX, name, fields)
    if "database" in served:
        for name, app in database_apps.items():
            for database in postgres_databases({name: app}):
                give(
                    POSTGRES,
                    name,
                    {f"database.{key}": database[key] for key in ("name", "owner", "extensions")},
                )
    for service in SERVICES:
        for name, app in apps.items():
            engine = app[service]["engine"]
            if service in served and app[service]["managed"] and engine in COMPONENTS:
                sizes = {
                    f"{service}.{key}": app[service][key] for key in ("memory", "port") if key in app[service]
                }
                give(COMPONENTS[engine], name, {f"{service}.engine": engine, **sizes})
    return {
        component: {
            app: {field: digest(value)[:16] for field, value in fields.items()}
            for app, fields in parts.items()
        }
        for component, parts in found.items()
    }


def differing(
    wanted_here: Mapping[str, Parts], given: Mapping[str, Parts], sets: Iterable[str]
) -> dict[str, dict[str, list[str]]]:
    """The fields that differ from what was given, by app and component; none where the app was given nothing.

    Nothing is said of a component that a version has set up (``sets``) which did not write down what it gave.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for component, parts in wanted_here.items():
        if component not in given and component.partition(".")[2] in sets:
            continue
        before = given.get(component, {})
        for app, fields in parts.items():
            if fields != before.get(app):
                had = before.get(app, {})
                names = sorted(name for name in {*fields, *had} if fields.get(name) != had.get(name))
                found.setdefault(app, {})[component] = names if had else []
    return found


def differing_certificates(
    wanted_here: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """The fields by which certificates differ from those that were given, by app; none where it was given none."""
    found = {}
    for app, site in wanted_here.items():
        had = given.get(app)
        names = [CERTIFICATE[key] for key, value in site.items() if had and had.get(key) != value]
        if names or not had:
            found[app] = names
    return found


def sentence(app: str, component: str, fields: Sequence[str], host: str) -> str:
    """What differs, for whoever reads it."""
    name = f"{NAMES[component]} on {host}"
    if not fields:
        return f"{name} has nothing for {app} yet"
    told = ", ".join(f"{app}.{field}" for field in fields)
    return f"{told} differ{'s' if len(fields) == 1 else ''} from what {name} was given"
