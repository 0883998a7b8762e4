from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand
from rq import Worker


class Command(BaseCommand):
    help = "Works off the queue of RQ."

    def handle(self, *args: Any, **options: Any) -> None:
        Worker(["work"], connection=redis.Redis.from_url(settings.REDIS)).work()
