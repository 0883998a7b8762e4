# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a database lacks, what of it would break the running code, and with ``go`` what came of migrating it."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from typing import Any

import django
from django.core.management import call_command
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from .chosen import choose, connection
from .judge import Judge, name_of
from .non_atomic import NonAtomic

LOCK_NOT_AVAILABLE = "55P03"
# Of these extensions, those that are missing and that only a superuser may create.
NOT_ALLOWED = """
SELECT wanted FROM unnest(%s::text[]) AS wanted
WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = wanted)
  AND NOT EXISTS (SELECT FROM pg_available_extension_versions WHERE name = wanted AND trusted)
ORDER BY 1
"""


def main(question: dict[str, Any]) -> None:
    django.setup()
    choose(question)

    def limit(sender: Any, connection: Any, **_: Any) -> None:
        # A statement that waits for a lock makes every request behind it wait too.
        lock, statement = question["lock_timeout"], question["statement_timeout"]
        limits = {
            "postgresql": [f"SET lock_timeout = '{lock}s'", f"SET statement_timeout = '{statement}s'"],
            "mysql": [f"SET SESSION lock_wait_timeout = {lock}"],
        }
        with connection.cursor() as cursor:
            for command in limits.get(connection.vendor, []):
                cursor.execute(command)

    connection_created.connect(limit, weak=False)
    executor = MigrationExecutor(connections[connection.alias])
    executor.loader.check_consistent_history(connection)
    plan = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    known = {app for app, _ in executor.loader.applied_migrations}
    answer: dict[str, Any] = {
        "vendor": connection.vendor,
        "fresh": not known,
        "pending": [name_of(migration) for migration in plan],
        "unsafe": {},
        "notes": {},
        "applied": [],
        "extensions": refused_extensions(plan),
    }
    if question["judge"] and known:
        if question["linter"]:
            sys.path.insert(0, question["linter"])
        judge = Judge(executor.loader)
        for migration in plan:
            if (
                migration.app_label in known
            ):  # else all of its tables are new: nothing that runs knows of them
                judge.add(migration, answer)
    if known:
        answer["bytes"] = size()
    if question["go"] or (question["go_if_nothing"] and not plan):
        migrate(plan, answer)
    print(question["mark"] + json.dumps(answer))


def refused_extensions(plan: list[Any]) -> list[str]:
    """Extensions that the plan creates and PostgreSQL will refuse; a server reached by its socket is Homeport's."""
    if connection.vendor != "postgresql" or not str(connection.settings_dict["HOST"]).startswith("/"):
        return []
    from django.contrib.postgres.operations import CreateExtension  # needs psycopg

    operations = [operation for migration in plan for operation in migration.operations]
    names = sorted({each.name for each in operations if isinstance(each, CreateExtension)})
    if not names:
        return []
    with connection.cursor() as cursor:
        cursor.execute(NOT_ALLOWED, [names])
        return [str(name) for (name,) in cursor.fetchall()]


def size() -> int:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name = str(connection.settings_dict["NAME"])
    return os.path.getsize(name) if os.path.isfile(name) else 0


def migrate(plan: list[Any], answer: dict[str, Any]) -> None:
    answer["cleared"] = []
    non_atomic = NonAtomic(plan, answer)
    out = io.StringIO()
    try:
        non_atomic.prepare()
        options = {"database": connection.alias, "interactive": False, "verbosity": 1, "no_color": True}
        call_command("migrate", stdout=out, stderr=out, **options)
    except BaseException as error:
        lines = traceback.format_exception_only(type(error), error)
        answer["error"] = "".join(lines).strip()[:4000]
        answer["sqlstate"] = sqlstate(error)
        connection.close()
    answer["applied"] = applied(plan)
    if "error" in answer:
        non_atomic.undo()
    answer["output"] = out.getvalue()[-4000:]


def sqlstate(error: BaseException) -> str:
    if "database is locked" in str(error):
        return LOCK_NOT_AVAILABLE
    for each in (error, error.__cause__):
        for name in ("sqlstate", "pgcode"):
            code = getattr(each, name, None)
            if code:
                return str(code)
    return ""


def applied(plan: list[Any]) -> list[str]:
    """What of the plan is done; of a migration that replaces others, these are recorded first."""
    done = MigrationRecorder(connections[connection.alias]).applied_migrations()
    return [
        name_of(migration)
        for migration in plan
        if (migration.app_label, migration.name) in done
        or (migration.replaces and all(tuple(key) in done for key in migration.replaces))
    ]
