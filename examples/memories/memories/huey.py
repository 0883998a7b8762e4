"""What Huey runs: `manage.py run_huey`, with `--no-periodic` on all servers but one."""

from album import tasks
from django.conf import settings
from huey import crontab
from huey.contrib.djhuey import HUEY, db_periodic_task, db_task


@db_task()
def run(name, *args):
    tasks.run(name, *args)


if settings.DIGEST_SCHEDULE:

    @db_periodic_task(crontab(*settings.DIGEST_SCHEDULE.split(), strict=True))
    def digest():
        tasks.send_digest()


def create_tables(**kwargs):
    """Where a database is the broker, Huey keeps tasks in tables of its own."""
    if hasattr(HUEY.storage, "initialize_schema"):
        HUEY.storage.initialize_schema()
