# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is wrong with the further databases of an app, and with the authorities of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import name_of, variable
from ansible_collections.homeport.django.plugins.module_utils.app.fields.services import SCRATCH_PREFIX
from ansible_collections.homeport.django.plugins.module_utils.app.services import check_address
from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.engines import engine_of
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Values
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import SYSTEM_DATABASES
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems

LONGEST_NAME = 63  # bytes, of PostgreSQL's names


def check_further(
    path: str, name: str, app: Values, secrets: Values, setup: Setup, problems: Problems
) -> None:
    vault = f"vault_django_apps.{name}.database_urls"
    urls, further = secrets.get("database_urls", {}), app.get("databases", {})
    for kind in ("database_urls", "database_direct_urls"):
        for alias in sorted(secrets.get(kind, {}).keys() - further.keys()):
            problems.add(
                f"vault_django_apps.{name}.{kind}.{alias}",
                f"no such database in {path}.databases; declare it there ({alias}: {{}})",
            )
    for alias, given in further.items():
        field = f"{path}.databases.{alias}"
        for place, url in ((f"{field}.url", given.get("url")), (f"{vault}.{alias}", urls.get(alias))):
            if isinstance(url, str):
                check_address(url, place, "postgres://user@host:5432/name", problems)
        if "url" in given and alias in urls:
            problems.add(f"{field}.url", f"is also in {vault}; keep one")
        address = given.get("url") or urls.get(alias)
        engine = engine_of(address) if isinstance(address, str) else "postgres"
        if given.get("backup", True) and not find(engine, "database"):
            problems.add(f"{field}.backup", "must be false: Homeport backs up PostgreSQL and SQLite alone")
        elif given.get("backup", True) and isinstance(address, str) and engine == "sqlite":
            home = f"{APPS_HOME}/{name}/"
            if not _file_of(address).startswith(home):
                problems.add(
                    f"{field}.backup", f"must be false: Homeport backs up SQLite files in {home} alone"
                )
        check_authority(f"{field}.ca", given, address, problems)
        direct = secrets.get("database_direct_urls", {}).get(alias)
        check_direct(f"vault_django_apps.{name}.database_direct_urls.{alias}", direct, address, problems)
        check_extensions(f"{field}.extensions", given, address, problems)
        if app.get("overlay") and app.get("env", {}).get(variable(alias), "") is None:
            problems.add(
                f"{path}.env.{variable(alias)}", "is what the overlay takes the setting from; give it a value"
            )
        if "url" in given or alias in urls:
            for key in ("name", "scheme") if alias in urls else ():
                if given.get(key):
                    problems.add(
                        f"{field}.{key}", f"is that of a database of Homeport's, and {vault} names one"
                    )
        else:
            _check_own(field, name, app, secrets, alias, setup, problems)


def _file_of(address: str) -> str:
    try:
        return str(parse_database_url(address)["name"])
    except ValueError:
        return ""  # which has been said already


def _check_own(
    field: str, name: str, app: Values, secrets: Values, alias: str, setup: Setup, problems: Problems
) -> None:
    """A database that Homeport makes beside the app's own."""
    given, default = app["databases"][alias], app.get("database", {})
    engine = default.get("engine", setup.databases[0])
    elsewhere = "url" in default or "database_url" in secrets
    if not elsewhere and not find(engine, "database") and engine != "none":
        return  # which has been said already
    if elsewhere or engine == "none":
        there = "is somebody else's" if elsewhere else "is none"
        problems.add(
            field, f"needs a url: Homeport makes further databases beside the app's own, and that {there}"
        )
        return
    if not given.get("backup", True):
        problems.add(f"{field}.backup", "is false, and nobody else backs up this database; leave that out")
    if engine != "postgres" and given.get("extensions"):
        problems.add(f"{field}.extensions", "are created by Homeport in its own PostgreSQL only")
    wanted = engine_of(given["scheme"]) if isinstance(given.get("scheme"), str) else ""
    if find(wanted, "database") and wanted != engine:
        problems.add(f"{field}.scheme", f"goes with {wanted}, and the app's databases are {engine}")
    called = name_of(name, app, alias, engine)
    if called in SYSTEM_DATABASES or called.startswith(SCRATCH_PREFIX):
        problems.add(f"{field}.name", "is a database of the system; choose another")
    elif len(called) > LONGEST_NAME:
        problems.add(f"{field}.name", f"would be {called}, which is too long; name a shorter one")
    elif called == default.get("name", "db" if engine == "sqlite" else name):
        problems.add(f"{field}.name", f"{called} is the app's own database; choose another")


def names_of(name: str, app: Values, secrets: Values) -> dict[str, str]:
    """The databases of an app that Homeport may make in PostgreSQL, by their fields."""
    own = {"database": app.get("database", {}).get("name", name)}
    urls = secrets.get("database_urls", {})
    for alias, given in app.get("databases", {}).items():
        if "url" not in given and alias not in urls:
            own[f"databases.{alias}"] = name_of(name, app, alias, "postgres")
    return own


def check_direct(field: str, direct: Any, address: Any, problems: Problems) -> None:
    """The address of the server behind a pooler."""
    if not isinstance(direct, str):
        return
    check_address(direct, field, "postgres://user@host:5432/name", problems)
    if not isinstance(address, str):
        problems.add(field, "goes with the url of a database that exists already")
    elif "postgres" not in (engine_of(address), engine_of(direct)) or engine_of(address) != engine_of(direct):
        problems.add(field, "is for PostgreSQL, and the same database as the url by another way")


def check_extensions(field: str, given: Mapping[str, Any], address: Any, problems: Problems) -> None:
    """The extensions that a database has to have which exists already."""
    if given.get("extensions") and isinstance(address, str) and engine_of(address) != "postgres":
        problems.add(field, "are those of PostgreSQL only")


def check_authority(field: str, given: Mapping[str, Any], address: Any, problems: Problems) -> None:
    """The authority of a database that exists already."""
    if "ca" not in given:
        return
    if not isinstance(address, str):
        problems.add(field, "goes with the url of a database that exists already; Homeport verifies its own")
    elif engine_of(address) != "postgres":
        problems.add(field, "is for PostgreSQL; write what another driver takes into the url")
    elif "sslrootcert=" in address:
        problems.add(field, "is also in the url, as sslrootcert; keep one")
