# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Lines of logs as they are shown."""

from __future__ import annotations

import json
from typing import Any


def readable(line: str) -> str:
    """A request as nginx logs it in JSON, in the order in which one reads it; other lines as they are."""
    if not line.startswith('{"time"'):
        return line
    try:
        entry: Any = json.loads(line)
        words = [entry["time"], entry["client"], entry["status"], entry["method"], entry["uri"]]
    except (ValueError, KeyError, TypeError):
        return line
    return " ".join(str(word) for word in [*words, f"{entry.get('seconds', '?')} s"])
