# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a cluster holds, counted on both sides of a move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import digest
from ansible_collections.homeport.django.plugins.module_utils.host.move.cluster import Host

AHEAD = 32  # values of a sequence that PostgreSQL writes to the log at once: a replica begins after those
SHOWN = 10


def contents(host: Host) -> dict[str, Any]:
    """Rows of every table, sequences and extensions by database; digests of roles and of databases' rights."""
    state = host.live.state()
    return {
        "databases": {
            name: {
                "rows": host.live.look(name, "rows"),
                "sequences": host.live.look(name, "sequences"),
                "extensions": host.live.look(name, "versions"),
            }
            for name in host.databases()
        },
        "roles": {name: digest(found) for name, found in state["roles"].items()},
        "rights": {name: digest(found) for name, found in state["databases"].items()},
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What the copy does not have like the original: lines, none where all is the same."""
    found = [f"role {name}" for name in unlike(before["roles"], after["roles"])]
    found += [f"database {name}" for name in unlike(before["rights"], after["rights"])]
    for database in sorted({*before["databases"], *after["databases"]}):
        old, new = before["databases"].get(database), after["databases"].get(database)
        if old is None or new is None:
            found.append(f"database {database}")
            continue
        found += [
            f"{database}: {table} has {new['rows'].get(table, 'no')} rows in place of {old['rows'].get(table, 'no')}"
            for table in unlike(old["rows"], new["rows"])
        ]
        found += [f"{database}: extension {name}" for name in unlike(old["extensions"], new["extensions"])]
        found += [
            f"{database}: sequence {name}"
            for name in sorted({*old["sequences"], *new["sequences"]})
            if not continues(old["sequences"].get(name), new["sequences"].get(name))
        ]
    return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])


def unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def continues(before: Any, after: Any) -> bool:
    """Whether a sequence gives no value that it gave before, and leaves out no more than the log has in advance."""
    if not before or not after or before[1] != after[1]:
        return False
    if before[0] is None or after[0] is None:
        return before[0] is None or after[0] is not None
    steps = (after[0] - before[0]) // before[1]
    return 0 <= steps <= AHEAD
