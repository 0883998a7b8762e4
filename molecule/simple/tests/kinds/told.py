"""Prints what a database has, in words that are the same for the same rows, and the next key of some tables."""

import json
import os
import sys

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402

KIND = "jsonb_typeof(%s)" if os.environ.get("DATABASE") else "json_type(%s)"


def word(value: object) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)  # PostgreSQL keeps keys in an order of its own
    return repr(bytes(value) if isinstance(value, memoryview) else value)


def rows(model: type[models.Model]) -> list[str]:
    fields = [field for field in model._meta.local_concrete_fields if field.column]
    found = sorted(
        str({field.column: word(value) for field, value in zip(fields, row, strict=True)})
        for row in model._base_manager.values_list(*(field.attname for field in fields))
    )
    columns = [field.column for field in fields if isinstance(field, models.JSONField)]
    with connection.cursor() as cursor:
        for column in columns:
            # the null of JSON and that of SQL are the same in Python
            cursor.execute(
                f'SELECT {KIND % column} IS NULL, {column} IS NULL, count(*) FROM "{model._meta.db_table}" '
                "GROUP BY 1, 2 ORDER BY 1, 2"
            )
            found += [repr([bool(kind), bool(null), count]) for kind, null, count in cursor.fetchall()]
    return found


def next_key(model: type[models.Model]) -> int:
    """The key that the database gives to a new row, which is not kept."""
    with transaction.atomic():
        new = {"everything_id": 1, "tag_id": "a", "grams": 1} if model._meta.model_name == "weight" else {}
        key = model._base_manager.create(**new).pk
        transaction.set_rollback(True)
    return int(key)


COUNTING = ("everything", "node", "group", "weight")
if "keys" in sys.argv:
    answer = {
        name: next_key(model) for model in apps.get_models() if (name := model._meta.model_name) in COUNTING
    }
else:
    answer = {model._meta.label_lower: rows(model) for model in apps.get_models(include_auto_created=True)}
print(json.dumps(answer))
