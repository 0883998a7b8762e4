import logging
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.test.runner import DiscoverRunner
from django.test.utils import override_settings


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

    def teardown_test_environment(self, **kwargs):
        self.overrides.disable()
        shutil.rmtree(self.folder)
        super().teardown_test_environment(**kwargs)
