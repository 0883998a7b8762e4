from django.apps import AppConfig
from django.core.checks import register


class AlbumConfig(AppConfig):
    name = "album"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from album import queue, signals  # noqa: F401  (the import connects the signals)

        register(queue.check_task_queue)
