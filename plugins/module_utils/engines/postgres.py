# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import POSTGRES_PORT
from ansible_collections.homeport.django.plugins.module_utils.common.authority import AUTHORITY
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Values, Wanted

SOCKET = "/var/run/postgresql"
SYSTEM_DATABASES = ("postgres", "template0", "template1")
CONNECTION = 3  # MiB of a backend that has answered queries; each web thread keeps one
VARIABLES = {
    "PGHOST": "host",
    "PGPORT": "port",
    "PGDATABASE": "name",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
}


def is_geographic(extensions: Iterable[str]) -> bool:
    return any(extension.startswith(("postgis", "pgrouting")) for extension in extensions)


def resolve(wanted: Wanted) -> dict[str, Any]:
    given, name = wanted.given, wanted.given.get("name", wanted.app)
    scheme = given.get("scheme", "postgis" if is_geographic(given["extensions"]) else "postgres")
    found: dict[str, Any] = {"managed": True, "name": name, "port": POSTGRES_PORT}
    if wanted.host:
        user, password = wanted.logins[0].values()
        verified = {"sslmode": "verify-full", "sslrootcert": AUTHORITY}
        options = "&".join(f"{key}={value}" for key, value in verified.items())
        url = wanted.url(scheme, wanted.host, POSTGRES_PORT, f"{name}?{options}", user)
        remote = {"host": wanted.host, "logins": wanted.logins, "url": url}
        return {**found, **remote, **verified, "user": user, "password": password}
    # of the forms with a socket the one that every reader of such addresses takes: urlsplit finds no host, and
    # libpq goes by PGHOST
    url = f"{scheme}://{wanted.app}@/{name}?host={SOCKET}"
    return {**found, "host": SOCKET, "user": wanted.app, "url": url}


def environment(database: Values) -> dict[str, str]:
    return {key: str(database[field]) for key, field in VARIABLES.items() if database[field]}


POSTGRES = Engine(
    "postgres",
    uses=("database",),
    resolve=resolve,
    environment=environment,
    client="psycopg[binary]",
    idle=24,
)
