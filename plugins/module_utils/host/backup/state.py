# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is known of the backups and restore drills of an app or an archive."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common import paths
from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import stamp

STATE = f"{paths.STATE}/backups"
POINT = f"{STATE}/point"  # where a database as of a point in time is dumped
# Next to the apps: the repository as a whole, and the archive of the cluster.
ALL, ARCHIVE = "@all", "@archive"


def path_of(app: str) -> str:
    return f"{STATE}/{app}.json"


def read(app: str) -> dict[str, Any]:
    """The last outcome and the last good one of ``backup`` and ``drill``; empty where there is none."""
    try:
        with open(path_of(app), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(app: str, kind: str, outcome: Mapping[str, Any]) -> None:
    """Keeps the outcome of a ``backup`` or a ``drill``; the last good one stays next to a bad one."""
    state = read(app)
    entry = {"time": stamp(), **outcome}
    kept = state.get(kind, {}).get("good")
    state[kind] = {"last": entry, "good": entry if entry["ok"] else kept}
    write_whole(path_of(app), state)


def write_whole(path: str, found: Any) -> None:
    """Whatever interrupts it, the file is there with all of this, or as it was."""
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(json.dumps(found, indent=1, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(f"{path}.new", path)
