"""The one place where the site hands work to somebody else.

`enqueue(task, *args)` is all that the rest of the code knows. Which queue takes the
task is the setting TASK_QUEUE: a name in QUEUES, whose value is called with the task
(a function of album.tasks) and its arguments.
"""

import logging

from django.conf import settings
from django.core.checks import Error
from django.db import transaction

logger = logging.getLogger(__name__)


def run_now(task, *args):
    """No worker: the visitor waits."""
    try:
        task(*args)
    except Exception:
        # A worker's failure would not be the visitor's error page either.
        logger.exception("task %s%r failed", task.__name__, args)


QUEUES = {"none": run_now}


def enqueue(task, *args):
    queue = QUEUES[settings.TASK_QUEUE]
    # A worker is quick enough to look for a row that is not yet committed.
    transaction.on_commit(lambda: queue(task, *args))


def check_task_queue(app_configs, **kwargs):
    if settings.TASK_QUEUE in QUEUES:
        return []
    return [
        Error(
            f"TASK_QUEUE is {settings.TASK_QUEUE!r}, which is no queue of this project.",
            hint=f"Use one of: {', '.join(sorted(QUEUES))}.",
            id="album.E001",
        )
    ]
