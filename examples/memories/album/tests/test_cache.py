"""The site while its cache is down: nobody listens at these addresses."""

import pickle
import time
from importlib.util import find_spec
from unittest import mock

from django.core.cache import cache, caches
from django.test import override_settings
from memories import cache as ours
from memories import env

from album.tests.test_upload import UploadCase


def at(url):
    with mock.patch.dict("os.environ", {"CACHE_URL": url}):
        return {"default": env.cache("CACHE_URL", "memories")}


class DownTests(UploadCase):
    def servers(self):
        """With each kind of server, as a process that has not noticed yet."""
        for library, url in (
            ("redis", "redis://:secret@127.0.0.1:1/0"),
            ("pymemcache", "pymemcache://127.0.0.1:1"),
            ("pymemcache", "pymemcache:///nowhere/memcached.sock"),
        ):
            if not find_spec(library):
                self.skipTest(f"{library} is not installed")
            with self.subTest(url), override_settings(CACHES=at(url)):
                ours.Forgiving.rests_until = 0
                yield
        ours.Forgiving.rests_until = 0

    def test_reads_miss_and_writes_are_dropped(self):
        for _ in self.servers():
            with self.assertLogs("memories.cache", "WARNING") as logs:
                cache.set("a", 1)
                self.assertIsNone(cache.get("a"))
                self.assertEqual(cache.get("a", 7), 7)
                self.assertEqual(cache.get_many(["a"]), {})
                self.assertEqual(cache.set_many({"a": 1}), ["a"])
                self.assertFalse(cache.add("a", 1))
                self.assertFalse(cache.delete("a"))
                self.assertFalse(cache.touch("a"))
                self.assertNotIn("a", cache)
                self.assertEqual(cache.get_or_set("a", lambda: 8), 8)
                cache.delete_many(["a"])
                cache.clear()
                self.assertRaises(ValueError, cache.incr, "a")
                self.assertRaises(ValueError, cache.decr, "a")
            self.assertEqual(len(logs.output), 1)
            self.assertNotIn("secret", logs.output[0])

    def test_pages_are_made_anew(self):
        for _ in self.servers():
            with self.assertLogs("memories.cache", "WARNING"):
                for _ in range(2):
                    response = self.client.get(self.album.get_absolute_url())
                    self.assertEqual((response.status_code, response["X-Cache"]), (200, "miss"))

    def test_the_health_page_tells(self):
        for _ in self.servers():
            with self.assertLogs("memories", "WARNING"):
                response = self.client.get("/health/")
            self.assertEqual(response.status_code, 200)
            self.assertEqual(response.json()["checks"]["cache"], "error")

    def test_it_is_asked_again_after_a_while(self):
        for _ in self.servers():
            for later in (0, ours.REST + 1):
                with (
                    mock.patch("time.monotonic", return_value=time.monotonic() + later),
                    self.assertLogs("memories.cache", "WARNING"),
                ):
                    cache.get("a")

    def test_mistakes_are_not_forgiven(self):
        for _ in self.servers():
            mistake = (AttributeError, pickle.PicklingError)
            with self.assertRaises(mistake), self.assertNoLogs("memories.cache"):
                cache.set("a", lambda: "cannot be pickled")

    def tearDown(self):
        caches.close_all()
