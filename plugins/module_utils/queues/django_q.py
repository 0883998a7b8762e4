# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Django-Q2."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.engines.redis import SERVERS
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import (
    Context,
    Process,
    Queue,
    options,
    quoted,
    words,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems


def command(process: Process, context: Context) -> str:
    name = f"--name {quoted(process['queues'][:1])}" if process.get("queues") else ""
    # there is no option for it: settings read the number of workers from this variable
    return words(
        f"env TASK_WORKERS={process.get('concurrency', 1)}", "manage.py qcluster", name, options(process)
    )


def check(process: Process, path: str, problems: Problems) -> None:
    if len(process.get("queues", [])) > 1:
        problems.add(
            f"{path}.queues", "must be one: a cluster of Django-Q2 works on one queue; add a process"
        )


DJANGO_Q = Queue(
    "Django-Q2",
    brokers=(*SERVERS, "database"),
    command=command,
    fields=("queues", "concurrency"),
    check=check,
    memory=77,
    memory_each=30,
    packages={**dict.fromkeys(SERVERS, "django-q2[redis]"), "database": "django-q2"},
    killed="database: run again after `retry`; Redis: lost, with what was prefetched",
)
