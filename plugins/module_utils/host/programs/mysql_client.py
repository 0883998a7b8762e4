# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Dumps and restores a database of MySQL or MariaDB by the client programs of this host."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from .chosen import connection

# The last line of a dump that is complete.
COMPLETED = b"-- Dump completed"
DUMP = (
    "--single-transaction", "--quick", "--routines", "--triggers", "--hex-blob", "--no-tablespaces",
    "--default-character-set=utf8mb4",
)  # fmt: skip
# Of MySQL's own program alone: it reads statistics that MariaDB does not have, and writes GTIDs that no app may set.
OF_MYSQL = ("--loose-column-statistics=0", "--loose-set-gtid-purged=OFF")
TABLES = "SELECT table_type, table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1, 2"


def dump() -> int:
    with options() as (option, name):
        found = program("mariadb-dump", "mysqldump")
        own = OF_MYSQL if os.path.basename(found) == "mysqldump" else ()
        return subprocess.run([found, option, *own, *DUMP, name]).returncode


def restore() -> int:
    """Replaces what the database holds by a dump from standard input. MySQL commits each table by itself: what is
    incomplete is refused before anything is dropped."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy, 1 << 20)
        copy.seek(max(0, copy.tell() - 200))
        if COMPLETED not in copy.read():
            sys.exit("The dump is not complete")
        copy.seek(0)
        drops = dropping().encode()
        connection.close()
        with options() as (option, name):
            command = [
                program("mariadb", "mysql"),
                option,
                "--batch",
                "--default-character-set=utf8mb4",
                name,
            ]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
                assert client.stdin
                with contextlib.suppress(BrokenPipeError), client.stdin as stream:
                    stream.write(drops)
                    shutil.copyfileobj(copy, stream, 1 << 20)
    if client.returncode:
        sys.stderr.write(
            "The database is in neither state: restore the same dump again once this is solved\n"
        )
    return client.returncode


def dropping() -> str:
    """The statements that empty the database."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        found = cursor.fetchall()
    kinds = {"VIEW": "VIEW", "SEQUENCE": "SEQUENCE"}
    drops = [f"DROP {kinds.get(kind, 'TABLE')} IF EXISTS {quoted(name)};" for kind, name in found]
    return "\n".join(["SET FOREIGN_KEY_CHECKS = 0;", *drops, "SET FOREIGN_KEY_CHECKS = 1;", ""])


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextlib.contextmanager
def options() -> Iterator[tuple[str, str]]:
    """The option that has a client log in as the app does, and the database: a password is on no command line, and in
    no environment."""
    settings, given = connection.settings_dict, connection.settings_dict["OPTIONS"]
    host = str(given.get("host", settings["HOST"]) or "")
    ssl = given.get("ssl") if isinstance(given.get("ssl"), dict) else {}
    values = {
        "user": given.get("user", settings["USER"]),
        "password": given.get("password", given.get("passwd", settings["PASSWORD"])),
        "socket" if host.startswith("/") else "host": host,
        "port": given.get("port", settings["PORT"]),
        **{f"ssl-{key}": ssl.get(key) or given.get(f"ssl_{key}") for key in ("ca", "cert", "key")},
    }
    lines = ["[client]", *(f"{key}={option_value(str(value))}" for key, value in values.items() if value)]
    if given.get("read_default_file"):
        lines.insert(0, f"!include {given['read_default_file']}")
    if not verifies(given):
        lines[:0] = ["[client]", "loose-ssl-verify-server-cert=0"]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/client.cnf"
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write("\n".join(lines) + "\n")
        yield f"--defaults-extra-file={path}", str(given.get("database", given.get("db", settings["NAME"])))


def verifies(given: dict[str, Any]) -> bool:
    """Whether the app's driver may verify the server. Drivers do where they are asked to; clients of MariaDB do
    always since 11.4."""
    return bool(given.get("ssl") or given.get("ssl_ca") or str(given.get("ssl_mode")).startswith("VERIFY"))


def option_value(value: str) -> str:
    """A value as option files have it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), "")
    return found or sys.exit(f"This host has no {names[0]}: name default-mysql-client in system_packages")
