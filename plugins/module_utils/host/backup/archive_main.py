# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The program homeport-archive: full and incremental backups of the cluster, and the restore drill of its archive."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import (
    Archive,
    configured,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.main import attempted
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError


def drill(archive: Archive) -> dict[str, Any]:
    """Whether everything that was written until now can be had from the archive."""
    started = time.monotonic()
    archive.stanza()  # that it opens is known at once, and not after a segment has waited in vain
    reached = archive.now()
    with archive.as_of("") as cluster:
        if not cluster.arrived(reached):
            raise DeployError(
                f"The archive ends before {reached}, the position of the cluster when the drill began"
            )
        tables = rows = 0
        failed = []
        for name in cluster.owners:
            try:
                found = cluster.counted(name)["rows"]
                tables, rows = tables + len(found), rows + sum(found.values())
            except Exception as error:  # whatever an app brings about concerns no other app
                text = str(error) if isinstance(error, DeployError) else type(error).__name__
                failed.append(f"{name}: {text}")
        if failed:
            lines = "\n".join(failed)
            raise DeployError(
                f"{len(failed)} of {len(cluster.owners)} databases cannot be counted; the others are whole, "
                f"{tables} tables with {rows} rows\n{lines}"
            )
    return {"tables": tables, "rows": rows, "lsn": reached, "seconds": round(time.monotonic() - started, 2)}


def back_up(archive: Archive, full: bool) -> bool:
    """What came of a full backup is written down twice: it is a backup, too."""

    def work() -> dict[str, Any]:
        started = time.monotonic()
        archive.sweep()
        kind = "full" if full or not archive.backups() else "incr"
        archive.back_up(kind)
        seconds = round(time.monotonic() - started, 2)
        return {"type": kind, "system": archive.system(), "seconds": seconds}

    good = attempted(backup_state.ARCHIVE, "backup", work)
    last = backup_state.read(backup_state.ARCHIVE)["backup"]["last"]
    if full or last.get("type") == "full":
        backup_state.write(backup_state.ARCHIVE, "full", last)
    return good


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="homeport-archive", description=__doc__)
    parser.add_argument("verb", choices=["prepare", "full", "incremental", "drill"])
    verb = parser.parse_args(argv).verb
    os.umask(0o077)
    try:
        archive = Archive(configured())
        if verb == "prepare":
            archive.prepare()
            if archive.begins():
                subprocess.run(
                    ["systemctl", "start", "--no-block", "homeport-archive-full.service"], check=True
                )
            return 0

        if verb == "drill":
            return 0 if attempted(backup_state.ARCHIVE, "drill", lambda: drill(archive)) else 1
        return 0 if back_up(archive, verb == "full") else 1
    except (DeployError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
