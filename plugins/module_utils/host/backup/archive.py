# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The continuous archive of a PostgreSQL cluster, and what it held at a point in time.

``Archive`` is what another tool than pgBackRest would have to offer.
"""

from __future__ import annotations

import calendar
import fcntl
import json
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.common.paths import ARCHIVE
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host.backup.point_in_time import PointInTime
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import STATE
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import DEFAULT, file_of
from ansible_collections.homeport.django.plugins.module_utils.host.layout import PATH, DeployError, tail
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    GROUP,
    Cluster,
    quote_text,
)

STANZA = "homeport"
LOCK = f"{STATE}/point.lock"  # of who looks at a second cluster
SCRATCH = "/var/lib/postgresql/homeport-point"
SOCKET = f"{SCRATCH}-socket"  # in which nobody else than postgres and nobody finds it
PORT = 54329
ACCESS = rf"local all postgres peer\nlocal all +{GROUP} scram-sha-256\n"
ARRIVAL = 120  # seconds that a segment may take to the archive
SETTINGS = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{folder}'
hba_file = '{data}/homeport_hba.conf'
ident_file = '{data}/homeport_ident.conf'
archive_mode = off
hot_standby = off
shared_buffers = 64MB
fsync = off
"""


class WrongKey(DeployError):
    """The archive is encrypted with another password."""


class Archive:
    """The archive of the cluster of this host, asked as the cluster's own user. ``config``: version and cluster.

    ``file`` is a configuration of pgBackRest other than the host's own.
    """

    def __init__(self, config: Mapping[str, Any], file: str = "") -> None:
        self.version: str = config["version"]
        self.cluster: str = config["cluster"]
        self.programs = f"/usr/lib/postgresql/{self.version}/bin"
        self.data = f"/var/lib/postgresql/{self.version}/{self.cluster}"
        self.options = [f"--config={file}"] if file else []
        self.live = Cluster()

    def prepare(self) -> None:
        """Makes the place of the archive where there is none, and tries whether a segment arrives there."""
        found = self.stanza()
        if found["db"] and str(found["db"][-1]["system-id"]) != self.system():
            last = found["db"][-1]
            if str(last["system-id"]) not in self.others():
                raise DeployError(
                    "The archive belongs to another PostgreSQL cluster, and was not changed. If that cluster was lost "
                    "with its server, recover it onto this one with the playbook recover. If it is not wanted "
                    "any more, name another folder in pgbackrest_repository. If this cluster is that one after an "
                    f"upgrade from PostgreSQL {last['version']}, upgrade the archive's stanza, and run this again: "
                    f"runuser -u postgres -- pgbackrest --stanza={STANZA} stanza-upgrade"
                )
            # upgraded, or rolled back from an upgrade: the cluster that it was is still there
            self.pgbackrest(["stanza-upgrade"], "Upgrading the archive's stanza")
        self.pgbackrest(["stanza-create"], "Creating the archive")
        self.pgbackrest(["check"], "Checking the archive")

    def stanza(self) -> dict[str, Any]:
        """What pgBackRest knows of the archive: ``db`` (its clusters) and ``backup``, empty where there is none yet."""
        (found,) = json.loads(
            self.pgbackrest(["info", "--output=json"], "Inspecting the archive"), strict=False
        )
        status = found["status"]
        if status["code"] not in (0, 1, 2):  # well, no archive yet, no backup in it yet
            output = [repository["status"]["message"] for repository in found.get("repo", [])]
            raise self.error("\n".join([status["message"], *output]), "Inspecting the archive")
        return {"db": [], "backup": [], **found}

    def system(self) -> str:
        """What tells this host's cluster from all others, whether it runs or not."""
        output = self.run(["pg_controldata", "-D", self.data], "Reading the cluster's control file")
        found = re.search(r"^Database system identifier: +(\d+)$", output, re.MULTILINE)
        if not found:
            raise DeployError(f"{self.data} has no system identifier")
        return found[1]

    def others(self) -> set[str]:
        """The system identifiers of the host's other clusters, of which this one may have been made."""
        # an upgrade by link has renamed the file
        found = self.run(
            ["sh", "-c", "ls /var/lib/postgresql/*/*/global/pg_control*"], "Looking for clusters"
        )
        paths = [path for path in found.split() if not path.startswith(f"{self.data}/")]
        first = ["od", "--address-radix=n", "--format=u8", "--read-bytes=8"]
        return {self.run([*first, path], "Reading a control file").strip() for path in paths}

    def backups(self) -> list[dict[str, Any]]:
        """Those of this host's cluster: after an upgrade, the archive also has those of the cluster that it was.

        A cluster that an upgrade was undone to goes on in a place of its own, to which its earlier backups do not lead.
        """
        found, system = self.stanza(), self.system()
        ours = {entry["id"] for entry in found["db"][-1:] if str(entry["system-id"]) == system}
        return [entry for entry in found["backup"] if entry["database"]["id"] in ours]

    def version_at(self, target_time: str) -> str:
        """PostgreSQL's version of the base backup that a recovery starts from; that of the cluster if unknown."""
        found = self.stanza()
        until = calendar.timegm(time.strptime(target_time[:19], "%Y-%m-%d %H:%M:%S"))
        versions = {entry["id"]: str(entry["version"]) for entry in found["db"]}
        before = [entry for entry in found["backup"] if entry["timestamp"]["stop"] <= until]
        return versions.get(before[-1]["database"]["id"], self.version) if before else self.version

    def begins(self) -> bool:
        """Whether a full backup is wanted now: there is none of it, or it was brought back since the last one.

        What was written after that and before the archive was on again is in no archive.
        """
        made = self.backups()
        timeline = self.live.ask("SELECT pg_walfile_name(pg_current_wal_lsn());").strip()[:8]
        return not made or made[-1]["archive"]["stop"][:8] != timeline

    def back_up(self, kind: str) -> None:
        self.pgbackrest(["backup", f"--type={kind}"], "Backing up the cluster")

    def now(self) -> str:
        """Where the cluster stands, once everything up to there is in the archive."""
        # recovery to a time ends at the first commit after it: here is one
        self.live.ask("SELECT txid_current();")
        asked = "SELECT l, pg_walfile_name(l) FROM pg_current_wal_lsn() l;"
        lsn, segment = self.live.ask(asked).strip().split("|")
        self.live.ask("SELECT pg_switch_wal();")
        until = time.monotonic() + ARRIVAL
        arrived = f"SELECT coalesce(last_archived_wal >= '{segment}', false) FROM pg_stat_archiver;"
        while self.live.ask(arrived).strip() != "t":
            if time.monotonic() > until:
                raise DeployError(
                    f"The archive does not accept the WAL: {segment} has been waiting for {ARRIVAL} s"
                )
            time.sleep(0.2)
        return lsn

    def fetch(self, folder: str, target_time: str, database: str) -> None:
        """Puts the cluster's files as of ``target_time`` into ``folder``; of the databases only the named one."""
        words = ["restore", f"--pg1-path={folder}", "--target-action=promote"]
        words += ["--type=time", f"--target={target_time}"] if target_time else ["--type=default"]
        words = words if target_time else [word for word in words if not word.startswith("--target-action")]
        if database:
            words.append(f"--db-include={database}")
        self.pgbackrest(words, "Fetching from the archive")

    def pgbackrest(self, words: list[str], what: str) -> str:
        words = [f"--stanza={STANZA}", "--log-level-console=error", *self.options, *words]
        return self.run(["pgbackrest", *words], what)

    def run(self, words: list[str], what: str) -> str:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd="/",
            user="postgres",
            group="postgres",
            extra_groups=[],
            env={"PATH": f"{self.programs}:{PATH}", "LANG": "C.UTF-8", "HOME": "/var/lib/postgresql"},
        )
        out = done.stdout.decode(errors="replace")
        if done.returncode:
            raise self.error(out + done.stderr.decode(errors="replace"), what)
        return out

    def error(self, output: str, what: str) -> DeployError:
        """What pgBackRest cannot decipher it takes for a file of a wrong form."""
        if "unable to load info file" in output and ("FormatError" in output or "CryptoError" in output):
            return WrongKey(
                "The archive is encrypted with another password: pgbackrest_password, or the homeport_secret that it "
                "is derived from, differs from the one of the archive"
            )
        return DeployError(f"{what} failed:\n{tail(plain(output))}")

    @contextmanager
    def as_of(self, target_time: str, database: str = "") -> Iterator[PointInTime]:
        """A second cluster as of a point in time, for as long as it is looked at; one at a time."""
        with open(LOCK, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.second_cluster(target_time, database) as cluster:
                yield cluster

    @contextmanager
    def second_cluster(self, target_time: str, database: str) -> Iterator[PointInTime]:
        self.clear()
        account = pwd.getpwnam("postgres")
        for path, mode, gid in (
            (SCRATCH, 0o700, account.pw_gid),
            (SOCKET, 0o710, pwd.getpwnam("nobody").pw_gid),
        ):
            os.mkdir(path, 0o700)
            os.chown(path, account.pw_uid, gid)
            os.chmod(path, mode)
        try:
            self.fetch(SCRATCH, target_time, database)
            self.start(database)
            yield PointInTime(self.second())
        finally:
            self.clear()

    def sweep(self) -> None:
        """Removes a second cluster that was left by a host that went down, or by a process that was killed."""
        with open(LOCK, "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # it is looked at
                return
            self.clear()

    def clear(self) -> None:
        self.stop()
        for path in (SCRATCH, SOCKET):
            if os.path.lexists(path):
                shutil.rmtree(path)

    def start(self, database: str) -> None:
        """What the cluster would not have taken over from its own configuration, and nobody but its user gets in."""
        names = "'max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions'"
        found = self.live.ask(
            "SELECT json_object_agg(name, setting) FROM pg_settings "
            f"WHERE name IN ({names}, 'max_locks_per_transaction');"
        )
        # of the databases that were left out there are no pages that the log could be applied to
        text = "ignore_invalid_pages = on\n" if database else ""
        text += SETTINGS.format(port=PORT, folder=SOCKET, data=SCRATCH) + "".join(
            f"{name} = {value}\n" for name, value in json.loads(found).items()
        )
        script = (
            f"umask 077; cat >{SCRATCH}/homeport.conf <<'END'\n{text}END\n"
            f"printf '{ACCESS}' >{SCRATCH}/homeport_hba.conf; : >{SCRATCH}/homeport_ident.conf"
        )
        self.run(["sh", "-ec", script], "Configuring the second cluster")
        options = f"-c config_file={SCRATCH}/homeport.conf"
        words = [
            "pg_ctl",
            "start",
            "-s",
            "-w",
            "-t",
            "7200",
            "-D",
            SCRATCH,
            "-o",
            options,
            "-l",
            f"{SCRATCH}/log",
        ]
        try:
            self.run(words, "Starting the second cluster")
            self.wait()
        except DeployError as error:
            with open(f"{SCRATCH}/log", encoding="utf-8", errors="replace") as stream:
                output = stream.read()
            if "recovery ended before configured recovery target was reached" in output:
                raise DeployError(
                    "The archive does not reach that point in time yet, or nothing was written since"
                ) from error
            raise DeployError(f"{error}\n{tail(output)}") from error
        if database:
            self.refuse_invalid_pages(database)

    def refuse_invalid_pages(self, database: str) -> None:
        """None of the database that was asked for."""
        oid = (
            self.second().ask(f"SELECT oid FROM pg_database WHERE datname = {quote_text(database)};").strip()
        )
        with open(f"{SCRATCH}/log", encoding="utf-8", errors="replace") as stream:
            bad = [line for line in stream if f" base/{oid}/" in line and "WARNING:" in line]
        if oid and bad:
            raise DeployError(f"The archive has invalid pages of {database}:\n{tail(''.join(bad))}")

    def wait(self) -> None:
        """pg_ctl is content once the server runs; it has arrived when it lets its user in."""
        until = time.monotonic() + 7200
        while time.monotonic() < until:
            self.run(["pg_ctl", "status", "-s", "-D", SCRATCH], "Recovering")
            try:
                self.second().ask("SELECT 1;")
                return
            except DeployError:
                time.sleep(0.2)
        raise DeployError("The recovered cluster did not reach its target within two hours")

    def take_version(self, version: str) -> None:
        """Has the second cluster be of an older version, as the cluster was before an upgrade."""
        if not os.path.exists(f"/usr/lib/postgresql/{version}/bin/postgres"):
            raise DeployError(
                f"That time is before the upgrade from PostgreSQL {version}, whose server is no longer installed: "
                f"install postgresql-{version}, or restore a backup of that time (to=TIME), which any version reads"
            )
        self.programs = f"/usr/lib/postgresql/{version}/bin"

    def second(self) -> Cluster:
        return Cluster(SOCKET, PORT, self.programs)

    def stop(self) -> None:
        if self.runs(SCRATCH):
            self.run(
                ["pg_ctl", "stop", "-s", "-w", "-m", "immediate", "-D", SCRATCH],
                "Stopping the second cluster",
            )

    def runs(self, data: str) -> bool:
        """Whether a cluster has a server. One that was killed leaves its postmaster.pid, whose number may be that of
        any process now, which pg_ctl would take for the server."""
        script = (
            'read -r pid <"$1/postmaster.pid" && test "$(readlink "/proc/$pid/cwd")" = "$(cd "$1" && pwd -P)"'
        )
        try:
            self.run(["sh", "-c", script, "sh", data], "Looking for a server")
        except DeployError:
            return False
        return True


def configured() -> dict[str, Any]:
    try:
        with open(ARCHIVE, encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
    except FileNotFoundError:
        raise DeployError(
            "This host's PostgreSQL has no continuous archive: set pgbackrest_repository, and run the setup "
            "playbook first"
        ) from None
    return found


def dumped(archive: Archive, databases: Mapping[str, str], target_time: str, folder: str) -> dict[str, Any]:
    """An app's databases, by their aliases, as of a point in time as files of root's, with what a manifest says of
    them. A further one that was not there at that time is left out."""
    archive.stanza()
    archive.now()
    archive.take_version(archive.version_at(target_time))
    found: dict[str, dict[str, Any]] = {}
    # of several, pgBackRest would refuse those that are younger than its last backup
    with archive.as_of(target_time, databases[DEFAULT] if len(databases) == 1 else "") as cluster:
        for alias, name in databases.items():
            if alias != DEFAULT and name not in cluster.owners:
                continue
            path = f"{folder}/{file_of(alias, 'postgresql')}"
            counted = cluster.counted(name)
            cluster.dump(name, path)
            file = {
                "file": os.path.basename(path),
                "bytes": os.path.getsize(path),
                "sha256": file_digest(path),
            }
            found[alias] = {**counted, "dump": file}
    return {**found.pop(DEFAULT), "databases": found}
