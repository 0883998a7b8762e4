# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role postgres has them: databases, their owners, and who may reach them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def postgres_databases(apps: Apps) -> list[dict[str, Any]]:
    """What the postgres role creates: a database and its owner for each app that has one here."""
    return [
        {
            "name": app["database"]["name"],
            "owner": app["database"]["owner"],
            "logins": app["database"]["logins"],
            "extensions": app["database"]["extensions"],
            "connection_limit": app["limits"]["database_connections"],
        }
        for app in apps.values()
        if app["database"]["engine"] == "postgres" and app["database"]["managed"]
    ]


def postgres_clients(apps: Apps, addresses: Iterable[str]) -> list[dict[str, Any]]:
    """Who may reach which database over the network: each app from its own servers, over TLS."""
    return database_clients(postgres_databases(apps), addresses)


def database_clients(
    databases: Iterable[Mapping[str, Any]], addresses: Iterable[str]
) -> list[dict[str, Any]]:
    """Each login reaches its databases from the given addresses."""
    return [
        {"database": database["name"], "user": login["name"], "address": address}
        for database in databases
        for login in database["logins"]
        for address in addresses
    ]
