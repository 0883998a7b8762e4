# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What PostgreSQL holds, as the records of components compare it (given.py)."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import digest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster

STATE, EXTENSIONS_OF = "state", "extensions of "


def cluster_state(names: list[str]) -> dict[str, Any]:
    """What a run compares with the one before it: the digest of all roles and databases, extensions of a database."""
    cluster, found = Cluster(), {}
    for name in names:
        with contextlib.suppress(DeployError):
            found[name] = (
                digest(cluster.state())
                if name == STATE
                else sorted(cluster.look(name[len(EXTENSIONS_OF) :], "extensions"))
            )
    return found
