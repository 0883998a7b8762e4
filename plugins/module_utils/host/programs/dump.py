# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Writes the database to standard output: pg_dump's custom format, statements of MySQL, or an SQLite file.

With ``count`` it prints on standard error what exactly this dump holds, whatever is written meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any

import django
from django.db import transaction

from .chosen import choose, connection
from .counts import CLOSED, by_cursor, counted, quoted
from .mysql_client import dump as dump_mysql


def main(question: dict[str, Any]) -> None:
    django.setup()
    choose(question)
    if connection.vendor == "postgresql":
        postgres(question)
    elif connection.vendor == "sqlite":
        sqlite(question)
    elif connection.vendor == "mysql" and not question.get("count"):
        sys.exit(dump_mysql())
    else:
        sys.exit(f"Homeport cannot dump a database of {connection.vendor}")


def report(question: dict[str, Any], answer: dict[str, Any]) -> None:
    sys.stderr.write(question["mark"] + json.dumps(answer) + "\n")


def postgres(question: dict[str, Any]) -> None:
    words, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    environment = {**os.environ, **(environment or {})}
    command = ["pg_dump", "--format=custom", f"--compress={question.get('compress', 1)}", "--no-password"]
    with connection.cursor() as cursor:
        command += [f"--exclude-schema={quoted(name)}" for (name,) in by_cursor(cursor)(CLOSED)]
    if not question.get("count"):
        connection.close()
        os.execvpe(command[0], [*command, *words[1:]], environment)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # what is counted is what is dumped: both see the same snapshot
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            cursor.execute(f"SET LOCAL {limit} = 0")
        ask = by_cursor(cursor)
        snapshot = ask("SELECT pg_export_snapshot()")[0][0]
        dumping = subprocess.Popen([*command, "--snapshot", snapshot, *words[1:]], env=environment)
        answer = counted("postgresql", ask)
        if dumping.wait():
            sys.exit(dumping.returncode)
    report(question, answer)


def sqlite(question: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        connection.ensure_connection()
        target = sqlite3.connect(copy)
        with target:
            connection.connection.backup(target)
        if question.get("count"):
            # here, and not where it arrives: what an app has in its database is not for root to open
            damage = target.execute("PRAGMA integrity_check").fetchone()[0]
            if damage != "ok":
                sys.exit(f"The copy of the SQLite database is damaged: {damage}")
            answer = counted("sqlite", lambda query: target.execute(query).fetchall())
            target.close()
            digest = hashlib.sha256()
            with open(copy, "rb") as stream:
                for block in iter(lambda: stream.read(1 << 20), b""):
                    digest.update(block)
            report(question, {**answer, "bytes": os.path.getsize(copy), "sha256": digest.hexdigest()})
        target.close()
        with open(copy, "rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, 1 << 20)
