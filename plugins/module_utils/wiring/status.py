# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the modules status and logs have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps, has_certificate
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import curl_command, visits


def status_apps(apps: Apps, address: str = "") -> list[dict[str, Any]]:
    """What status and logs need to know of each app: nothing that is secret. ``address`` is the host's."""
    return [
        {
            **{key: app[key] for key in ("name", "user", "home", "logs", "site_url", "proxied", "health")},
            "domains": [app["canonical"], *app["redirects"], *app["aliases"]],
            "certificate": app["tls"]["certificate"] if has_certificate(app) else "none",
            "try": curl_command(visits({name: app})[name], address) if address else "",
            "version": app["source"].get("version", ""),
            "python": app.get("python") or "",
            "socket": app["web"]["socket"],
            "visit": visits({name: app})[name],
            "static": app["static"]["server"],
            "media": app["media"]["root"] if app["media"]["kind"] == "local" else "",
            "database": status_database(app["database"]),
            **(
                {"databases": {alias: status_database(each) for alias, each in app["databases"].items()}}
                if app["databases"]
                else {}
            ),
            "processes": {name: process["count"] for name, process in app["processes"].items()},
            "kinds": {name: process.get("kind", "") for name, process in app["processes"].items()},
            **{service: status_service(name, service, app[service]) for service in SERVICES},
            "schedules": {name: schedule["calendar"] for name, schedule in app["schedules"].items()},
        }
        for name, app in apps.items()
    ]


def status_database(database: Mapping[str, Any]) -> dict[str, Any]:
    return {key: database.get(key, "") for key in ("engine", "name", "host", "managed")}


def status_service(name: str, service: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """An app's cache or broker for status: which it is, and by which unit it runs where it is Homeport's."""
    return {
        "engine": found["engine"],
        "managed": found["managed"],
        "host": "" if found["managed"] else found["host"],
        "unit": FACTS[found["engine"]].unit.format(app=name, use=service) if found["managed"] else "",
    }
