"""What RQ runs on a schedule: `manage.py rqcron memories.rqcron`, on one server."""

from album import tasks
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from rq import cron

if not settings.DIGEST_SCHEDULE:
    raise ImproperlyConfigured("rqcron has nothing to do: DIGEST_SCHEDULE is empty.")

cron.register(tasks.send_digest, queue_name="default", cron=settings.DIGEST_SCHEDULE, result_ttl=0)
