import logging
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.test.runner import DiscoverRunner
from django.test.utils import override_settings


def at_once(queue):
    """Tasks go through the queue's own code, but need neither its broker nor a worker."""
    if queue == "django_q":
        from django_q.conf import Conf

        Conf.SYNC = True
    elif queue == "celery":
        from memories.celery import app

        app.conf.task_always_eager = True
    elif queue == "huey":
        from huey.contrib.djhuey import HUEY

        HUEY.immediate = True
    elif queue == "rq":
        from django_rq import queues
        from fakeredis import FakeRedis  # requirements-test.txt

        settings.RQ_QUEUES["default"]["ASYNC"] = False
        queues.get_connection = lambda *args: FakeRedis()
    elif queue == "django_tasks":
        settings.TASKS["default"]["BACKEND"] = "django_tasks.backends.immediate.ImmediateBackend"


class Runner(DiscoverRunner):
    """Keeps uploads of the tests in a folder of their own and needs no collectstatic."""

    def setup_test_environment(self, **kwargs):
        super().setup_test_environment(**kwargs)
        # Pages that are refused on purpose would each print a line.
        logging.getLogger("django.request").setLevel(logging.ERROR)
        self.folder = Path(tempfile.mkdtemp(prefix="memories-test-"))
        for name in ("media", "static"):
            (self.folder / name).mkdir()
        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        self.overrides = override_settings(
            MEDIA_ROOT=str(self.folder / "media"),
            STATIC_ROOT=str(self.folder / "static"),
            SERVE_MEDIA=True,
            SECURE_SSL_REDIRECT=False,
            STORAGES={**settings.STORAGES, "staticfiles": plain},
            PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        )
        self.overrides.enable()
        at_once(settings.TASK_QUEUE)

    def teardown_test_environment(self, **kwargs):
        self.overrides.disable()
        shutil.rmtree(self.folder)
        super().teardown_test_environment(**kwargs)
