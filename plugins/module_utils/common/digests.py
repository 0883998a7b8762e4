# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Digests of files, and of what components are given."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Parts = dict[str, dict[str, str]]  # digests of what a component was given for whom, by app and field


def digest(*parts: Any) -> str:
    """The same for the same values, in whatever order their dictionaries are."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()
