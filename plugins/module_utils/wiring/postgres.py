# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role postgres has them: databases, their owners, and who may reach them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import all_databases
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def postgres_databases(apps: Apps) -> list[dict[str, Any]]:
    """What the postgres role creates: the databases and their owner for each app that has any here."""
    return [
        {
            **{key: database[key] for key in ("name", "owner", "logins", "extensions")},
            "connection_limit": app["limits"]["database_connections"],
        }
        for app in apps.values()
        for database in all_databases(app).values()
        if database["engine"] == "postgres" and database["managed"]
    ]


def field_names(app: Mapping[str, Any]) -> dict[str, str]:
    """The fields behind an app's databases, by the names of these."""
    further = {database["name"]: f"databases.{alias}" for alias, database in app["databases"].items()}
    return {**further, app["database"]["name"]: "database"}


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
