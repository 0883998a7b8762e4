# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where things are on a host, and how small files are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.homeport.django.plugins.module_utils.common.paths import (
    APPS_HOME,
    ARCHIVE,
    BACKUP,
    STATE,
)
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import SOCKET

Run = Callable[[list[str]], tuple[int, str]]  # exit status and standard output of a command


@dataclass(frozen=True)
class Places:
    """Where things are on a host, and how small files are read."""

    apps: str = APPS_HOME
    deploys: str = f"{STATE}/deploys"
    setup: str = f"{STATE}/setup"
    records: str = STATE
    units: str = "/etc/systemd/system"
    proc: str = "/proc"
    supervisor: str = SOCKET
    certificates: str = "/etc/homeport/certificates"
    own_certificates: str = "/etc/homeport/own"
    backups: str = f"{BACKUP}/config.json"
    archive: str = ARCHIVE


def changed(path: str) -> int | None:
    """When a file or link was made or last written, if it is there."""
    try:
        return int(os.lstat(path).st_mtime)
    except OSError:
        return None


def read(path: str, most: int = 1 << 20) -> str:
    """The text of a file, or nothing; of -1 characters at most all of it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(most)
    except OSError:
        return ""
