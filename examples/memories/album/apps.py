from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register
from django.db.models.signals import post_migrate


class AlbumConfig(AppConfig):
    name = "album"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from album import queue, signals  # noqa: F401  (the import connects the signals)

        register(queue.check_task_queue)
        if settings.TASK_QUEUE == "django_q":
            from memories.django_q import schedule_digest

            post_migrate.connect(schedule_digest, sender=self)
        elif settings.TASK_QUEUE == "huey":
            # The consumer runs what it knows: the import registers it.
            from memories.huey import create_tables

            post_migrate.connect(create_tables, sender=self)
