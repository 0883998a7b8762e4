# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How large a host is, and since when it runs."""

from __future__ import annotations

import os
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


def booted(proc: str = "/proc") -> int:
    """When the host's first process was started; of a container, when that was."""
    try:
        with open(f"{proc}/stat", encoding="utf-8") as stream:
            boot = re.search(r"^btime (\d+)", stream.read(), re.MULTILINE)
        with open(f"{proc}/1/stat", encoding="utf-8") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(boot[1]) + int(fields[19]) // os.sysconf("SC_CLK_TCK") if boot and len(fields) > 19 else 0
