# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Copies every row of an SQLite file into the PostgreSQL database of the settings, which a migrate has made.

It does so in one transaction, table by table, with the keys that the rows had, and reads every row again. No model's
save runs and no signal is sent. What migrate itself derives from the models (content types, permissions) gives way.
Other rows that the file does not have do so only with ``replace``.
"""

from __future__ import annotations

import itertools
import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import django
from django.apps import apps
from django.db import Error, connection, connections, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models.sql import InsertQuery

from .counts import Ask, by_cursor, counted, quoted

DERIVED = ("contenttypes.contenttype", "auth.permission", "sites.site")
BATCH = 250
MOST_PARAMETERS = 60000  # of a statement: PostgreSQL takes 65535


def main(question: dict[str, Any]) -> None:
    django.setup()
    if connection.vendor != "postgresql":
        sys.exit(
            f"The database of this release is {connection.vendor}, not PostgreSQL: set database.engine to postgres"
        )
    connections.settings["old"] = {
        **connection.settings_dict,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": question["file"],
        "OPTIONS": {},
        "CONN_MAX_AGE": 0,
        "ATOMIC_REQUESTS": False,
    }
    with transaction.atomic(using="old"), transaction.atomic():
        answer = Move().run(question["replace"])
    print(question["mark"] + json.dumps(answer))


class Move:
    """The move, within its two transactions."""

    def __init__(self) -> None:
        self.ask_old: Ask = by_cursor(connections["old"].cursor())
        self.ask: Ask = by_cursor(connection.cursor())
        self.tables: dict[str, Table] = {}
        self.rows: dict[str, int] = {}  # of each table that moves

    def run(self, replace: bool) -> dict[str, Any]:
        execute("PRAGMA query_only = ON", "old")
        for name in ("idle_in_transaction_session_timeout", "statement_timeout"):
            execute(f"SET LOCAL {name} = 0")
        execute("SET LOCAL lock_timeout = '60s'")
        self.find_tables()
        self.refuse_other_columns()
        # from here on nobody else writes: what is compared is what gives way
        execute(f"LOCK TABLE {self.names()} IN ACCESS EXCLUSIVE MODE")
        unknown, derived = self.compare()
        now = counted("postgresql", self.ask)["rows"]
        differs = bool(unknown or derived) or any(now[name] != count for name, count in self.rows.items())
        if unknown and not replace:
            return {"rows": self.rows, "copied": False, "extra": unknown}
        if differs:
            self.copy()
        self.set_sequences()
        return {"rows": self.rows, "copied": differs, "extra": {}}

    def names(self) -> str:
        return ", ".join(quoted(name) for name in self.tables)

    def find_tables(self) -> None:
        """The tables that move; refuses to lose rows, and databases of different code."""
        before, target = counted("sqlite", self.ask_old), counted("postgresql", self.ask)
        refuse_other_code(before["migrations"], target["migrations"])
        # where two models have one table, the one that the migrations made it for
        every = sorted(apps.get_models(include_auto_created=True), key=lambda model: model._meta.managed)
        for model in every:
            options = model._meta
            if not options.proxy and not options.swapped and before["rows"].get(options.db_table) is not None:
                self.tables[options.db_table] = Table(model)
        left = sorted(
            name
            for name, count in before["rows"].items()
            if count and name not in self.tables and name != "django_migrations"
        )
        if left:
            sys.exit(
                "No model of the app has these tables of the SQLite file, so their rows would be lost: "
                + ", ".join(left)
            )
        for name in sorted(name for name in self.tables if name not in target["rows"]):
            if before["rows"][name]:
                sys.exit(f"PostgreSQL has no table {name}")
            del self.tables[name]
        if not self.tables:
            sys.exit("The SQLite file has none of the app's tables")
        self.rows = {name: before["rows"][name] for name in sorted(self.tables)}

    def refuse_other_columns(self) -> None:
        for table in self.tables.values():
            name = quoted(table.name)
            columns = {column for _, column, *_ in self.ask_old(f"PRAGMA table_info({name})")}
            known = {field.column for field in table.model._meta.local_concrete_fields}
            for column in sorted(columns - known):
                if self.ask_old(f"SELECT 1 FROM {name} WHERE {quoted(column)} IS NOT NULL LIMIT 1"):
                    sys.exit(
                        f"No model of the app has the column {table.name}.{column}, so its values would be lost"
                    )

    def compare(self) -> tuple[dict[str, int], int]:
        """How many rows of PostgreSQL the file does not have, by table; and how many of those migrate derives."""
        unknown, derived = {}, 0
        for table in self.tables.values():
            compared = (table.same_rows("old", batch) for batch in table.batches("default"))
            count = sum(bool(column) for rows in compared for _, column in rows)
            if table.derived:
                derived += count
            elif count:
                unknown[table.name] = count
        return unknown, derived

    def copy(self) -> None:
        execute(f"TRUNCATE {self.names()}")
        execute("SET CONSTRAINTS ALL DEFERRED")
        for table in self.tables.values():
            table.copy()
        after = counted("postgresql", self.ask)["rows"]
        differing = [
            f"{name}: {count} in SQLite, {after[name]} in PostgreSQL"
            for name, count in self.rows.items()
            if count != after[name]
        ]
        if differing:
            sys.exit(f"The copy does not have as many rows: {'; '.join(differing)}")
        try:
            execute("SET CONSTRAINTS ALL IMMEDIATE")
        except Error as error:
            sys.exit(
                "The SQLite file has rows that refer to rows which are missing (PRAGMA foreign_key_check lists them): "
                + reason(error)
            )

    def set_sequences(self) -> None:
        counters = {}
        if self.ask_old("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            counters = dict(self.ask_old("SELECT name, seq FROM sqlite_sequence"))
        for table in self.tables.values():
            table.set_sequence(counters.get(table.name, 0))


def execute(statement: str, using: str = "default") -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


def refuse_other_code(old: list[str], new: list[str]) -> None:
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    known = {f"{app}.{name}" for app, name in loader.disk_migrations}
    # those that the code does not have any more are applied in no new database
    differing = known.intersection(set(old) ^ set(new))
    if differing:
        sys.exit(
            f"These migrations are applied on one side only: {', '.join(sorted(differing))}. Deploy the same code with "
            "SQLite first"
        )


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


class Table:
    """A table of a model, on both sides."""

    def __init__(self, model: Any) -> None:
        self.model, options = model, model._meta
        self.name: str = options.db_table
        self.fields = [
            field for field in options.local_concrete_fields if not getattr(field, "generated", False)
        ]
        self.attributes = [field.attname for field in self.fields]
        keys = getattr(options, "pk_fields", [options.pk])
        self.key_places = [self.attributes.index(field.attname) for field in keys]
        self.derived = options.label_lower in DERIVED
        # None is what both the null of SQL and the null of JSON are read as
        self.json = [place for place, field in enumerate(self.fields) if isinstance(field, models.JSONField)]
        self.nulls = [
            models.ExpressionWrapper(
                models.Q(**{f"{self.attributes[place]}__isnull": True}), models.BooleanField()
            )
            for place in self.json
        ]
        self.size = max(1, min(BATCH, MOST_PARAMETERS // len(self.fields)))

    def key(self, row: Any) -> Any:
        found = tuple(plain(row[place]) for place in self.key_places)
        return found if len(found) > 1 else found[0]

    def rows(self, using: str, **only: Any) -> Iterator[Any]:
        query = models.QuerySet(self.model, using=using).filter(**only).order_by("pk")
        found: Iterator[Any] = query.values_list(*self.attributes, *self.nulls).iterator(chunk_size=1000)
        return found

    def batches(self, using: str) -> Iterator[list[Any]]:
        rows = iter(self.rows(using))
        while batch := list(itertools.islice(rows, self.size)):
            yield batch

    def same_rows(self, using: str, batch: list[Any]) -> Iterator[tuple[Any, str]]:
        """Each row of a batch with the column in which the other side's row differs; empty where it is the same."""
        found = {self.key(row): row for row in self.rows(using, pk__in=[self.key(row) for row in batch])}
        for row in batch:
            other = found.get(self.key(row))
            yield row, "all columns" if other is None else self.difference(row, other)

    def difference(self, row: Any, other: Any) -> str:
        for field, one, two in zip(self.fields, row, other):
            if not same(field, one, two):
                return str(field.column)
        return "" if row[len(self.fields) :] == other[len(self.fields) :] else "a null of JSON"

    def insert(self, rows: list[Any]) -> None:
        objects = []
        for row in rows:
            values = dict(zip(self.attributes, row))
            for place, is_null in zip(self.json, row[len(self.fields) :]):
                if row[place] is None and not is_null:
                    values[self.attributes[place]] = models.Value(None, output_field=self.fields[place])
            objects.append(types.SimpleNamespace(**values))
        query = InsertQuery(self.model)
        # raw: the values as they are, where a field would put today's date into what it keeps the date of
        query.insert_values(self.fields, objects, raw=True)
        query.get_compiler(using="default").execute_sql()

    def copy(self) -> None:
        number = 0
        for batch in self.batches("old"):
            try:
                with transaction.atomic():
                    self.insert(batch)
            except Exception as error:
                self.explain_row(batch, number, error)
            for _row, column in self.same_rows("default", batch):
                number += 1
                if column:
                    sys.exit(
                        f"{self.name}: row {number} in the order of its key differs in PostgreSQL after the copy: "
                        f"{column}"
                    )

    def explain_row(self, batch: list[Any], before: int, error: Exception) -> None:
        wrong = before + 1
        for number, row in enumerate(batch, before + 1):
            try:
                with transaction.atomic():
                    self.insert([row])
            except Exception as found:
                wrong, error = number, found
                break
        sys.exit(f"{self.name}: PostgreSQL rejects row {wrong} in the order of its key: {reason(error)}")

    def set_sequence(self, counter: int) -> None:
        """Where SQLite would go on counting: also past the keys of rows that were deleted."""
        for field in self.fields:
            if not isinstance(field, models.AutoField):
                continue
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT max({quoted(field.column)}) FROM {quoted(self.name)}")
                last = max(cursor.fetchone()[0] or 0, counter)
                sequence = [quoted(self.name), field.column, max(last, 1), last > 0]
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)", sequence)


def same(field: Any, one: Any, two: Any) -> bool:
    one, two = plain(one), plain(two)
    if one == two or (one != one and two != two):
        return True
    if one is None or two is None:
        return False
    # as what one form of a value is stored in SQLite, and another in PostgreSQL: an address, a custom field's object
    return bool(field.get_db_prep_save(one, connection) == field.get_db_prep_save(two, connection))


def reason(error: Exception) -> str:
    """Without the row itself, which the rest of the message quotes."""
    text = str(error).partition("\n")[0]
    text = text.partition(': "')[0].partition(" but got ")[0]
    return text if isinstance(error, (Error, ValueError)) else type(error).__name__
