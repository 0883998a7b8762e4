# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Django's tasks, with the backend that keeps them in the database."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.queues.queue import (
    Context,
    Process,
    Queue,
    options,
    quoted,
    words,
)


def command(process: Process, context: Context) -> str:
    queues = f"--queue-name {quoted(process['queues'])}" if process.get("queues") else ""
    # its default is one second
    return words("manage.py db_worker --interval 0.2", queues, options(process))


DJANGO_TASKS = Queue(
    "Django's tasks",
    brokers=("database",),
    command=command,
    fields=("queues",),
    memory=55,
    packages={"database": "django-tasks-db"},
    killed="not run again: it stays among the running ones",
)
