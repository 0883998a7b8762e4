# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How old apt's knowledge of packages is."""

from __future__ import annotations

import os
import time

LISTS = "/var/lib/apt/lists"


def lists_age(folder: str = LISTS) -> float:
    """Seconds since the package lists were last fetched."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    times = [os.path.getmtime(f"{folder}/{name}") for name in names if name.endswith(("Release", "Packages"))]
    stamp = "/var/lib/apt/periodic/update-success-stamp"
    if not times:
        return float("inf")
    if os.path.exists(stamp):
        times.append(os.path.getmtime(stamp))
    times.append(os.path.getmtime(folder))
    return time.time() - max(times)
