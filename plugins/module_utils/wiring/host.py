# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What follows from what users set of their hosts (the variables C(host_*))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# File systems on which a swap file simply works.
SWAP_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs")
SWAP_LEAST, SWAP_MOST = 256, 4096  # MiB


def swap_size(wanted: Any, facts: Mapping[str, Any]) -> int:
    """The size of the host's swap file in MiB; 0 for none.

    wanted: a number of MiB, or V(auto): as much as the host has memory, between 1 and 4 GiB and at most a quarter of
    the free disk, unless it has swap of its own, is a container, or has its files where swap cannot be.
    facts: what M(homeport.django.host_facts) found. A file that is there keeps its size with V(auto).
    """
    if str(wanted) != "auto":
        return int(wanted)
    swap = facts["swap"]
    if facts["container"] or swap["other_mb"] or swap["filesystem"] not in SWAP_FILESYSTEMS:
        return 0
    if swap["own_mb"]:
        return int(swap["own_mb"])
    size = (
        min(max(int(facts["memory_mb"]), 1024), SWAP_MOST, int(facts["free_mb"]) // 4)
        // SWAP_LEAST
        * SWAP_LEAST
    )
    return max(size, 0)
