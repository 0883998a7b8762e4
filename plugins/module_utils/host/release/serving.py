# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which release a process runs."""

from __future__ import annotations

import re

MOST_ENVIRONMENT = 1 << 21  # bytes that the kernel gives a process for its environment, and more


def release_of(pid: int) -> str:
    """Id of the release that a process was started from; empty for one that sleeps. A process may write what it wants
    into its own environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            found = re.search(
                rb"(?:^|\0)HOMEPORT_RELEASE=([0-9A-Za-z-]{1,64})(?:\0|$)", stream.read(MOST_ENVIRONMENT)
            )
    except OSError:
        return ""
    return found[1].decode() if found else ""
