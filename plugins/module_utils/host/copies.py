# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Files that hold a copy of an app's data: made by root alone, read back, safe on the disk."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, tail

SQLITE_SIDES = ("", "-wal", "-shm", "-journal")  # of a database, the names of its files


def create(path: str) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def call(argv: list[str], what: str, stdout: Any = subprocess.PIPE, **options: Any) -> str:
    """What a command prints; raises DeployError when it fails."""
    try:
        done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, check=False, **options)
    except OSError as error:
        raise DeployError(f"{what} could not be started: {error}") from error
    if done.returncode:
        raise DeployError(
            f"{what} failed (exit status {done.returncode}):\n{tail(done.stderr.decode(errors='replace'))}"
        )
    return (done.stdout or b"").decode(errors="replace")


def synced(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
