# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Writes a copy of an SQLite database to standard output.

SQLite writes next to a database that it reads, so its owner runs this.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from typing import Any


def main(question: dict[str, Any]) -> None:
    path = question["path"]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        source, copy = sqlite3.connect(path, timeout=20), sqlite3.connect(f"{folder}/copy")
        source.backup(copy)
        damage = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if damage != "ok":
            sys.exit(f"The copy of the SQLite database is damaged: {damage}")
        copy.close()
        with open(f"{folder}/copy", "rb") as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer)
