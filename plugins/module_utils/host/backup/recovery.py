# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A whole PostgreSQL cluster from its archive, onto a host that has another one: empty, as it was installed."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, tail

TIMEOUT = 4 * 3600  # seconds that PostgreSQL may take to read what it wrote since the backup
CONTROL = "global/pg_control"
NAMES = """
SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database WHERE datallowconn AND NOT datistemplate;
"""


def foreign(archive: Archive) -> bool:
    """Whether the archive is that of another cluster than this host's; refuses one that could not be brought back."""
    found = archive.stanza()
    if not found["db"]:
        raise DeployError("There is no archive in pgbackrest_repository")
    last = found["db"][-1]
    if str(last["system-id"]) == archive.system():
        return False
    if last["version"] != archive.version:
        raise DeployError(
            f"The archive is of PostgreSQL {last['version']}, and this host has {archive.version}: use a host with "
            f"PostgreSQL {last['version']}, or restore the apps from their nightly backups, which any version reads"
        )
    if not any(backup["database"]["id"] == last["id"] for backup in found["backup"]):
        raise DeployError("The archive has no full backup to recover a cluster from")
    return True


class Recovery:
    """The steps in their order. What the host had is put aside first, and back when any of them fails."""

    def __init__(self, archive: Archive, target_time: str, replace: bool) -> None:
        self.archive = archive
        self.target_time = target_time
        self.replace = replace
        self.aside = f"{archive.data}.replaced"
        self.unit = f"postgresql@{archive.version}-{archive.cluster}.service"

    def run(self) -> dict[str, Any]:
        started = time.monotonic()
        if os.path.lexists(self.aside) and not self.arrived():  # a run was interrupted
            self.back()
        if os.path.lexists(self.aside):
            return self.resume(started)
        if os.path.islink(self.archive.data) or os.path.ismount(self.archive.data):
            raise DeployError(
                f"{self.archive.data} is a link or a disk of its own, and another cluster cannot take its place: "
                "mount the disk on the folder above it. Nothing was changed"
            )
        held = self.tables()
        if held and not self.replace:
            what = ", ".join(f"{name} ({count} tables)" for name, count in held.items())
            raise DeployError(
                f"This host's cluster is not empty: it has {what}. The recovery replaces all of it by what the archive "
                "has: -e replace=true confirms that. Nothing was changed"
            )
        self.systemctl("stop")
        try:
            os.rename(self.archive.data, self.aside)
            self.fetch()
            self.systemctl("start")
            self.wait()
        except BaseException:
            self.back()
            raise
        return self.finish(started, bool(held))

    def arrived(self) -> bool:
        """Whether what is in the place of the cluster may have been written to: no doubt may cost it.

        pgBackRest puts pg_control there last of all, and PostgreSQL removes recovery.signal before it accepts
        writes. That shows it even where nothing runs and the archive cannot be asked.
        """
        data = self.archive.data
        return os.path.lexists(f"{data}/{CONTROL}") and not os.path.lexists(f"{data}/recovery.signal")

    def resume(self, started: float) -> dict[str, Any]:
        """After an interrupted run once the cluster had arrived; it stays, whatever fails here."""
        if foreign(self.archive):
            raise DeployError(
                "A run was interrupted after a cluster was recovered, and the archive is that of another cluster. "
                f"{self.aside} is what the host had before, and {self.archive.data} what came "
                "then and may have been written to: move the former aside, and run this again. Nothing was changed"
            )
        aimed = self.aimed()
        if aimed != self.target_time:
            when = aimed.replace(" ", "T").removesuffix("+00")
            raise DeployError(
                f"A run was interrupted after the cluster was recovered, as of {when or 'the end of the archive'}. It "
                "may have been written to since, so it is only finished: run this again "
                f"{'with -e target_time=' + when if when else 'without target_time'}. For an app's database as of "
                "another point in time, run restore (-e target_time=) then. Nothing was changed"
            )
        self.systemctl("start")
        self.wait()
        return self.finish(started, True)

    def aimed(self) -> str:
        """The point in time that the cluster was recovered to; empty for the last one."""
        try:
            with open(f"{self.archive.data}/postgresql.auto.conf", encoding="utf-8") as stream:
                found = re.findall(r"^recovery_target_time = '(.*)'$", stream.read(), re.MULTILINE)
        except FileNotFoundError:
            return ""
        return found[-1] if found else ""

    def finish(self, started: float, keep: bool) -> dict[str, Any]:
        until = self.archive.live.ask("SELECT pg_last_xact_replay_timestamp();").strip()
        for name in ("hot_standby", "restore_command"):
            self.archive.live.ask(f"ALTER SYSTEM RESET {name};")
        self.archive.live.ask("SELECT pg_reload_conf();")
        kept = ""
        if keep:
            kept = f"{self.archive.data}.before-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
            os.rename(self.aside, kept)
        else:
            shutil.rmtree(self.aside)
        # last: a run that has to finish this one asks for it
        for name in ("recovery_target_time", "recovery_target_action"):
            self.archive.live.ask(f"ALTER SYSTEM RESET {name};")
        return {
            "until": until,
            "databases": self.tables(),
            "kept": kept,
            "seconds": round(time.monotonic() - started, 2),
        }

    def tables(self) -> dict[str, int]:
        """How many tables each database has that has any."""
        names = json.loads(self.archive.live.ask(NAMES))
        counts = {name: int(self.archive.live.look(name, "tables")) for name in names}
        return {name: count for name, count in counts.items() if count}

    def fetch(self) -> None:
        account = pwd.getpwnam("postgres")
        os.mkdir(self.archive.data, 0o700)
        os.chown(self.archive.data, account.pw_uid, account.pw_gid)
        self.archive.fetch(self.archive.data, self.target_time, "")
        # nobody sees it before it has arrived; and a smaller host than the lost one may have lower limits
        script = f"echo 'hot_standby = off' >>{self.archive.data}/postgresql.auto.conf"
        self.archive.run(["sh", "-ec", script], "Configuring the recovery")

    def wait(self) -> None:
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            try:
                if self.archive.live.ask("SELECT pg_is_in_recovery();").strip() == "f":
                    return
            except DeployError:
                self.alive()
            time.sleep(0.5)
        raise DeployError(f"PostgreSQL did not finish its recovery within {TIMEOUT // 3600} hours")

    def alive(self) -> None:
        active = subprocess.run(["systemctl", "is-active", "--quiet", self.unit], check=False).returncode == 0
        pid = f"{self.archive.data}/postmaster.pid"
        if active and os.path.exists(pid):
            return
        output = self.log()
        if "recovery ended before configured recovery target was reached" in output:
            raise DeployError("The archive does not reach that point in time, or nothing was written since")
        raise DeployError(f"PostgreSQL did not start from the archive:\n{tail(output)}")

    def log(self) -> str:
        path = f"/var/log/postgresql/postgresql-{self.archive.version}-{self.archive.cluster}.log"
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read()[-8000:]
        except OSError:
            return ""

    def back(self) -> None:
        """The cluster that the host had, unless the other has arrived: the next run finishes that."""
        self.systemctl("stop")  # from here on nothing arrives
        if os.path.lexists(self.aside) and not self.arrived():
            if os.path.lexists(self.archive.data):
                # first, so that half of it is not taken for a cluster
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.archive.data}/{CONTROL}")
                shutil.rmtree(self.archive.data)
            os.rename(self.aside, self.archive.data)
        self.systemctl("start")

    def systemctl(self, verb: str) -> None:
        done = subprocess.run(["systemctl", verb, self.unit], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeployError(f"PostgreSQL does not {verb}: {done.stderr.strip()}\n{tail(self.log())}")
