from importlib.util import find_spec
from unittest import mock

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import TestCase, override_settings
from memories import __version__


# The tests' own broker is none: see memories/testing.py.
@override_settings(BROKER="database")
class HealthTests(TestCase):
    @override_settings(RELEASE="20260520-1200")
    def test_all_is_well(self):
        response = self.client.get("/health/")
        self.assertEqual(response.status_code, 200)
        self.assertIn("no-store", response["Cache-Control"])
        self.assertEqual(
            response.json(),
            {
                "status": "ok",
                "checks": {"database": "ok", "cache": "ok"},
                "queue": settings.TASK_QUEUE,
                "version": __version__,
                "release": "20260520-1200",
            },
        )

    def test_database_down(self):
        trouble = OperationalError("connection to server at 10.0.0.7 failed")
        with (
            mock.patch.object(connection, "cursor", side_effect=trouble),
            self.assertLogs("memories.health", "ERROR"),
            self.assertLogs("django.request", "ERROR"),
        ):
            response = self.client.get("/health/")
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json()["status"], "error")
        self.assertEqual(response.json()["checks"], {"database": "error", "cache": "ok"})
        self.assertNotContains(response, "10.0.0.7", status_code=503)

    def test_cache_down_is_told_but_takes_nobody_out_of_service(self):
        for broken in ({"side_effect": ConnectionError("no cache")}, {"return_value": None}):
            with (
                mock.patch.object(type(cache._connections["default"]), "get", **broken),
                self.assertLogs("memories.health", "ERROR"),
            ):
                response = self.client.get("/health/")
            self.assertEqual(response.status_code, 200)
            self.assertEqual(response.json()["status"], "degraded")
            self.assertEqual(response.json()["checks"]["cache"], "error")

    @override_settings(TASK_QUEUE="rq", BROKER="redis", BROKER_URL="redis://:secret@127.0.0.1:1/0")
    def test_broker_down_is_told_but_takes_nobody_out_of_service(self):
        if not find_spec("redis"):
            self.skipTest("redis is not installed")
        with self.assertLogs("memories.health", "ERROR") as logs:
            response = self.client.get("/health/")
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["status"], "degraded")
        self.assertEqual(response.json()["checks"], {"database": "ok", "cache": "ok", "broker": "error"})
        self.assertNotIn("secret", str(logs.output))

    @override_settings(TASK_QUEUE="celery", BROKER="rabbitmq", BROKER_URL="amqp://me:secret@127.0.0.1:1/x")
    def test_rabbitmq_down(self):
        if not find_spec("celery"):
            self.skipTest("celery is not installed")
        with self.assertLogs("memories.health", "ERROR") as logs:
            self.assertEqual(self.client.get("/health/").json()["status"], "degraded")
        self.assertNotIn("secret", str(logs.output))

    @override_settings(SECURE_SSL_REDIRECT=True)
    def test_answers_without_https(self):
        self.assertEqual(self.client.get("/health/").status_code, 200)
        self.assertEqual(self.client.get("/version/").status_code, 200)
        self.assertEqual(self.client.get("/").status_code, 301)


class VersionTests(TestCase):
    @override_settings(RELEASE="20260520-1200", GIT_COMMIT="0123abc")
    def test_says_what_runs(self):
        response = self.client.get("/version/")
        self.assertEqual(response["Content-Type"], "text/plain; charset=utf-8")
        lines = response.content.decode().splitlines()
        self.assertEqual(lines, [f"version {__version__}", "release 20260520-1200", "commit 0123abc"])

    @override_settings(RELEASE="", GIT_COMMIT="")
    def test_says_nothing_that_it_does_not_know(self):
        self.assertEqual(self.client.get("/version/").content.decode(), f"version {__version__}\n")
