"""For consumers that know nothing of Django: `celery -A queues.worker`, `huey_consumer queues.worker.huey`."""

import django

django.setup()

from work.tasks import app, huey  # noqa: E402

__all__ = ["app", "huey"]
