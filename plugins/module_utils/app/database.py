# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of an app, as its user sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.homeport.django.plugins.module_utils.app.paths import APPS_HOME, POSTGRES_SOCKET
from ansible_collections.homeport.django.plugins.module_utils.app.services import accepted_of, in_url
from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import (
    POSTGRES_PORT,
    parse_database_url,
)
from ansible_collections.homeport.django.plugins.module_utils.common.derive import logins


def database_of(
    name: str,
    app: dict[str, Any],
    secrets: dict[str, Any],
    homeport_secrets: list[str],
    shape: Setup,
    host: Mapping[str, Any],
) -> dict[str, Any]:
    """The database as its user sees it: engine, name, user, password, host, port, sslmode, url, managed. ``owner`` is
    whose it is, and ``logins`` are all by which it can be reached over the network."""
    given = app["database"]
    url = given.get("url") or secrets.get("database_url")
    result: dict[str, Any] = {
        "conn_max_age": given.get("conn_max_age", 0 if app["web"]["server"] == "asgi" else 600),
        "managed": False,
        "sslmode": "",
        "port": "",
        "owner": name,
        "logins": [],
        "extensions": given["extensions"],
    }
    if url:
        return {**result, **parse_database_url(url), "url": url}
    engine = given.get("engine", shape.databases[0])
    result.update(
        {"engine": engine, "name": given.get("name", name), "user": "", "password": "", "host": "", "url": ""}
    )
    if engine == "sqlite":
        path = f"{APPS_HOME}/{name}/shared/data/{given.get('name', 'db')}.sqlite3"
        result.update({"name": path, "url": f"{given.get('scheme', 'sqlite')}:///{path}"})
    elif engine == "postgres":
        server = str(host.get("database_host") or "")
        scheme = given.get("scheme", "postgis" if is_geographic(given["extensions"]) else "postgres")
        result.update({"managed": True, "user": name, "port": POSTGRES_PORT})
        if server:
            passwords = accepted_of(name, "database_password", app, secrets, homeport_secrets)
            user, password = logins(name, passwords)[0].values()
            result.update({"host": server, "sslmode": "require", "logins": logins(name, passwords)})
            result.update({"user": user, "password": password})
            result["url"] = (
                f"{scheme}://{user}:{quote(password, safe='')}@{in_url(server)}:{POSTGRES_PORT}"
                f"/{result['name']}?sslmode=require"
            )
        else:
            result["host"] = POSTGRES_SOCKET
            # of the forms with a socket the one that every reader of such addresses takes: urlsplit finds no host, and
            # libpq goes by PGHOST
            result["url"] = f"{scheme}://{name}@/{result['name']}?host={POSTGRES_SOCKET}"
    return result


def is_geographic(extensions: Iterable[str]) -> bool:
    return any(extension.startswith(("postgis", "pgrouting")) for extension in extensions)


def database_environment(database: Mapping[str, Any]) -> dict[str, str]:
    if not database["url"]:
        return {}
    result = {"DATABASE_URL": database["url"], "CONN_MAX_AGE": str(database["conn_max_age"])}
    if database["engine"] == "postgres":
        names = {
            "PGHOST": "host",
            "PGPORT": "port",
            "PGDATABASE": "name",
            "PGUSER": "user",
            "PGPASSWORD": "password",
            "PGSSLMODE": "sslmode",
        }
        result.update({key: str(database[field]) for key, field in names.items() if database[field]})
    elif database["engine"] == "sqlite":
        result["SQLITE_PATH"] = database["name"]
    return result
