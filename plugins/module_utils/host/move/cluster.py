# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What both sides of a move have in common: the record of how far it came, and the cluster of the host."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import MOVE
from ansible_collections.homeport.django.plugins.module_utils.host.given import read
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import Upgrade, call
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.settings import write

ROLE = "homeport.move"  # who copies; no app has a dot in its name
SLOT = "homeport_move"
PORT = 5433  # where the source answers the target for as long as it copies
DATABASES = "SELECT json_agg(datname) FROM pg_database WHERE datallowconn;"


def record() -> dict[str, Any]:
    """How far a move came on this host: its ``phase`` is open, stopped, left or removing on the source; on the target
    it is copying, promoting or promoted."""
    return read(MOVE)


def note(phase: str, **more: Any) -> None:
    os.makedirs(os.path.dirname(MOVE), mode=0o700, exist_ok=True)
    with open(f"{MOVE}.new", "w", encoding="utf-8") as stream:
        json.dump({**record(), **more, "phase": phase}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(f"{MOVE}.new", MOVE)


def forget() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(MOVE)


def write_new(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640), "w") as stream:
        stream.write(text)


def create(version: str, name: str) -> None:
    """An empty cluster, as the package's installation makes one."""
    call(["pg_createcluster", version, name], "Creating a cluster")
    call(["systemctl", "daemon-reload"], "systemctl daemon-reload")


def installed_server(programs: str = "/usr/lib/postgresql") -> str:
    """The newest version whose server is installed; empty where there is none."""
    found = [path.split("/")[-3] for path in glob.glob(f"{programs}/*/bin/postgres")]
    return max((version for version in found if version.isdigit()), key=int, default="")


class Host:
    """The PostgreSQL cluster of this host."""

    def __init__(self) -> None:
        version, cluster = used_cluster()
        if not version:
            raise DeployError("This host has no PostgreSQL cluster")
        self.control = Upgrade(version, version, cluster, "copy")
        self.archive = self.control.old
        self.folder = self.control.folder_of(self.archive)
        self.live = Cluster()

    def runs(self) -> bool:
        try:
            self.live.ask("SELECT 1;", seconds=5)
        except DeployError:
            return False
        return True

    def start(self) -> None:
        self.boots("auto")
        self.control.systemctl("start", self.archive)
        self.control.wait()

    def stop(self) -> None:
        self.control.systemctl("stop", self.archive)

    def boots(self, how: str) -> None:
        """Whether it starts with the host: auto or manual."""
        path = f"{self.folder}/start.conf"
        self.control.as_postgres("Setting whether PostgreSQL starts", write, path, f"{how}\n")

    def databases(self) -> list[str]:
        return sorted(json.loads(self.live.ask(DATABASES)))
