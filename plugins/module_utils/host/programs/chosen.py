# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of the project that a program works on."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.db import DEFAULT_DB_ALIAS, connections


class Connection:
    """Django's connection to the database of an alias."""

    alias = DEFAULT_DB_ALIAS

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[self.alias], name)


connection = Connection()


def choose(question: dict[str, Any]) -> None:
    """The database that a question is about: the app's own, or a further one by its ``alias``."""
    alias = question.get("alias", DEFAULT_DB_ALIAS)
    if alias not in connections:
        sys.exit(f"databases.{alias}: DATABASES of the project has no {alias}")
    connection.alias = alias
    if os.environ.get(direct_variable(alias)):
        go_directly(os.environ[direct_variable(alias)])


def direct_variable(alias: str) -> str:
    """The variable with the address of the server itself, where that of the database leads to a pooler."""
    return f"{'' if alias == DEFAULT_DB_ALIAS else f'{alias.upper()}_'}DATABASE_DIRECT_URL"


def go_directly(url: str) -> None:
    """Passes a pooler by: what is set for a session (limits of locks, pg_dump's search_path) would stay there for the
    app's own queries."""
    parts = urlsplit(url)
    connection.close()
    connection.settings_dict.update(
        HOST=unquote(parts.hostname or ""),
        PORT=str(parts.port or ""),
        NAME=unquote(parts.path[1:]),
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
        OPTIONS={
            **{key: value for key, value in connection.settings_dict["OPTIONS"].items() if key != "pool"},
            **dict(parse_qsl(parts.query)),
        },
    )
