# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the services of a host are given for each app: what is wanted, compared with what they were given last.

By component (the key of its record, host/given.py), app and the user's own field. Passwords are not among it:
whether a service lets a release in is found out by asking it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import Parts, digest
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.common.parts import FIREWALL, NGINX, POSTGRES
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import public_port
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    field_names,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

# The user's fields behind what a site of nginx has.
SITE = {
    **dict.fromkeys(("server_names", "redirects", "canonical"), "domains"),
    "upstream": "web",
    **{name: name for name in ("tls", "static", "media", "maintenance")},
    **dict.fromkeys(("tls_in_front", "hsts"), "tls"),
}


def wanted(apps: Apps, database_apps: Apps, served: Iterable[str]) -> dict[str, Parts]:
    """What the components of a host that serves the ``apps``, ``database``, ``cache`` or ``broker`` are to be given.
    ``served`` has ``firewall``, too, where the host has one."""
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
    if {"apps", "firewall"} <= served:
        for name, app in apps.items():
            if not app["proxied"] and (port := public_port(app["web"]["socket"])):
                give(FIREWALL, name, {"web.port": port})
    if "database" in served:
        for name, app in database_apps.items():
            fields_of = field_names(app)
            for database in postgres_databases({name: app}):
                field = fields_of[database["name"]]
                give(
                    POSTGRES,
                    name,
                    {
                        **{f"{field}.{key}": database[key] for key in ("name", "owner", "extensions")},
                        "limits.database_connections": database["connection_limit"],
                    },
                )
    for service in SERVICES:
        for name, app in apps.items():
            engine = app[service]["engine"]
            if service in served and app[service]["managed"]:
                sizes = {
                    f"{service}.{key}": app[service][key] for key in ("memory", "port") if key in app[service]
                }
                if app[service]["tls"]:
                    sizes[f"{service}.tls"] = True
                give(FACTS[engine].component, name, {f"{service}.engine": engine, **sizes})
    return {
        component: {
            app: {field: digest(value)[:16] for field, value in fields.items()}
            for app, fields in parts.items()
        }
        for component, parts in found.items()
    }
