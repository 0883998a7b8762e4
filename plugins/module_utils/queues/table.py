# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The kinds of processes of task queues.

A new one is a file beside this one, a line in the table, and a role where Homeport supplies its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.queues.celery import CELERY, CELERY_BEAT
from ansible_collections.homeport.django.plugins.module_utils.queues.django_q import DJANGO_Q
from ansible_collections.homeport.django.plugins.module_utils.queues.django_tasks import DJANGO_TASKS
from ansible_collections.homeport.django.plugins.module_utils.queues.huey import HUEY
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import Queue
from ansible_collections.homeport.django.plugins.module_utils.queues.rq import RQ, RQ_CRON

QUEUES: dict[str, Queue] = {
    "django_q": DJANGO_Q,
    "celery": CELERY,
    "celery_beat": CELERY_BEAT,
    "huey": HUEY,
    "rq": RQ,
    "rq_cron": RQ_CRON,
    "django_tasks": DJANGO_TASKS,
}

BROKERS = tuple(dict.fromkeys(broker for queue in QUEUES.values() for broker in queue.brokers))


def needs_broker(kind: str) -> bool:
    """Whether a kind takes its tasks from the app's broker; the others use the database alone."""
    return QUEUES[kind].brokers != ("database",)


def kinds_of(processes: Mapping[str, Any]) -> list[str]:
    """The kinds of an app's processes, each once."""
    found = [process.get("kind") for process in processes.values() if isinstance(process, Mapping)]
    return [kind for kind in dict.fromkeys(kind for kind in found if isinstance(kind, str)) if kind in QUEUES]


def default_broker(kinds: list[str], available: tuple[str, ...]) -> str:
    """The first broker of a setup that all kinds can use; `none` where none is needed or fits."""
    needing = [kind for kind in kinds if needs_broker(kind)]
    if not needing:
        return "database" if kinds else "none"
    for broker in available:
        if all(broker in QUEUES[kind].brokers for kind in needing):
            return broker
    return "none"


# What every process has that its definition may leave out.
PROCESS = {"kind": "", "start_seconds": 1, "stop_signal": "TERM", "stop_timeout": 60, "memory": 0}


def resolve_process(name: str, process: Mapping[str, Any], home: str, scheduler: bool) -> dict[str, Any]:
    """A process as plain data, of whatever kind: name, kind, command (as sh reads it, with INSTANCE for its number),
    count, env, start_seconds, stop_signal, stop_timeout and memory (MiB; 0 is no limit).

    ``scheduler`` says whether this host is the one that hands out the app's scheduled tasks.
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
        "count": 0 if queue.most and not scheduler else process["count"],
        "command": queue.command(process, {"process": name, "home": home, "scheduler": scheduler}),
    }
