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

    def test_keys_that_were_used_before(self):
        self.assertEqual(settings()["SECRET_KEY_FALLBACKS"], [])
        self.assertEqual(settings(SECRET_KEY_FALLBACKS="a,b")["SECRET_KEY_FALLBACKS"], ["a", "b"])

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
        url = "postgres://memories@/memories?host=/var/run/postgresql"
        database = settings(DATABASE_URL=url)["DATABASES"]["default"]
        self.assertEqual(database["ENGINE"], "django.db.backends.postgresql")
        self.assertEqual(database["OPTIONS"]["host"], "/var/run/postgresql")
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
        self.assertEqual(settings(CACHE_PREFIX="x")["CACHES"]["default"]["KEY_PREFIX"], "x")
        with self.assertRaises(ImproperlyConfigured) as caught:
            settings(CACHE_URL="pigeon://user:secret@host/1")
        self.assertIn("pigeon", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))

    def test_caches_that_are_servers(self):
        self.enterContext(mock.patch("memories.env.find_spec"))
        for url in ("redis://:p%40ss@10.0.0.7:6380/0", "rediss://h/1", "unix:///run/redis.sock?db=1"):
            cache = settings(CACHE_URL=url)["CACHES"]["default"]
            self.assertEqual((cache["LOCATION"], cache["KEY_PREFIX"]), (url, "memories"))
            self.assertEqual(cache["OPTIONS"]["socket_connect_timeout"], 0.5)
        for url, place in (
            (
                "pymemcache:///run/memcached-memories/memcached.sock",
                "unix:/run/memcached-memories/memcached.sock",
            ),
            ("pymemcache://10.0.0.7:11211", "10.0.0.7:11211"),
        ):
            self.assertEqual(settings(CACHE_URL=url)["CACHES"]["default"]["LOCATION"], place)

    def test_libraries_that_are_not_installed_are_named_by_file(self):
        self.enterContext(mock.patch("memories.env.find_spec", return_value=None))
        self.refuse("requirements-redis.txt", CACHE_URL="redis://h")
        self.refuse("requirements-memcached.txt", CACHE_URL="pymemcache://h")
        self.refuse("requirements-s3.txt", AWS_STORAGE_BUCKET_NAME="uploads")
        for queue in ("django_q", "celery", "huey", "rq", "django_tasks"):
            self.refuse(f"TASK_QUEUE={queue} needs what requirements-{queue}.txt", TASK_QUEUE=queue)
            self.assertTrue((SETTINGS.parents[1] / f"requirements-{queue}.txt").is_file())

    def test_brokers(self):
        for url, kind in (
            ("", "database"),
            ("redis://:p@h:6379/0", "redis"),
            ("rediss://h", "redis"),
            ("amqp://u:p@h:5672/v", "rabbitmq"),
            ("amqps://h", "rabbitmq"),
        ):
            self.assertEqual(settings(BROKER_URL=url)["BROKER"], kind)
        with self.assertRaises(ImproperlyConfigured) as caught:
            settings(BROKER_URL="pigeon://user:secret@host/1")
        self.assertIn("pigeon", str(caught.exception))
        self.assertNotIn("secret", str(caught.exception))

    def test_schedules(self):
        for value in ("", "* * * * *", "0 6 * * 1-5", "*/5,7 0-12/2 1 1 0"):
            self.assertEqual(settings(DIGEST_SCHEDULE=value)["DIGEST_SCHEDULE"], value)
        self.refuse("five fields", DIGEST_SCHEDULE="@daily")
        self.refuse("'60' is no minute; use numbers from 0 to 59", DIGEST_SCHEDULE="60 6 * * *")
        self.refuse("'mon' is no weekday", DIGEST_SCHEDULE="0 6 * * mon")
        self.refuse("no hour", DIGEST_SCHEDULE="0 */0 * * *")

    def test_nothing_of_a_queue_that_is_not_chosen(self):
        got = settings(TASK_QUEUE="none", BROKER_URL="redis://h")
        names = {name for name in got if name.startswith(("Q_", "CELERY", "HUEY", "RQ", "TASKS"))}
        self.assertEqual(names, set())
        self.assertEqual(len(got["INSTALLED_APPS"]), 7)

    def test_django_q(self):
        self.enterContext(mock.patch("memories.env.find_spec"))
        got = settings(TASK_QUEUE="django_q", TASK_WORKERS="3")["Q_CLUSTER"]
        self.assertEqual((got["orm"], got["workers"], got["recycle"]), ("default", 3, 0))
        self.assertGreater(got["retry"], got["timeout"])
        got = settings(TASK_QUEUE="django_q", BROKER_URL="redis://h:1")["Q_CLUSTER"]
        self.assertEqual(got["redis"], "redis://h:1")
        self.assertNotIn("orm", got)

    def test_huey(self):
        self.enterContext(mock.patch("memories.env.find_spec"))
        got = settings(TASK_QUEUE="huey", BROKER_URL="redis://h:1")["HUEY"]
        self.assertEqual((got["url"], got["immediate"]), ("redis://h:1", False))
        got = settings(TASK_QUEUE="huey", DATABASE_URL="sqlite:////srv/data/site.sqlite3")["HUEY"]
        self.assertEqual(got["filename"], "/srv/data/site.huey.sqlite3")
        got = settings(TASK_QUEUE="huey", DATABASE_URL="postgres://ada@%2Frun%2Fpg/album")["HUEY"]
        self.assertEqual(got["huey_class"], "huey.PostgresHuey")
        self.assertEqual((got["dbname"], got["user"], got["host"]), ("album", "ada", "/run/pg"))

    def test_celery(self):
        self.enterContext(mock.patch("memories.env.find_spec"))
        got = settings(TASK_QUEUE="celery", BROKER_URL="redis://h:1")
        self.assertEqual(got["CELERY_BROKER_URL"], "redis://h:1")
        self.assertGreater(
            got["CELERY_BROKER_TRANSPORT_OPTIONS"]["visibility_timeout"], got["CELERY_TASK_TIME_LIMIT"]
        )
        got = settings(TASK_QUEUE="celery", BROKER_URL="amqp://h")
        self.assertEqual(got["CELERY_BROKER_TRANSPORT_OPTIONS"], {"confirm_publish": True})

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

    def test_a_bucket(self):
        self.enterContext(mock.patch("memories.env.find_spec"))
        self.assertIn("FileSystemStorage", settings()["STORAGES"]["default"]["BACKEND"])
        got = settings(
            AWS_STORAGE_BUCKET_NAME="uploads",
            AWS_S3_ENDPOINT_URL="https://s3.example",
            AWS_LOCATION="album",
            AWS_QUERYSTRING_AUTH="0",
        )["STORAGES"]["default"]
        self.assertEqual(got["BACKEND"], "storages.backends.s3.S3Storage")
        options = got["OPTIONS"]
        self.assertEqual((options["bucket_name"], options["location"]), ("uploads", "album"))
        self.assertEqual(options["endpoint_url"], "https://s3.example")
        self.assertIs(options["querystring_auth"], False)
        self.assertIs(options["file_overwrite"], False)
