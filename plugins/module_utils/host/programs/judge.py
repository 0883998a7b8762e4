# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a migration does to code that is still running and does not know of it.

The linter judges SQL, which for SQLite says little: Django makes the whole table anew there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.db import router
from django.db.models import NOT_PROVIDED

from .chosen import connection

UNKNOWN = "cannot be judged"


def name_of(migration: Any) -> str:
    return f"{migration.app_label}.{migration.name}"


class Judge:
    """Judges the migrations of a plan in their order."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.made: set[str] = set()  # tables that the plan creates

    def add(self, migration: Any, answer: dict[str, Any]) -> None:
        """Adds what is unsafe of a migration, and what is to be noted, to the answer."""
        own = self.judged(migration)
        here = [
            operation for operation in flat(migration.operations) if is_here(operation, migration.app_label)
        ]
        unsafe, notes = own, []
        if connection.vendor in ("postgresql", "mysql"):
            try:
                errors, warned = self.lint(migration)
            except Exception as error:
                errors, warned = [("", unknown(error))], []
            # the linter takes a longer varchar for a danger
            dangers = ("changes the type", "shortens", "runs SQL", UNKNOWN)
            wider = not any(text.startswith(dangers) for text in own)
            unsafe = [text for code, text in errors if not (code == "ALTER_COLUMN" and wider)]
            notes = [text for _, text in warned]
        if unsafe:
            answer["unsafe"][name_of(migration)] = list(dict.fromkeys(unsafe))
        if any(type(operation).__name__ == "RunPython" for operation in here):
            notes.append("changes data by Python code")
        if notes:
            answer["notes"][name_of(migration)] = list(dict.fromkeys(notes))

    def judged(self, migration: Any) -> list[str]:
        try:
            state = self.loader.project_state((migration.app_label, migration.name), at_end=False)
            return judged(migration.operations, migration.app_label, state)
        except Exception as error:  # the project's own operations run here, and anything may stop them
            return [unknown(error)]

    def lint(self, migration: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        # a release without migrations to judge does not have it
        from django_migration_linter.sql_analyser import analyse_sql_statements, get_sql_analyser_class

        analyser = get_sql_analyser_class(connection.vendor)
        collected = self.loader.collect_sql([(migration, False)])
        statements = [line for statement in collected for line in statement.splitlines()]
        self.made.update(re.findall(r'CREATE TABLE ["`](.*?)["`]', "\n".join(statements)))
        errors: list[tuple[str, str]] = []
        notes: list[tuple[str, str]] = []
        for block in blocks(statements):
            of_others = [
                line for line in block if not self.made.intersection(re.findall(r'["`](.*?)["`]', line))
            ]
            found, _, warned = analyse_sql_statements(analyser, of_others)
            text = "\n".join(of_others)
            names = re.findall(r'(?:TABLE|ON) ["`](.*?)["`]', text)[:1]
            names += re.findall(r'COLUMN ["`](.*?)["`]', text)[:1]
            for issues, kept in ((found, errors), (warned, notes)):
                for issue in issues:
                    message = issue.message.partition(" (")[0]
                    kept.append((issue.code, f"{message} ({'.'.join(names)})"))
        return errors, notes


def blocks(statements: list[str]) -> Iterator[list[str]]:
    """The statements of each operation: what is said of one column must not be taken for another's."""
    block: list[str] = []
    for line in statements:
        if line.startswith("--"):
            if block:
                yield block
            block = []
        else:
            block.append(line)
    yield block


def unknown(error: Exception) -> str:
    text = str(error).partition("\n")[0][:200]
    return f"{UNKNOWN} ({type(error).__name__}: {text})"


def judged(operations: list[Any], app: str, state: Any) -> list[str]:
    found = []
    for operation in operations:
        inner = getattr(operation, "database_operations", None)
        if inner is not None:
            found += judged(inner, app, state.clone())
        elif is_here(operation, app):
            found += judged_operation(operation, app, state)
        operation.state_forwards(app, state)
    return found


def is_here(operation: Any, app: str) -> bool:
    """Whether the project's routers let an operation change this database."""
    name = getattr(operation, "model_name", getattr(operation, "name", None))
    hints = getattr(operation, "hints", None)
    if hints is not None:  # of the project's own Python or SQL
        return bool(router.allow_migrate(connection.alias, app, **hints))
    return bool(router.allow_migrate(connection.alias, app, model_name=name.lower() if name else None))


def judged_operation(operation: Any, app: str, state: Any) -> list[str]:
    kind = type(operation).__name__
    model = getattr(operation, "model_name", getattr(operation, "name", ""))
    if kind == "RemoveField":
        return [f"drops {model}.{operation.name}"]
    if kind in ("DeleteModel", "RenameModel", "AlterModelTable"):
        what = "drops" if kind == "DeleteModel" else "renames"
        return [f"{what} {getattr(operation, 'old_name', model)}"]
    if kind == "RenameField":
        return [f"renames {model}.{operation.old_name}"]
    if kind == "AddField" and bare(operation.field):
        return [f"adds {model}.{operation.name}, which rows of the running code would lack"]
    if kind == "AlterField":
        before = state.models[app, operation.model_name_lower].fields[operation.name]
        return [f"{what} {model}.{operation.name}" for what in narrowed(before, operation.field)]
    if kind in ("AddConstraint", "AlterUniqueTogether"):
        return [f"constrains {model}"]
    return ["runs SQL of its own"] if kind == "RunSQL" else []


def flat(operations: list[Any]) -> Iterator[Any]:
    for operation in operations:
        inner = getattr(operation, "database_operations", None)
        if inner is None:
            yield operation
        else:
            yield from flat(inner)


def bare(field: Any) -> bool:
    """Whether rows that name no value for the new column are refused."""
    has_column = (field.is_relation and not field.many_to_many) or not field.is_relation
    default = getattr(field, "db_default", NOT_PROVIDED)
    generated = getattr(field, "generated", False)
    return bool(has_column and not field.null and default is NOT_PROVIDED and not generated)


def narrowed(before: Any, after: Any) -> Iterator[str]:
    if before.null and not after.null:
        yield "forbids NULL in"
    if after.unique and not before.unique:
        yield "makes unique"
    if before.is_relation or after.is_relation:
        return
    kinds = before.db_type(connection) or "", after.db_type(connection) or ""
    lengths = [
        int(found[1]) if (found := re.fullmatch(r"varchar\((\d+)\)", kind)) else None for kind in kinds
    ]
    if kinds[0] == kinds[1] or (kinds[0].startswith("varchar") and kinds[1] in ("text", "varchar")):
        return
    if lengths[0] and lengths[1]:
        if lengths[1] < lengths[0]:
            yield "shortens"
    else:
        yield "changes the type of"
