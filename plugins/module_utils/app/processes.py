# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The process list of an app. It names no supervisor: wiring/ turns it into the words of one target (decision 33)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES

# What every process has that its definition may leave out.
PROCESS = {
    "kind": "",
    "start_seconds": 1,
    "stop_signal": "TERM",
    "stop_timeout": 60,
    "memory": 0,
    "alone": {},
}


def resolve_process(
    name: str, process: Mapping[str, Any], home: str, scheduler: bool, leased: bool = False
) -> dict[str, Any]:
    """A process as plain data, of whatever kind: name, kind, command (as sh reads it, with INSTANCE for its number),
    count, env, start_seconds, stop_signal, stop_timeout, memory (MiB; 0 is no limit) and alone.

    ``scheduler`` says whether this host is the one that hands out the app's scheduled tasks. ``leased`` says that any
    of its hosts may be, one at a time, by a lease in the database (docs/decisions/0042). C(alone) is then, for what
    hands them out: C(state), a file that is out of date where another host did so, and C(standby), the argument with
    which the process runs on the others; it does not run there where that is empty.
    """
    kind = process.get("kind")
    if not kind:
        return {**PROCESS, "name": name, **process}
    queue = QUEUES[kind]
    return {
        **PROCESS,
        "name": name,
        "stop_signal": queue.stop_signal,
        "stop_timeout": queue.stop_timeout,
        **process,
        # on another host the one that there may be runs already
        "count": 0 if queue.most and not (scheduler or leased) else process["count"],
        "command": queue.command(process, {"process": name, "home": home, "scheduler": scheduler or leased}),
        "alone": {"state": queue.state.format(home=home), "standby": queue.standby}
        if leased and (queue.most or queue.standby)
        else {},
    }
