# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Huey."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.engines.redis import SERVERS
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import (
    INSTANCE,
    Context,
    Process,
    Queue,
    options,
    words,
)

STANDBY = "--no-periodic"


def command(process: Process, context: Context) -> str:
    consumer = words("manage.py run_huey", f"--workers {process.get('concurrency', 1)}", options(process))
    if not context["scheduler"]:
        return f"{consumer} {STANDBY}"
    # Only one consumer of an app may hand out the periodic tasks.
    return f'{consumer} $([ "{INSTANCE}" = 0 ] || echo {STANDBY})'


HUEY = Queue(
    "Huey",
    brokers=(*SERVERS, "database"),
    command=command,
    # TERM aborts running tasks
    stop_signal="INT",
    fields=("concurrency",),
    standby=STANDBY,
    memory=60,
    memory_each=2,
    packages={**dict.fromkeys(SERVERS, "huey[redis]"), "database": "huey>=3.5"},
    killed="lost",
)
