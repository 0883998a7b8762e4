# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of an app, as its user sees it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.app.services import wanted_of
from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find

# Below the folder of an app: the authority of a database that is somebody else's.
CA = "config/database-ca.pem"


def database_of(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, Any]:
    """The database as its user sees it: engine, name, user, password, host, port, sslmode, sslrootcert, url, managed.

    ``owner`` is whose it is, and ``logins`` are all by which it can be reached over the network. ``ca`` is the
    controller's file of the authority that has signed for somebody else's server.
    """
    given = app["database"]
    url = given.get("url") or secrets.get("database_url")
    result: dict[str, Any] = {
        **dict.fromkeys(("user", "password", "host", "port", "sslmode", "sslrootcert", "url"), ""),
        "conn_max_age": given.get("conn_max_age", 0 if app["web"]["server"] == "asgi" else 600),
        "managed": False,
        "owner": name,
        "logins": [],
        "extensions": given["extensions"],
    }
    if url:
        if "ca" in given:
            url = verified(url, f"{APPS_HOME}/{name}/{CA}")
            result["ca"] = given["ca"]
        return {**result, **parse_database_url(url), "url": url}
    engine = given.get("engine", setup.databases[0])
    result.update(engine=engine, name=given.get("name", name))
    if kind := find(engine, "database"):
        result.update(kind.resolve(wanted_of(name, "database", app, secrets, homeport_secrets, host)))
    return result


def verified(url: str, ca: str) -> str:
    """The address of a PostgreSQL with the authority that its server is verified by."""
    mode = "" if parse_database_url(url)["sslmode"] else "sslmode=verify-full&"
    return f"{url}{'&' if urlsplit(url).query else '?'}{mode}sslrootcert={ca}"


def database_environment(database: Values) -> dict[str, str]:
    """Where the database is."""
    if not database["url"]:
        return {}
    found = {"DATABASE_URL": database["url"], "CONN_MAX_AGE": str(database["conn_max_age"])}
    engine = find(database["engine"], "database")
    return {**found, **(engine.environment(database) if engine else {})}
