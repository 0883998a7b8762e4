# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The repository that backups are kept in. Whatever else is to keep them has to offer what ``Store`` does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import BACKUP
from ansible_collections.homeport.django.plugins.module_utils.host.layout import PATH, DeployError, tail

CACHE = "/var/cache/homeport-backup"
TAG = "homeport"
PASSWORD = "password"  # the file that it is in


class WrongKey(DeployError):
    """The repository is encrypted with another password."""


class NoRepository(DeployError):
    """There is no repository at the place where it is wanted."""


class Store:
    """A restic repository. ``config`` is what the role wrote down; secrets stay in files that only root reads.

    ``gently`` leaves half of the host's cores to visitors: nothing waits for a backup at night.
    """

    def __init__(self, config: Mapping[str, Any], folder: str = BACKUP, gently: bool = False) -> None:
        self.repository: str = config["repository"]
        self.host: str = config["host"]
        self.keep: Mapping[str, int] = config["keep"]
        self.bandwidth: int = config["bandwidth"]
        self.sftp: Mapping[str, Any] = config.get("sftp") or {}
        self.folder = folder
        self.gently = gently

    def words(self, password: str = PASSWORD) -> list[str]:
        result = ["restic", "--repo", self.repository, "--password-file", f"{self.folder}/{password}"]
        result += ["--cache-dir", CACHE]
        if os.path.exists(f"{self.folder}/ca.pem"):
            result += ["--cacert", f"{self.folder}/ca.pem"]
        if self.bandwidth:
            result += ["--limit-upload", str(self.bandwidth), "--limit-download", str(self.bandwidth)]
        if self.sftp:
            ssh = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
            ssh += ["-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=30"]
            ssh += ["-o", f"UserKnownHostsFile={self.folder}/known_hosts", "-o", "StrictHostKeyChecking=yes"]
            ssh += ["-i", f"{self.folder}/ssh_key", "-p", str(self.sftp["port"])]
            ssh += [f"{self.sftp['user']}@{self.sftp['host']}", "-s", "sftp"]
            result += ["--option", f"sftp.command={shlex.join(ssh)}"]
        return result

    def environment(self) -> dict[str, str]:
        result = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        if self.gently:
            result["GOMAXPROCS"] = str(max(1, len(os.sched_getaffinity(0)) // 2))
        path = f"{self.folder}/credentials.json"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                result.update(json.load(stream))
        return result

    def run(
        self,
        arguments: Iterable[str],
        what: str,
        password: str = PASSWORD,
        stdout: IO[bytes] | None = None,
    ) -> str:
        """What restic prints; raises with what its failure means."""
        if not os.path.isdir(CACHE):
            os.makedirs(CACHE, mode=0o700)
        try:
            done = subprocess.run(
                [*self.words(password), *arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                check=False,
            )
        except OSError as error:
            raise DeployError(f"{what} could not be started: {error}") from error
        if done.returncode:
            raise self.error(done.returncode, done.stderr.decode(errors="replace"), what)
        return (done.stdout or b"").decode(errors="replace")

    def error(self, status: int, output: str, what: str) -> DeployError:
        """restic says since 0.17 by its exit status what others said in words alone."""
        if status == 12 or "wrong password or no key found" in output:
            return WrongKey(
                f"The backup repository {self.repository} rejects this password: backup_password, or the "
                "homeport_secret that it is derived from, differs from the one of the repository. Name the "
                "old one in backup_previous_passwords, or in homeport_secret_previous: the repository gets the new one"
            )
        if status == 10 or "Is there a repository at the following location?" in output:
            return NoRepository(f"There is no backup repository at {self.repository}\n{tail(output, 3)}")
        return DeployError(f"{what} failed (restic, exit status {status}):\n{tail(output)}")

    def open(self, create: bool) -> None:
        """Makes sure that the repository is there and can be read; an empty place becomes one if that is wanted."""
        try:
            self.run(["cat", "config"], "Opening the backup repository")
        except NoRepository:
            if not create:
                raise
            self.run(["init"], "Creating the backup repository")
        # what a run that was killed has left behind; locks of runs that live stay
        self.run(["unlock"], "Unlocking the backup repository")

    def key(self, password: str = PASSWORD) -> str:
        """The key that a password opens the repository with."""
        return next(name for name, current in self.keys_there(password).items() if current)

    def keys_there(self, password: str = PASSWORD) -> dict[str, bool]:
        """All keys of the repository, and which of them is the password's."""
        words = ["key", "list", "--json", "--no-lock"]
        found = json.loads(self.run(words, "Listing the keys of the backup repository", password))
        return {str(entry["id"]): bool(entry["current"]) for entry in found}

    def compresses(self) -> bool:
        """Whether the repository compresses what it is given; then a dump that is not yet finds its old parts."""
        found = json.loads(self.run(["cat", "config"], "Opening the backup repository"))
        return int(found.get("version", 1)) >= 2

    def snapshots(self, app: str) -> list[dict[str, Any]]:
        """Those of one app, oldest first."""
        words = ["snapshots", "--json", "--no-lock", "--tag", f"{TAG},app:{app}"]
        found: list[dict[str, Any]] = json.loads(self.run(words, "Listing the backups") or "null") or []
        return sorted(found, key=lambda snapshot: str(snapshot["time"]))

    def save(self, app: str, paths: list[str], excluded: list[str], kind: str) -> dict[str, Any]:
        """Stores folders; returns what restic says of it."""
        words = ["backup", "--json", "--host", self.host]
        words += ["--tag", f"{TAG},app:{app},{kind}"]
        before = self.snapshots(app)
        if before:  # a release has a folder of its own: restic alone would find no backup of the same paths
            words += ["--parent", str(before[-1]["id"])]
        words += [f"--exclude={escaped(path)}" for path in excluded]
        out = self.run([*words, "--", *paths], "Storing the backup")
        summary: dict[str, Any] = {}
        for line in out.splitlines():
            found = json.loads(line) if line.startswith("{") else {}
            if found.get("message_type") == "summary":
                summary = found
        if not summary.get("snapshot_id"):
            raise DeployError("restic printed no snapshot")
        return summary

    def listed(self, snapshot: str) -> list[dict[str, Any]]:
        """Everything in a snapshot: path, type, size, uid and gid, as root has read them."""
        out = self.run(["ls", "--json", "--no-lock", snapshot], "Listing a backup")
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    @staticmethod
    def files(listed: list[dict[str, Any]], paths: list[str]) -> dict[str, int]:
        """The regular files below ``paths`` in what is ``listed`` of a snapshot, with their sizes."""
        return {
            entry["path"]: int(entry.get("size", 0))
            for entry in listed
            if entry.get("type") == "file"
            and any(f"{entry['path']}/".startswith(f"{path}/") for path in paths)
        }

    def read(self, snapshot: str, path: str) -> str:
        return self.run(["dump", "--no-lock", snapshot, path], "Reading a backup")

    def restore(self, snapshot: str, paths: list[str], folder: str) -> None:
        """Puts ``paths`` of a snapshot below ``folder``; everything that is read is checked against its digest."""
        words = ["restore", "--no-lock", snapshot, "--target", folder]
        words += [f"--include={escaped(path)}" for path in paths]
        self.run(words, "Restoring files")

    def forget(self, app: str) -> None:
        """Removes the backups of an app that are older than what is to be kept, but never the last one."""
        words = ["forget", "--tag", f"{TAG},app:{app}", "--group-by", "host,tags", "--keep-last", "1"]
        for unit, count in sorted(self.keep.items()):
            if count:
                words += [f"--keep-{unit}", str(count)]
        self.run(words, "Removing old backups")

    def prune(self) -> None:
        self.run(["prune"], "Removing unreferenced data")

    def check(self, part: str) -> None:
        """Whether the repository hangs together, and a ``part`` of what is in it is what was stored."""
        self.run(["check", f"--read-data-subset={part}"], "Checking the backup repository")


def escaped(path: str) -> str:
    """A path as a pattern of restic that matches it alone."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)
