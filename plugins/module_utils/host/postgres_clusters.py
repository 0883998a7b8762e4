# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The PostgreSQL clusters of a host, and which of them is meant where a host has more than one."""

from __future__ import annotations

import glob
import os
import re
from typing import Any, NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.host.given import answer

PORT = 5432  # where apps look for PostgreSQL (apps.POSTGRES_PORT)


class PostgresCluster(NamedTuple):
    version: str
    name: str
    port: int
    online: bool
    programs: bool  # whether its server is installed

    @property
    def rank(self) -> Any:
        version = int(self.version) if self.version.isdigit() else 0
        return self.programs, self.port == PORT, self.online, version, self.name == "main", self.name


def clusters() -> list[PostgresCluster]:
    """All of them, as postgresql-common knows them."""
    found = []
    for line in answer(["pg_lsclusters", "--no-header"]).splitlines():
        version, name, port, status = line.split()[:4]
        words = status.split(",")
        found.append(
            PostgresCluster(version, name, int(port), words[0] == "online", "binaries_missing" not in words)
        )
    return found


def used_cluster(base: str = "/etc/postgresql", programs: str = "/usr/lib/postgresql") -> tuple[str, str]:
    """Version and name of the cluster that the apps use: the one on the usual port, else the newest."""
    there = [path.split("/")[-2:] for path in glob.glob(f"{base}/*/*")]
    there = [found for found in there if os.path.exists(f"{programs}/{found[0]}/bin/postgres")]
    if len(there) < 2:  # nothing to choose, and no need to ask
        return (there[0][0], there[0][1]) if there else ("", "main")
    known = max(clusters(), key=lambda cluster: cluster.rank, default=None)
    if known is None:  # pg_lsclusters does not answer, as in the middle of an upgrade of the system
        version, name = max(there, key=lambda found: port_of(f"{base}/{found[0]}/{found[1]}") == PORT)
        return version, name
    return known.version, known.name


def max_connections(
    version: str, name: str, base: str = "/etc/postgresql", programs: str = "/usr/lib/postgresql"
) -> int:
    """How many connections a cluster has taken since it was started last, whatever its configuration says since; 0
    where that is not known."""
    if not version:
        return 0
    folder = setting(f"{base}/{version}/{name}", "data_directory") or f"/var/lib/postgresql/{version}/{name}"
    out = answer([f"{programs}/{version}/bin/pg_controldata", folder])
    found = re.search(r"(?m)^max_connections setting:\s*(\d+)$", out)
    return int(found[1]) if found else 0


def port_of(folder: str) -> int:
    """The port in a cluster's own configuration; 0 where it has none."""
    found = setting(folder, "port")
    return int(found) if found.isdigit() else 0


def setting(folder: str, name: str) -> str:
    """A setting in a cluster's own configuration; empty where it has none."""
    try:
        with open(f"{folder}/postgresql.conf", encoding="utf-8", errors="replace") as stream:
            found = re.findall(rf"(?m)^\s*{name}\s*=?\s*'?([^'\s#]+)", stream.read())
    except OSError:
        return ""
    return found[-1] if found else ""


def unserved(base: str = "/etc/postgresql") -> str:
    """The cluster on the apps' port whose server is not installed; empty where there is another on that port."""
    several = len(glob.glob(f"{base}/*/*")) > 1
    ours = [cluster for cluster in clusters() if cluster.port == PORT] if several else []
    if any(cluster.programs for cluster in ours):
        return ""
    return next((f"{cluster.version}/{cluster.name}" for cluster in ours), "")
