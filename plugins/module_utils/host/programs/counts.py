# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a database holds, counted: the rows of every table, and the migrations that are applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1, 2
"""
# Of a provider's own, which the role may not enter. What it may not read elsewhere is an error.
CLOSED = """
SELECT n.nspname FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1
"""
EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
Ask = Callable[[str], Any]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def counted(vendor: str, ask: Ask) -> dict[str, Any]:
    """``ask`` runs a query and returns its rows."""
    if vendor == "postgresql":
        names = [(schema, name) for schema, name in ask(TABLES)]
    else:
        found = ask("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        names = [("", name) for (name,) in found if not name.startswith("sqlite_")]
    rows = {}
    for schema, name in names:
        path = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
        label = name if schema in ("", "public") else f"{schema}.{name}"
        rows[label] = ask(f"SELECT count(*) FROM {path}")[0][0]
    answer: dict[str, Any] = {"vendor": vendor, "rows": rows, "migrations": [], "extensions": []}
    if "django_migrations" in rows:
        applied = ask("SELECT app, name FROM django_migrations ORDER BY 1, 2")
        answer["migrations"] = [f"{app}.{name}" for app, name in applied]
    if vendor == "postgresql":
        answer["extensions"] = [name for (name,) in ask(EXTENSIONS)]
        answer["bytes"] = ask("SELECT pg_database_size(current_database())")[0][0]
    return answer


def by_cursor(cursor: Any) -> Ask:
    def ask(query: str) -> Any:
        cursor.execute(query)
        return cursor.fetchall()

    return ask
