"""The one place where the site hands work to somebody else.

`enqueue(task, *args)` is all that the rest of the code knows. Which queue takes the
task is the setting TASK_QUEUE: a name in QUEUES, whose value is called with the task
(a function of album.tasks) and its arguments. A queue's library is imported only where
the queue is used.
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


def django_q(task, *args):
    from django_q.tasks import async_task

    async_task(f"{task.__module__}.{task.__name__}", *args)


def celery(task, *args):
    from memories.celery import run

    run.delay(task.__name__, *args)


def huey(task, *args):
    from memories.huey import run

    run(task.__name__, *args)


def rq(task, *args):
    from django_rq import get_queue
    from rq import Retry

    # Again, if its worker was killed.
    get_queue("default").enqueue(task, *args, result_ttl=0, retry=Retry(max=2))


def django_tasks(task, *args):
    from memories.django_tasks import run

    run.enqueue(task.__name__, *args)


QUEUES = {
    "none": run_now,
    "django_q": django_q,
    "celery": celery,
    "huey": huey,
    "rq": rq,
    "django_tasks": django_tasks,
}
# Where each queue can keep its tasks.
BROKERS = {
    "none": ("database", "redis", "rabbitmq"),  # It needs none, and minds none.
    "django_q": ("database", "redis"),
    "celery": ("redis", "rabbitmq"),
    "huey": ("database", "redis"),
    "rq": ("redis",),
    "django_tasks": ("database",),
}
# The queues that can run something by the clock.
SCHEDULERS = ("django_q", "celery", "huey", "rq")


def enqueue(task, *args):
    # A worker is quick enough to look for a row that is not yet committed.
    transaction.on_commit(lambda: hand_over(task, *args))


def hand_over(task, *args):
    try:
        QUEUES[settings.TASK_QUEUE](task, *args)
    except Exception as error:
        # Better a visitor who waits than a photo that nobody works on.
        logger.error("%s does not take %s%r: %s", settings.TASK_QUEUE, task.__name__, args, error)
        run_now(task, *args)


def check_task_queue(app_configs, **kwargs):
    queue, broker = settings.TASK_QUEUE, settings.BROKER
    if queue not in QUEUES:
        return [
            Error(
                f"TASK_QUEUE is {queue!r}, which is no queue of this project.",
                hint=f"Use one of: {', '.join(sorted(QUEUES))}.",
                id="album.E001",
            )
        ]
    errors = []
    if broker not in BROKERS[queue]:
        errors.append(
            Error(
                f"TASK_QUEUE is {queue!r}, which cannot keep its tasks in {broker}.",
                hint=f"BROKER_URL must lead to: {' or '.join(BROKERS[queue])} (empty: the database).",
                id="album.E002",
            )
        )
    if settings.DIGEST_SCHEDULE and queue not in SCHEDULERS:
        errors.append(
            Error(
                f"DIGEST_SCHEDULE is set, but TASK_QUEUE {queue!r} runs nothing by the clock.",
                hint="Leave it empty and let the system run `manage.py send_digest`, by cron or a timer.",
                id="album.E003",
            )
        )
    return errors
