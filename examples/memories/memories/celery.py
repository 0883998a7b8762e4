"""What Celery runs: `celery -A memories worker`, and `celery -A memories beat` for the digest."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "memories.settings")

app = Celery("memories")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(name="album.run")
def run(name, *args):
    from album import tasks  # Models can be imported only once Django is set up.

    tasks.run(name, *args)
