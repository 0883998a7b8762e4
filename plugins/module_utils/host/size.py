# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How large a host is."""

from __future__ import annotations

import re


def memory_mb() -> int:
    """Memory of the machine, or of its control group where that is less."""
    with open("/proc/meminfo", encoding="utf-8") as stream:
        found = re.search(r"MemTotal:\s+(\d+)", stream.read())
    total = int(found[1]) >> 10 if found else 0
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="utf-8") as stream:
                total = min(total, int(stream.read()) >> 20)
        except (OSError, ValueError):
            continue
    return total
