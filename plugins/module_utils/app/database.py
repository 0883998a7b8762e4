# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of an app, as its user sees it."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.services import wanted_of
from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find


def database_of(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, Any]:
    """The database as its user sees it: engine, name, user, password, host, port, sslmode, url, managed. ``owner`` is
    whose it is, and ``logins`` are all by which it can be reached over the network."""
    given = app["database"]
    url = given.get("url") or secrets.get("database_url")
    result: dict[str, Any] = {
        **dict.fromkeys(("user", "password", "host", "port", "sslmode", "url"), ""),
        "conn_max_age": given.get("conn_max_age", 0 if app["web"]["server"] == "asgi" else 600),
        "managed": False,
        "owner": name,
        "logins": [],
        "extensions": given["extensions"],
    }
    if url:
        return {**result, **parse_database_url(url), "url": url}
    engine = given.get("engine", setup.databases[0])
    result.update(engine=engine, name=given.get("name", name))
    if kind := find(engine, "database"):
        result.update(kind.resolve(wanted_of(name, "database", app, secrets, homeport_secrets, host)))
    return result


def database_environment(database: Values) -> dict[str, str]:
    """Where the database is."""
    if not database["url"]:
        return {}
    found = {"DATABASE_URL": database["url"], "CONN_MAX_AGE": str(database["conn_max_age"])}
    engine = find(database["engine"], "database")
    return {**found, **(engine.environment(database) if engine else {})}
