import shutil
import tempfile

from django.conf import settings
from django.test.runner import DiscoverRunner
from django.test.utils import override_settings


class Runner(DiscoverRunner):
    """Keeps uploads of the tests in a folder of their own and needs no collectstatic."""

    def setup_test_environment(self, **kwargs):
        super().setup_test_environment(**kwargs)
        self.folder = tempfile.mkdtemp(prefix="memories-test-")
        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        self.overrides = override_settings(
            MEDIA_ROOT=self.folder,
            STATIC_ROOT=self.folder,
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
