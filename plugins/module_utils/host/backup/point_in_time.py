# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The databases of a cluster at a point in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.copies import create
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DUMP, DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.programs.counts import counted
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    QUIET,
    Cluster,
    Login,
)

ROWS = "SELECT coalesce(json_agg(q), '[]') FROM ({}) q;\n"
COUNTING = 2 * 3600  # seconds that the tables of one database may take
DATABASES = """
SELECT json_object_agg(datname, CASE WHEN EXISTS (
  SELECT FROM pg_roles WHERE rolsuper AND pg_has_role(datdba, pg_roles.oid, 'MEMBER')
) THEN 'pg_read_all_data' ELSE pg_get_userbyid(datdba) END)
FROM pg_database WHERE datallowconn AND NOT datistemplate AND datconnlimit <> -2;
"""


class PointInTime:
    """The databases of a cluster that was recovered to it. ``owners`` has the role of each that may read it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.owners: dict[str, str] = json.loads(self.cluster.ask(DATABASES))

    def arrived(self, lsn: str) -> bool:
        """Whether everything up to a place of the log is there."""
        return self.cluster.ask(f"SELECT pg_current_wal_lsn() >= '{lsn}'::pg_lsn;").strip() == "t"

    @contextmanager
    def login(self, database: str) -> Iterator[Login]:
        if database not in self.owners:
            raise DeployError(f"The archive has no database {database} at that point in time")
        with self.cluster.login(database, [self.owners[database]]) as login:
            yield login

    def counted(self, database: str) -> dict[str, Any]:
        until = time.monotonic() + COUNTING
        with self.login(database) as login:

            def ask(query: str) -> list[tuple[Any, ...]]:
                if time.monotonic() > until:
                    raise DeployError(
                        f"The tables of {database} were not counted within {COUNTING // 3600} h"
                    )
                output = login.run(["psql", *QUIET], "Counting", ROWS.format(query), seconds=COUNTING)
                return [tuple(row.values()) for row in json.loads(output)]

            return counted("postgresql", ask)

    def dump(self, database: str, path: str) -> None:
        with create(path) as stream, self.login(database) as login:
            words = ["pg_dump", "--format=custom", "--compress=1", "--no-password"]
            login.run(words, "Dumping from the second cluster", stdout=stream, seconds=DUMP)
