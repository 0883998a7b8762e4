# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Celery, and its scheduler."""

from __future__ import annotations

import shlex

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Since
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import SERVERS
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import (
    INSTANCE,
    Context,
    Process,
    Queue,
    options,
    quoted,
    words,
)

BROKERS = (*SERVERS, "rabbitmq")
# When beat has enqueued what.
STATE = "{home}/shared/data/celerybeat-schedule"


def application(process: Process) -> str:
    """Celery's application: by default the package that the settings are in."""
    return shlex.quote(process["application"]) if process.get("application") else '"$HOMEPORT_PACKAGE"'


def worker(process: Process, context: Context) -> str:
    return words(
        f"celery --app {application(process)} worker --loglevel INFO",
        f"--concurrency {process.get('concurrency', 1)}",
        # each worker of a queue needs a name of its own
        f'--hostname {context["process"]}."{INSTANCE}"@%h',
        f"--queues {quoted(process['queues'])}" if process.get("queues") else "",
        options(process),
    )


def beat(process: Process, context: Context) -> str:
    return words(
        f"celery --app {application(process)} beat --loglevel INFO --pidfile=",
        f"--schedule {STATE.format(home=context['home'])}",
        options(process),
    )


CELERY = Queue(
    "Celery",
    brokers=BROKERS,
    command=worker,
    # a stop sometimes takes 30 s longer than its tasks
    stop_timeout=120,
    fields=("queues", "concurrency", "application"),
    memory=70,
    memory_each=45,
    packages={**dict.fromkeys(SERVERS, "celery[redis]"), "rabbitmq": "celery"},
    needs={"redis": Since({"debian": (12,), "ubuntu": (24, 4)}, "Redis 6.2 or newer", instead="rabbitmq")},
    killed="lost; with `task_acks_late` run again (RabbitMQ: at once, Redis: after `visibility_timeout`)",
)

CELERY_BEAT = Queue(
    "Celery's scheduler",
    brokers=BROKERS,
    command=beat,
    stop_timeout=20,
    fields=("application",),
    most=1,
    state=STATE,
    memory=60,
)
