"""The digest's place in the schedule of django-q2, which works it off by `manage.py qcluster`."""

from django.conf import settings
from django.db import transaction
from django_q.models import Schedule


@transaction.atomic
def schedule_digest(**kwargs):
    """One row in the database, whatever the number of servers: kept in step after each migrate."""
    wanted = {"name": "digest", "func": "album.tasks.send_digest", "cron": settings.DIGEST_SCHEDULE}
    if Schedule.objects.filter(**wanted).count() == 1:
        return
    Schedule.objects.filter(name="digest").delete()
    if settings.DIGEST_SCHEDULE:
        schedule = Schedule(schedule_type=Schedule.CRON, **wanted)
        schedule.next_run = schedule.calculate_next_run()
        schedule.save()
