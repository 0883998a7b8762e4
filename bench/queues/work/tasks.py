"""The task, and how each queue is given it."""

import os
import time
from collections.abc import Callable

import redis
from celery import Celery
from django.conf import settings
from django_q.tasks import async_task
from huey import RedisHuey
from rq import Queue

from work.models import Done


def do(number: int, seconds: float) -> None:
    """Takes its time, and then leaves a row."""
    time.sleep(seconds)
    Done.objects.create(number=number, release=os.environ["RELEASE"])


app = Celery("work", broker=settings.REDIS)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=os.environ.get("CELERY_ACKS") == "late",
    task_reject_on_worker_lost=os.environ.get("CELERY_ACKS") == "late",
    worker_prefetch_multiplier=1 if os.environ.get("CELERY_ACKS") == "late" else 4,
    broker_transport_options={"visibility_timeout": 60},
    broker_connection_retry_on_startup=True,
)
huey = RedisHuey("work", url=settings.REDIS, results=False)
celery_do = app.task(do, name="do")
huey_do = huey.task()(do)


def submitter(queue: str) -> Callable[[int, float], object]:
    """How a task is handed to a queue."""
    if queue == "rq":
        rq = Queue("work", connection=redis.Redis.from_url(settings.REDIS))
        return lambda number, seconds: rq.enqueue(do, number, seconds, result_ttl=0)
    return {
        "django-q2": lambda number, seconds: async_task("work.tasks.do", number, seconds),
        "celery": lambda number, seconds: celery_do.delay(number, seconds),
        "huey": lambda number, seconds: huey_do(number, seconds),
    }[queue]
