# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Replaces what the database holds by a dump from standard input: all of it or nothing."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any

import django

from .chosen import choose, connection
from .mysql_client import restore as restore_mysql
from .postgres_client import newest

EMPTY = """
SET lock_timeout = '60s';
DO $$ DECLARE found record; BEGIN
  FOR found IN
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                          WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
           format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND has_schema_privilege(n.oid, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY c.relkind = 'S'  -- most sequences go with the table that they count for
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END AS kind,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END AS kind,
           format('%I.%I', n.nspname, t.typname) AS name
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND has_schema_privilege(n.oid, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  FOR found IN
    SELECT 'SCHEMA' AS kind, format('%I', n.nspname) AS name FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
      AND pg_has_role(n.nspowner, 'USAGE') AND has_database_privilege(current_database(), 'CREATE')
  LOOP EXECUTE format('DROP %s IF EXISTS %s CASCADE', found.kind, found.name); END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END $$;
"""
# Extensions are the database server's: they stay, and only a superuser could create them, or fill their tables.
THEIRS = (" EXTENSION ", " SCHEMA - public ", " ACL ")
# Schemas that the role could not create again, so that they stay.
THEIR_SCHEMAS = """
SELECT nspname FROM pg_namespace
WHERE NOT (pg_has_role(nspowner, 'USAGE') AND has_database_privilege(current_database(), 'CREATE'))
"""
THEIR_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND NOT has_table_privilege(c.oid, 'INSERT')
  AND EXISTS (SELECT FROM pg_depend d
              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""


def main(question: dict[str, Any]) -> None:
    """``database`` is another database on the same server; with ``empty`` it is only emptied."""
    django.setup()
    choose(question)
    if question.get("database"):
        connection.settings_dict["NAME"] = question["database"]
    if connection.vendor == "postgresql":
        sys.exit(postgres(bool(question.get("empty"))))
    if connection.vendor == "mysql":
        sys.exit(restore_mysql())
    sqlite()


def postgres(only_empty: bool) -> int:
    words, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    environment = {**os.environ, **(environment or {})}
    psql = [newest("psql"), "--no-psqlrc", "--quiet", "--no-password", "--single-transaction"]
    psql += ["--set", "ON_ERROR_STOP=1"]
    if only_empty:
        return subprocess.run([*psql, *words[1:]], env=environment, input=EMPTY, text=True).returncode
    contents = restorable()
    with tempfile.TemporaryDirectory() as folder:
        files = write_scripts(folder, contents)
        connection.close()
        psql += ["--output", os.devnull]
        return subprocess.run([*psql, *files, *words[1:]], env=environment).returncode


def restorable() -> list[str]:
    """The contents of the dump that the app's own role can restore."""
    listed = subprocess.run([newest("pg_restore"), "--list"], stdin=0, capture_output=True, text=True)
    if listed.returncode:
        sys.exit(f"The dump cannot be read: {listed.stderr}")
    theirs = [*THEIRS]
    with connection.cursor() as cursor:
        cursor.execute(THEIR_TABLES)
        theirs += [f" TABLE DATA {schema} {name} " for schema, name in cursor.fetchall()]
        cursor.execute(THEIR_SCHEMAS)
        theirs += [f" SCHEMA - {name} " for (name,) in cursor.fetchall()]
    return [line for line in listed.stdout.splitlines() if not any(word in line for word in theirs)]


def write_scripts(folder: str, contents: list[str]) -> list[str]:
    """The scripts that empty the database and fill it again, as options of psql."""
    with open(f"{folder}/list", "w") as stream:
        stream.write("\n".join(contents) + "\n")
    with open(f"{folder}/empty.sql", "w") as stream:
        stream.write(EMPTY)
    os.lseek(0, 0, os.SEEK_SET)
    data = f"{folder}/data.sql"
    options = ["--no-owner", "--no-privileges", "--use-list", f"{folder}/list", "--file", data]
    if subprocess.run([newest("pg_restore"), *options], stdin=0).returncode:
        sys.exit("The dump cannot be read")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_settings")
        leave_out(data, {name for (name,) in cursor.fetchall()})
    return ["--file", f"{folder}/empty.sql", "--file", data]


def leave_out(path: str, known: set[str]) -> None:
    """Makes comments of the settings that a script begins with and the server does not know.

    pg_restore begins with settings of its own version, and an older server refuses those that it does not know.
    """
    with open(path, "r+b") as stream:
        while True:
            at, line = stream.tell(), stream.readline()
            setting = re.match(rb"SET (\w+) = ", line)
            if setting and setting[1].decode() not in known:
                stream.seek(at)
                stream.write(b"--")
                stream.seek(at + len(line))
            elif not line or (
                not setting and not re.match(rb"\s*$|--|\\|SELECT pg_catalog\.set_config", line)
            ):
                return


def sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        with open(copy, "wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
        source = sqlite3.connect(copy)
        answer = source.execute("PRAGMA integrity_check").fetchone()[0]
        if answer != "ok":
            sys.exit(f"The dump is damaged: {answer}")
        connection.ensure_connection()
        source.backup(connection.connection)
        source.close()
