# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Database, cache and broker."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.table import used_for
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Int,
    List,
    Map,
    Object,
    Problems,
    Str,
)

# Databases that restore drills fill and empty.
SCRATCH_PREFIX = "homeport_drill_"
# Of a further database, as Django's settings name it.
ALIAS = r"(?!default$)[a-z][a-z0-9_]{0,29}"


def _engine_or_url(service: dict[str, Any], path: str, problems: Problems) -> None:
    if "url" in service and len(service) > 1 and "engine" in service:
        problems.add(path, "takes either an engine or the url of a service that exists already, not both")


def _further_rule(database: dict[str, Any], path: str, problems: Problems) -> None:
    for field in ("name", "scheme"):
        if "url" in database and database.get(field):
            problems.add(
                f"{path}.{field}",
                "is that of a database of Homeport's, and url names one that exists already",
            )


def _database_rule(service: dict[str, Any], path: str, problems: Problems) -> None:
    _engine_or_url(service, path, problems)
    if service.get("extensions") and service.get("engine", "postgres") != "postgres":
        problems.add(f"{path}.extensions", "are those of PostgreSQL only")
    if "scheme" in service and ("url" in service or service.get("engine") == "none"):
        problems.add(
            f"{path}.scheme", "is that of the address of a database of Homeport's; write it into the url"
        )


def _name(doc: str) -> Str:
    return Str(doc, pattern=r"[a-z_][a-z0-9_-]{0,62}", hint="must be lower-case letters, digits, '_' or '-'")


def _scheme(doc: str) -> Str:
    return Str(
        doc,
        pattern=r"[a-z][a-z0-9+]{0,30}",
        hint="must be the scheme of a URL, such as postgresql, postgis or spatialite",
    )


EXTENSIONS = List(
    Str(
        "name of an extension",
        pattern=r"[a-z][a-z0-9_-]{0,62}",
        hint="must be an extension of PostgreSQL, in lower case",
    ),
    doc="extensions of PostgreSQL that are installed and created before the app's first release; with a url, that have "
    "to be there",
    default=[],
)

DATABASE = Object(
    {
        "engine": Choice(
            [*used_for("database"), "none"], doc="what keeps the data (default: what the setup has)"
        ),
        "name": _name("name of the database (default: the app's)"),
        "url": Str(
            "address of a database that exists already; with a password it goes to the vault's database_url"
        ),
        "ca": Str(
            "file on the controller with the certificates (PEM) by which the PostgreSQL of the url, or of the vault's "
            "database_url, is verified"
        ),
        "conn_max_age": Int(
            "seconds a connection is kept (default: 600, or 0 with web.server: asgi, where Django does not close them)",
            high=86400,
        ),
        "scheme": _scheme(
            "scheme of DATABASE_URL, from which projects take their backend (default: postgres, postgis with that "
            "extension, sqlite)"
        ),
        "extensions": EXTENSIONS,
    },
    short="engine",
    doc="the app's database",
    rule=_database_rule,
    default={},
)

DATABASES = Map(
    Object(
        {
            "name": _name(
                "name of the database (default: that of the app's database, '_' and the alias), which Homeport creates "
                "beside it, in the same PostgreSQL or as another SQLite file"
            ),
            "url": Str(
                "address of a database that exists already; with a password it goes to the vault's database_urls"
            ),
            "ca": Str(
                "file on the controller with the certificates (PEM) by which the PostgreSQL of the url, or of the "
                "vault's database_urls, is verified"
            ),
            "scheme": _scheme("scheme of its address (default: as for the app's database)"),
            "extensions": EXTENSIONS,
            "migrate": Bool("run migrate --database for it, after the app's database", default=True),
            "backup": Bool(
                "include it in the app's backups; false only for a url, whose owner backs it up", default=True
            ),
        },
        rule=_further_rule,
    ),
    key=ALIAS,
    key_hint="use lower-case letters, digits and '_', starting with a letter, and not default",
    doc="further databases of the project, by their aliases in DATABASES, each with an environment variable such as "
    "REPORTS_DATABASE_URL",
    default={},
)


def _service(name: str, engine: Choice, memory: Int, doc: str) -> Object:
    return Object(
        {
            "engine": engine,
            "url": Str(
                f"address of a {name} that exists already; with a password it goes to the vault's {name}_url"
            ),
            "ca": Str(
                f"file on the controller with the certificates (PEM) by which the server of the url, or of the vault's "
                f"{name}_url, is verified, as of a provider with an authority of its own"
            ),
            "plain": Bool(
                "confirm that the url leads to another host without TLS, as in a network of your own: no run warns of "
                "it then",
                default=False,
            ),
            "memory": memory,
            "port": Int(
                "TCP port of a Redis or Valkey at 127.0.0.1; other users can bind one from 1024 on while it restarts "
                "(default: an address and a port below 1024, made from the app's name)",
                low=1,
                high=65535,
            ),
        },
        short="engine",
        doc=doc,
        rule=_engine_or_url,
        default={},
    )


CACHE = _service(
    "cache",
    Choice([*used_for("cache"), "none"], doc="what keeps it (default: what the setup has)"),
    Int("MiB after which it drops what was used least recently", low=8, high=1 << 20, default=64),
    "the app's cache, which no other app can reach",
)

BROKER = _service(
    "broker",
    Choice(
        [*used_for("broker"), "database", "none"],
        doc="what hands out the tasks (default: what the app's processes and the setup have)",
    ),
    Int("MiB after which Redis or Valkey takes no more tasks", low=8, high=1 << 20, default=128),
    "the broker of the app's task queues, which no other app can reach",
)
