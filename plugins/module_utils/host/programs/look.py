# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Counts what a database holds, and looks whether the release would have anything to migrate."""

from __future__ import annotations

import io
import json
import sqlite3
from typing import Any

import django
from django.core.management import call_command

from .chosen import choose, connection
from .counts import by_cursor, counted


def main(question: dict[str, Any]) -> None:
    """``database`` is another database on the server of the settings, or with ``engine: sqlite`` a file.

    One that is not migrated (``migrate``) lacks no migrations.
    """
    django.setup()
    choose(question)
    if question["engine"] == "sqlite":
        # a file that is not the app's database any more
        file = sqlite3.connect(question["database"])
        answer = counted("sqlite", lambda query: file.execute(query).fetchall())
    else:
        if question["database"]:
            connection.settings_dict["NAME"] = question["database"]
        with connection.cursor() as cursor:
            answer = counted(connection.vendor, by_cursor(cursor))
        answer["check"] = unapplied() if question.get("migrate", True) else ""
    print(question["mark"] + json.dumps(answer))


def unapplied() -> str:
    """The plan of the migrations that are not applied; empty where there are none."""
    out = io.StringIO()
    options = {
        "database": connection.alias,
        "check_unapplied": True,
        "plan": True,
        "interactive": False,
        "no_color": True,
    }
    try:
        call_command("migrate", stdout=out, **options)
    except SystemExit as error:
        return out.getvalue()[-4000:] if error.code else ""
    return ""
