import os
import runpy
from pathlib import Path
from unittest import mock

from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase

SETTINGS = Path(__file__).resolve().parents[2] / "memories" / "settings.py"


def settings(**environment):
    """The settings that a process with just this environment would have."""
    with mock.patch.dict(os.environ, {"SECRET_KEY": "x" * 60, **environment}, clear=True):
        return runpy.run_path(str(SETTINGS))


class SettingsTests(SimpleTestCase):
    def refuse(self, message, **environment):
        with self.assertRaisesRegex(ImproperlyConfigured, message):
            settings(**environment)

    def test_nothing_set(self):
        got = settings()
        self.assertIs(got["DEBUG"], False)
        self.assertEqual(got["ALLOWED_HOSTS"], [])
        self.assertEqual(got["DATABASES"]["default"]["NAME"], str(SETTINGS.parents[1] / "db.sqlite3"))
        self.assertIs(got["SERVE_MEDIA"], False)
        self.assertIs(got["SESSION_COOKIE_SECURE"], False)
        self.assertNotIn("SECURE_PROXY_SSL_HEADER", got)
        self.assertIn("CompressedManifest", got["STORAGES"]["staticfiles"]["BACKEND"])

    def test_a_secret_is_required_unless_debugging(self):
        self.refuse("SECRET_KEY", SECRET_KEY="")
        self.assertTrue(settings(SECRET_KEY="", DEBUG="1")["SECRET_KEY"])

    def test_flags(self):
        for value in ("1", "true", "True", "YES", " on "):
            self.assertIs(settings(DEBUG=value)["DEBUG"], True, value)
        for value in ("", "0", "false", "No", "off"):
            self.assertIs(settings(DEBUG=value)["DEBUG"], False, value)
        self.refuse("DEBUG must be true or false, not 'flase'", DEBUG="flase")

    def test_lists_and_numbers(self):
        got = settings(ALLOWED_HOSTS=" a.example, b.example ,", CONN_MAX_AGE="60")
        self.assertEqual(got["ALLOWED_HOSTS"], ["a.example", "b.example"])
        self.assertEqual(got["DATABASES"]["default"]["CONN_MAX_AGE"], 60)
        self.assertIs(got["DATABASES"]["default"]["CONN_HEALTH_CHECKS"], True)
        self.refuse("CONN_MAX_AGE must be a whole number", CONN_MAX_AGE="a minute")

    def test_sqlite(self):
        database = settings(DATABASE_URL="sqlite:////srv/data/site.sqlite3")["DATABASES"]["default"]
        self.assertEqual(database["ENGINE"], "django.db.backends.sqlite3")
        self.assertEqual(database["NAME"], "/srv/data/site.sqlite3")
        self.assertIn("journal_mode=WAL", database["OPTIONS"]["init_command"])

    def test_postgres_over_a_unix_socket(self):
        url = "postgres://memories@%2Fvar%2Frun%2Fpostgresql/memories"
        database = settings(DATABASE_URL=url)["DATABASES"]["default"]
        self.assertEqual(database["ENGINE"], "django.db.backends.postgresql")
        self.assertEqual(database["HOST"], "/var/run/postgresql")
        self.assertEqual((database["USER"], database["NAME"]), ("memories", "memories"))
        self.assertEqual(database["OPTIONS"]["connect_timeout"], 5)

    def test_postgres_elsewhere(self):
        url = "postgres://ada:p%40ss@db.example:5433/album?sslmode=require&connect_timeout=2"
        database = settings(DATABASE_URL=url)["DATABASES"]["default"]
        self.assertEqual((database["HOST"], database["PORT"]), ("db.example", 5433))
        self.assertEqual((database["USER"], database["PASSWORD"]), ("ada", "p@ss"))
        self.assertEqual(database["OPTIONS"]["sslmode"], "require")
        self.assertEqual(int(database["OPTIONS"]["connect_timeout"]), 2)

    def test_https(self):
        got = settings(SITE_URL="https://memories.example/", CSRF_TRUSTED_ORIGINS="https://m.example")
        self.assertEqual(got["SECURE_PROXY_SSL_HEADER"], ("HTTP_X_FORWARDED_PROTO", "https"))
        self.assertEqual(got["CSRF_TRUSTED_ORIGINS"], ["https://m.example", "https://memories.example"])
        for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
            self.assertIs(got[name], True, name)
        self.assertEqual(got["SECURE_HSTS_SECONDS"], 3600)
        got = settings(SITE_URL="https://a.example", SECURE_HSTS_SECONDS="0", SECURE_SSL_REDIRECT="no")
        self.assertEqual(got["SECURE_HSTS_SECONDS"], 0)
        self.assertIs(got["SECURE_SSL_REDIRECT"], False)

    def test_cache(self):
        self.assertIn("LocMem", settings()["CACHES"]["default"]["BACKEND"])
        with self.assertRaises(ImproperlyConfigured) as caught:
            settings(CACHE_URL="pigeon://user:secret@host/1")
        self.assertIn("pigeon", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))

    def test_files_and_the_rest(self):
        got = settings(
            STATIC_ROOT="/srv/static",
            STATIC_URL="https://cdn.example/s/",
            MEDIA_ROOT="/srv/media",
            MEDIA_URL="/m/",
            SERVE_MEDIA="1",
            DATA_UPLOAD_MAX_MEMORY_SIZE="1000",
            LANGUAGE_CODE="de",
            TIME_ZONE="Europe/Vienna",
            TASK_QUEUE="none",
            RELEASE="7",
        )
        self.assertEqual((got["STATIC_ROOT"], got["STATIC_URL"]), ("/srv/static", "https://cdn.example/s/"))
        self.assertEqual((got["MEDIA_ROOT"], got["MEDIA_URL"]), ("/srv/media", "/m/"))
        self.assertIs(got["SERVE_MEDIA"], True)
        self.assertEqual(got["DATA_UPLOAD_MAX_MEMORY_SIZE"], 1000)
        self.assertEqual((got["LANGUAGE_CODE"], got["TIME_ZONE"]), ("de", "Europe/Vienna"))
        self.assertEqual((got["TASK_QUEUE"], got["RELEASE"]), ("none", "7"))
