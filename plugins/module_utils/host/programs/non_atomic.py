# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a migration that is no transaction has done when it fails.

Indexes that it has made, whole or not, are removed again, so that it can be tried once more; the rest is reported.
"""

from __future__ import annotations

import re
from typing import Any

from .chosen import connection
from .judge import flat, name_of

INVALID = """
SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_'
"""
EXISTING = "SELECT relname FROM pg_class WHERE relkind = 'i'"
CONCURRENTLY = r"\s*CREATE (UNIQUE )?INDEX CONCURRENTLY (IF NOT EXISTS )?\"?(\w+)\"? ON\b[^;]*;?\s*"


class NonAtomic:
    """The migrations of a plan with ``atomic = False``, and what is left of the one that failed."""

    def __init__(self, plan: list[Any], answer: dict[str, Any]) -> None:
        self.plan = plan
        self.answer = answer
        self.steps: list[list[Any]] = []  # each operation that began, and whether it came to its end
        self.foreign: set[tuple[str, str]] = set()  # invalid indexes of others
        self.existing: set[str] = set()  # indexes that were there before

    def prepare(self) -> None:
        """Removes invalid indexes that an earlier try has left, which was killed or could not remove them."""
        operations = [
            operation
            for migration in self.plan
            if not migration.atomic
            for operation in flat(migration.operations)
        ]
        if not operations:
            return
        names = {index_of(operation) for operation in operations}
        left = invalid()
        self.foreign.update(index for index in left if index[1] not in names)
        for schema, name in sorted(left - self.foreign):
            self.drop(name, schema)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(EXISTING)
                self.existing.update(row[0] for row in cursor.fetchall())
        for operation in operations:
            self.note(operation)

    def note(self, operation: Any) -> None:
        forwards = operation.database_forwards

        def database_forwards(*words: Any, **options: Any) -> None:
            self.steps.append([operation, False])
            forwards(*words, **options)
            self.steps[-1][1] = True

        operation.database_forwards = database_forwards

    def undo(self) -> None:
        """Removes the indexes that the failed migration has made, and reports the rest that it leaves."""
        done = self.answer["applied"]
        failed = next((migration for migration in self.plan if name_of(migration) not in done), None)
        if failed is None or failed.atomic:
            return
        own = list(flat(failed.operations))
        names = {index_of(operation) for operation in own}
        left: list[str] = []
        later: list[str] = []
        self.answer.update(loose=name_of(failed), left=left, later=later)
        for schema, name in sorted(invalid() - self.foreign):
            if not self.dropped(name, schema):  # prepare() will, where it knows the name
                (later if name in names else left).append(f"the invalid index {name}")
        kept: list[str] = []
        for operation, whole in reversed(self.steps):
            if any(operation is each for each in own):
                kept += self.leftover(operation, whole, bool(kept))
        left += reversed(kept)

    def leftover(self, operation: Any, whole: bool, later_ones: bool) -> list[str]:
        """What is left of an operation, if anything, once its index is removed where nothing after it stays."""
        name = index_of(operation)
        if whole and name in self.existing:  # IF NOT EXISTS has left it as it was
            return []
        if whole:
            removable = name and connection.vendor == "postgresql" and not later_ones
            return [] if removable and self.dropped(name) else [operation.describe()]
        if name or type(operation).__name__ == "RemoveIndexConcurrently" or operation.atomic:
            return []
        return [f"perhaps a part of: {operation.describe()}"]

    def drop(self, name: str, schema: str = "") -> None:
        quote = connection.ops.quote_name
        path = f"{quote(schema)}.{quote(name)}" if schema else quote(name)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {path}")
        self.answer["cleared"].append(name)

    def dropped(self, name: str, schema: str = "") -> bool:
        try:
            self.drop(name, schema)
        except Exception:
            connection.close()
            return False
        return True


def index_of(operation: Any) -> str:
    """The name of the index that an operation makes without a transaction, and nothing else."""
    if type(operation).__name__ == "AddIndexConcurrently":
        return str(operation.index.name)
    statement = getattr(operation, "sql", None)
    statement = " ".join(statement.split()) if isinstance(statement, str) else ""
    found = re.fullmatch(CONCURRENTLY, statement, re.IGNORECASE)
    return found[3] if found else ""


def invalid() -> set[tuple[str, str]]:
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(INVALID)
        return set(cursor.fetchall())
