# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""RQ, and its scheduler."""

from __future__ import annotations

import shlex

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


def worker(process: Process, context: Context) -> str:
    queues = quoted(process.get("queues") or ["default"], " ")
    # of several workers, the one that holds a lock hands out what is due
    return words("manage.py rqworker", queues, "--with-scheduler", options(process))


def cron(process: Process, context: Context) -> str:
    return words("manage.py rqcron", shlex.quote(process.get("application", "")), options(process))


def check_cron(process: Process, path: str, problems: Problems) -> None:
    if "application" not in process:
        problems.add(f"{path}.application", "is required: the module that registers RQ's schedule")


RQ = Queue(
    "RQ",
    brokers=SERVERS,
    command=worker,
    fields=("queues",),
    memory=90,
    packages=dict.fromkeys(SERVERS, "django-rq"),
    killed="not run again: it is among the failed ones",
)

RQ_CRON = Queue(
    "RQ's scheduler",
    brokers=SERVERS,
    command=cron,
    stop_timeout=20,
    fields=("application",),
    check=check_cron,
    most=1,
    memory=60,
)
