# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The cluster that the apps use, as one of a newer PostgreSQL: prepared while it serves, upgraded while it is stopped.

pg_upgrade works on the cluster in its place, by hard links. The cluster is copied before, while it serves, and then
what has changed until it was stopped: that copy is the way back. By ``link`` there is no copy, and dumps.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Refused, forked
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DUMP, DeployError, tail
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import PORT, clusters
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import record, set_record
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.settings import write

WORK = "/var/lib/postgresql/homeport-upgrade"  # where pg_upgrade writes what it has to say
ANSWER = 120  # seconds that a cluster may take to answer once it was started


def call(words: list[str], what: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise DeployError(f"{what} failed:\n{tail(plain(done.stdout + done.stderr))}")
    return done.stdout


class Upgrade:
    """From one version of the cluster to another. ``mode``: copy or link."""

    def __init__(self, old: str, new: str, cluster: str, mode: str) -> None:
        self.old = Archive({"version": old, "cluster": cluster})
        self.new = Archive({"version": new, "cluster": cluster})
        self.mode = mode
        self.live = Cluster()
        self.copy = f"{self.old.data}.homeport-kept"
        self.settings = f"{WORK}/settings-{old}"

    @classmethod
    def recorded(cls) -> Upgrade:
        found = record()
        if not found:
            raise DeployError(
                "No upgrade of PostgreSQL was made on this host, or what a rollback needs was removed"
            )
        return cls(found["old"], found["new"], found["cluster"], found["mode"])

    def note(self, phase: str, **more: Any) -> None:
        base = {"old": self.old.version, "new": self.new.version, "cluster": self.old.cluster}
        set_record({**base, "mode": self.mode, "phase": phase, **more})

    def pg_upgrade(self, options: list[str]) -> None:
        ports = {(found.version, found.name): str(found.port) for found in clusters()}
        words = ["pg_upgrade", f"--old-bindir={self.old.programs}", f"--new-bindir={self.new.programs}"]
        words += [f"--old-datadir={self.folder_of(self.old)}", f"--new-datadir={self.folder_of(self.new)}"]
        words += [f"--old-port={ports[self.old.version, self.old.cluster]}", "--new-port=54328"]
        words += [f"--jobs={len(os.sched_getaffinity(0))}", *options]
        # Nobody connects over TLS, whose key it may not read. The new cluster has no place in the archive yet, and
        # little memory while both run.
        words.append("--old-options=-c ssl=off")
        words.append("--new-options=-c ssl=off -c archive_mode=off -c shared_buffers=128MB")
        # it writes where it is
        self.new.run(["sh", "-ec", f'cd {WORK}; exec "$@"', "-", *words], "pg_upgrade")

    def starts(self, first: Archive, second: Archive) -> None:
        """``first`` starts with the host, and ``second`` does not. Both may have the port of the apps."""
        for archive, text in ((second, "manual\n"), (first, "auto\n")):
            path = f"{self.folder_of(archive)}/start.conf"
            self.as_postgres("Setting which cluster starts", write, path, text)

    def set_port(self, archive: Archive, port: int = 0) -> None:
        """Its port, by default one that no other cluster has."""
        taken = {found.port for found in clusters()}
        free = next(port for port in range(PORT + 1, 65536) if port not in taken)
        words = ["pg_conftool", archive.version, archive.cluster, "set", "port", str(port or free)]
        call(words, "Setting the port")
        call(["systemctl", "daemon-reload"], "systemctl daemon-reload")

    def folder_of(self, archive: Archive) -> str:
        return f"/etc/postgresql/{archive.version}/{archive.cluster}"

    def as_postgres(self, what: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Among its own files PostgreSQL's user works, and not root."""
        account = pwd.getpwnam("postgres")
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "umask": 0o077}
        try:
            forked(identity, DUMP, work, *arguments)
        except Refused as error:
            raise DeployError(f"{what}: {error}") from None

    def drop(self, archive: Archive) -> None:
        folder = self.folder_of(archive)
        if os.path.exists(f"{folder}/postgresql.conf"):
            words = ["pg_dropcluster", "--stop", archive.version, archive.cluster]
            call(words, f"Removing the cluster {archive.version}/{archive.cluster}")
        if os.path.isdir(folder):  # files of the roles, which that leaves
            self.as_postgres("Removing its settings", shutil.rmtree, folder)

    def systemctl(self, verb: str, archive: Archive) -> None:
        call(["systemctl", verb, f"postgresql@{archive.version}-{archive.cluster}"], f"systemctl {verb}")

    def wait(self) -> None:
        until = time.monotonic() + ANSWER
        while True:
            try:
                self.live.ask("SELECT 1;", seconds=5)
                return
            except DeployError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
