from datetime import datetime, timedelta, timezone
from io import StringIO

from django.core.management import call_command
from django.test import TestCase, override_settings

from album import tasks
from album.models import Album, Digest, DigestRun, Photo

NOW = datetime(2026, 5, 20, 23, 30, tzinfo=timezone.utc)


class DigestTests(TestCase):
    def setUp(self):
        self.album = self.add(Album, 3, "created_at", title="Beach")

    def add(self, model, hours, field, **values):
        row = model.objects.create(**values)
        model.objects.filter(pk=row.pk).update(**{field: NOW - timedelta(hours=hours)})
        return row

    def photo(self, hours):
        self.add(Photo, hours, "uploaded_at", album=self.album, original="original/x.jpg")

    def test_counts_the_last_day_and_nothing_older(self):
        for hours in (1, 23, 25, 300):
            self.photo(hours)
        digest = tasks.send_digest(NOW)
        self.assertEqual((digest.new_photos, digest.new_albums), (2, 1))
        self.assertEqual(str(digest), "2026-05-20: 2 new photos and 1 new album in the last day")

    def test_twice_a_day_is_still_one_digest(self):
        tasks.send_digest(NOW)
        self.photo(1)
        tasks.send_digest(NOW)
        self.assertEqual(Digest.objects.get().new_photos, 1)
        tasks.send_digest(NOW + timedelta(days=1))
        self.assertEqual(Digest.objects.count(), 2)
        self.assertEqual(DigestRun.objects.count(), 3)

    @override_settings(TIME_ZONE="Europe/Vienna")
    def test_the_day_is_the_sites_own(self):
        self.assertEqual(tasks.send_digest(NOW).day.isoformat(), "2026-05-21")

    def test_the_command_prints_it(self):
        out = StringIO()
        call_command("send_digest", stdout=out)
        self.assertIn("0 new photos and 0 new albums", out.getvalue())
        self.assertEqual(Digest.objects.count(), 1)


class SeedTests(TestCase):
    def test_twice_is_the_same_as_once(self):
        out = StringIO()
        for _ in range(2):
            with self.captureOnCommitCallbacks(execute=True):
                call_command("seed_demo", stdout=out)
        album = Album.objects.get()
        self.assertEqual(album.photos.filter(status="done").count(), 8)
        self.assertIn("nothing to do", out.getvalue())

    def test_an_album_of_somebody_is_left_alone(self):
        Album.objects.create(title="Mine")
        call_command("seed_demo", stdout=StringIO())
        self.assertEqual(Album.objects.count(), 1)
        self.assertFalse(Photo.objects.exists())
