# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where an upgrade of PostgreSQL stands, as it is written down on the host."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common import paths

STATE = f"{paths.STATE}/upgrades"
RECORD = f"{STATE}/postgresql.json"


def record() -> dict[str, Any]:
    """How far an upgrade came: its ``phase`` is prepared, stopped, switched, undoing or undone."""
    try:
        with open(RECORD, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}


def set_record(found: Mapping[str, Any]) -> None:
    write_whole(RECORD, found)


def forget() -> None:
    os.unlink(RECORD)


def write_whole(path: str, found: Mapping[str, Any]) -> None:
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        stream.write(json.dumps(found, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(f"{path}.new", path)
