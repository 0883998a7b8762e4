"""What Django's own tasks framework runs: `manage.py db_worker`."""

try:
    from django.tasks import task  # Django 6
except ImportError:
    from django_tasks import task

from album import tasks


@task
def run(name, *args):
    tasks.run(name, *args)
