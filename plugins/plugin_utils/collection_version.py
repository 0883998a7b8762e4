# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which version of Homeport runs here, and whether a host was set up by a newer one."""

from __future__ import annotations

import json
import re
from pathlib import Path

COLLECTION = Path(__file__).resolve().parents[2]


def own_version(folder: Path = COLLECTION) -> str:
    """That of an installed collection or of a clone."""
    manifest = folder / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    found = re.search(r"^version: (\S+)$", (folder / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def is_newer(recorded: str, own: str) -> bool:
    return bool(recorded) and numbers(recorded) > numbers(own)


def numbers(version: str) -> list[int]:
    """A release is newer than its candidates (1.2.0-rc.1), which differ by their own numbers alone."""
    release, _dash, candidate = version.partition("-")
    found = [int(number) for number in re.findall(r"\d+", release)]
    return (
        [*found, 0, *(int(number) for number in re.findall(r"\d+", candidate))] if candidate else [*found, 1]
    )
