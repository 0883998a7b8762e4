# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The kinds of processes of task queues.

A new one is a file beside this one, a line in the table, and a role where Homeport supplies its settings
(docs/contributing/queue.md).
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
