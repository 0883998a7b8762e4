# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of the project that a program works on."""

from __future__ import annotations

import sys
from typing import Any

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
