# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a set of files has put on the host, and what is still to be applied."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common import paths

STATE_FOLDER = paths.STATE


class Record:
    """What this set put on the host, and what is still to be applied."""

    def __init__(self, name: str) -> None:
        self.path = os.path.join(STATE_FOLDER, f"{name}.json")
        try:
            with open(self.path, encoding="utf-8") as stream:
                found = json.load(stream)
        except (FileNotFoundError, ValueError):
            found = {}
        self.paths: list[str] = found.get("paths", [])
        self.units: list[str] = found.get("units", [])
        self.pending: str = found.get("pending", "")
        self.restarts: list[str] = found.get("restarts", [])
        self.reloads: list[str] = found.get("reloads", [])
        # the restart that waits: of which unit, why, and which run of the unit does not know of it yet
        self.held: dict[str, Any] = found.get("held", {})
        # what the service has started with, of what waits, and where it is kept
        self.previous: list[tuple[str, str | None]] = found.get("previous", [])
        self.known = bool(found)

    def write(self) -> None:
        os.makedirs(STATE_FOLDER, mode=0o700, exist_ok=True)
        found = {
            "paths": self.paths,
            "units": self.units,
            "pending": self.pending,
            "restarts": self.restarts,
            "reloads": self.reloads,
            "held": self.held,
            "previous": self.previous,
        }
        text = json.dumps(found, indent=1) + "\n"
        beside = f"{self.path}.new"
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, self.path)
