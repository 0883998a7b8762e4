# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""SQLite: a file of the app's."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Values, Wanted


def resolve(wanted: Wanted) -> dict[str, Any]:
    path = f"{wanted.home}/shared/data/{wanted.given.get('name', 'db')}.sqlite3"
    return {"name": path, "url": f"{wanted.given.get('scheme', 'sqlite')}:///{path}"}


def environment(database: Values) -> dict[str, str]:
    return {"SQLITE_PATH": database["name"]}


SQLITE = Engine("sqlite", uses=("database",), resolve=resolve, environment=environment)
