# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The databases of an app, as its user sees them: its own, and further ones by their aliases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.app.services import wanted_of
from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.names import DIRECT, FURTHER
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find

# Of the app's own database, as Django's settings name it.
DEFAULT = "default"
NOTHING = dict.fromkeys(("user", "password", "host", "port", "sslmode", "sslrootcert", "url"), "")


def authority(alias: str = DEFAULT) -> str:
    """Below the folder of an app: the authority of a database that is somebody else's."""
    return f"config/database-ca{'' if alias == DEFAULT else f'-{alias}'}.pem"


def variable(alias: str) -> str:
    """The environment variable with the address of a further database."""
    return f"{alias.upper()}{FURTHER}"


def direct_variable(alias: str) -> str:
    """The environment variable with the address of a database's server, where its own leads to a pooler."""
    return DIRECT if alias == DEFAULT else f"{alias.upper()}_{DIRECT}"


def direct_field(use: str) -> str:
    """Where the vault has that address: of ``database``, or of ``databases.ALIAS``."""
    alias = use.partition(".")[2]
    return f"database_direct_urls.{alias}" if alias else "database_direct_url"


def all_databases(app: Values) -> dict[str, Any]:
    """The databases of a resolved app by their aliases, its own first."""
    return {DEFAULT: app["database"], **app["databases"]}


def database_of(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, Any]:
    """The database as its user sees it: engine, name, user, password, host, port, sslmode, sslrootcert, url, managed.

    ``owner`` is whose it is, and ``logins`` are all by which it can be reached over the network. ``ca`` is the
    controller's file of the authority that has signed for somebody else's server, and ``direct`` the address of the
    server itself, where the url leads to a pooler.
    """
    given = app["database"]
    url = given.get("url") or secrets.get("database_url")
    result: dict[str, Any] = {
        **NOTHING,
        "conn_max_age": given.get("conn_max_age", 0 if app["web"]["server"] == "asgi" else 600),
        "managed": False,
        "owner": name,
        "logins": [],
        "extensions": given["extensions"],
    }
    if url:
        return {**result, **by_address(name, given, url, DEFAULT, secrets.get("database_direct_url", ""))}
    engine = given.get("engine", setup.databases[0])
    result.update(engine=engine, name=given.get("name", name))
    if kind := find(engine, "database"):
        result.update(kind.resolve(wanted_of(name, "database", app, secrets, homeport_secrets, host)))
    return result


def databases_of(
    name: str, app: Values, secrets: Values, homeport_secrets: list[str], setup: Setup, host: Values
) -> dict[str, dict[str, Any]]:
    """The further databases by their aliases, each as above, with ``migrate`` and ``backup``."""
    engine = app["database"].get("engine", setup.databases[0])
    found = {}
    for alias, given in app["databases"].items():
        result: dict[str, Any] = {
            **NOTHING,
            **{key: given[key] for key in ("extensions", "migrate", "backup")},
            "managed": False,
            "owner": name,
            "logins": [],
        }
        url = given.get("url") or secrets.get("database_urls", {}).get(alias)
        kind = find(engine, "database")
        if url:
            direct = secrets.get("database_direct_urls", {}).get(alias, "")
            result.update(by_address(name, given, url, alias, direct))
        elif kind:
            wanted = wanted_of(name, "database", app, secrets, homeport_secrets, host)
            named = {**given, "name": name_of(name, app, alias, engine)}
            result.update(engine=engine, **kind.resolve(replace(wanted, given=named)))
        found[alias] = result
    return found


def name_of(app_name: str, app: Values, alias: str, engine: str) -> str:
    """The name of a further database of Homeport's."""
    own = app.get("database", {}).get("name", "db" if engine == "sqlite" else app_name)
    return str(app["databases"][alias].get("name", f"{own}_{alias}"))


def by_address(name: str, given: Values, url: str, alias: str, direct: str) -> dict[str, Any]:
    """A database that exists already."""
    found = {"ca": given["ca"]} if "ca" in given else {}
    if found:
        path = f"{APPS_HOME}/{name}/{authority(alias)}"
        url, direct = verified(url, path), verified(direct, path) if direct else ""
    if direct:
        found["direct"] = direct
    return {**found, **parse_database_url(url), "url": url}


def verified(url: str, ca: str) -> str:
    """The address of a PostgreSQL with the authority that its server is verified by."""
    mode = "" if parse_database_url(url)["sslmode"] else "sslmode=verify-full&"
    return f"{url}{'&' if urlsplit(url).query else '?'}{mode}sslrootcert={ca}"


def database_environment(database: Values, further: Values) -> dict[str, str]:
    """Where the databases are."""
    others = {variable(alias): found["url"] for alias, found in further.items()}
    for alias, found in {DEFAULT: database, **further}.items():
        if found.get("direct"):
            others[direct_variable(alias)] = found["direct"]
    if not database["url"]:
        return others
    default = {"DATABASE_URL": database["url"], "CONN_MAX_AGE": str(database["conn_max_age"])}
    engine = find(database["engine"], "database")
    return {**default, **(engine.environment(database) if engine else {}), **others}
