from unittest import mock

from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import TestCase, override_settings
from django.urls import reverse

from album.models import Album, Digest, DigestRun, Photo
from album.tests.pictures import picture
from album.tests.test_upload import UploadCase


class PageTests(UploadCase):
    def test_home_lists_albums_with_their_newest_thumbnail(self):
        self.upload(picture(size=(60, 40)))
        self.upload(picture(size=(60, 40)))
        Photo.objects.create(album=self.album, original="original/x.jpg")
        Album.objects.create(title="Empty one")
        with self.assertNumQueries(1):
            response = self.client.get("/")
        self.assertContains(response, "3 photos")
        # The newest album comes first.
        self.assertRegex(response.content.decode(), r"(?s)Empty one.*Beach")
        newest = self.album.photos.filter(status="done").first()
        self.assertContains(response, newest.thumbnail.url)

    def test_home_without_albums(self):
        Album.objects.all().delete()
        self.assertContains(self.client.get("/"), "There is no album yet")

    def test_making_an_album_leads_to_its_upload_form(self):
        response = self.client.post(reverse("new_album"), {"title": "Alps"})
        album = Album.objects.get(title="Alps")
        self.assertRedirects(response, reverse("upload", args=[album.pk]))
        self.assertEqual(self.client.post(reverse("new_album"), {"title": ""}).status_code, 422)

    def test_photo_pages_lead_to_their_neighbours(self):
        first, second, third = (
            Photo.objects.create(album=self.album, original=f"original/{n}.jpg") for n in range(3)
        )
        response = self.client.get(second.get_absolute_url())
        self.assertContains(response, f'rel="prev" href="{third.get_absolute_url()}"')
        self.assertContains(response, f'rel="next" href="{first.get_absolute_url()}"')
        self.assertNotContains(self.client.get(third.get_absolute_url()), 'rel="prev"')

    def test_long_albums_have_pages(self):
        Photo.objects.bulk_create(Photo(album=self.album, original=f"original/{n}.jpg") for n in range(50))
        self.assertContains(self.client.get(self.album.get_absolute_url()), "Page 1 of 2")
        self.assertContains(self.client.get(self.album.get_absolute_url() + "?page=2"), "Page 2 of 2")

    def test_titles_are_escaped(self):
        Album.objects.create(title="<script>alert(1)</script>")
        self.assertNotContains(self.client.get("/"), "<script>alert")

    def test_not_found_has_a_page(self):
        response = self.client.get("/nowhere/")
        self.assertContains(response, "not in the album", status_code=404)

    def test_a_broken_page_says_so_without_help_from_anything_else(self):
        self.client.raise_request_exception = False
        with mock.patch("album.views.render", side_effect=RuntimeError), self.assertLogs("django.request"):
            response = self.client.get("/")
        self.assertContains(response, "Something went wrong", status_code=500)

    def test_browsers_that_ask_for_the_icon_of_old_get_it(self):
        self.assertEqual(self.client.get("/favicon.ico").url, "/static/album/favicon.svg")


class CacheTests(UploadCase):
    def album_page(self):
        return self.client.get(self.album.get_absolute_url())

    def test_the_second_visitor_gets_the_page_from_the_cache(self):
        self.assertEqual(self.album_page()["X-Cache"], "miss")
        with self.assertNumQueries(1):
            response = self.album_page()
        self.assertEqual(response["X-Cache"], "hit")

    def test_browsers_must_ask_again_and_are_told_that_nothing_changed(self):
        response = self.album_page()
        self.assertEqual(response["Cache-Control"], "no-cache")
        self.assertFalse(response.has_header("Expires"))
        again = self.client.get(self.album.get_absolute_url(), headers={"If-None-Match": response["ETag"]})
        self.assertEqual(again.status_code, 304)

    def test_no_change_is_ever_hidden_by_the_cache(self):
        self.album_page()
        self.upload(picture(size=(60, 40)), caption="New here")
        self.assertContains(self.album_page(), "New here")
        photo = self.album.photos.get()
        photo.caption = "Another name"
        photo.save()
        self.assertContains(self.album_page(), "Another name")
        self.album.refresh_from_db()
        self.album.title = "Another title"
        self.album.save()
        self.assertContains(self.album_page(), "Another title")
        photo.delete()
        self.assertContains(self.album_page(), "still empty")

    def test_the_end_of_the_work_is_a_change(self):
        with mock.patch("album.views.enqueue"):
            self.upload(picture(size=(60, 40)))
        self.assertContains(self.album_page(), "Getting ready")
        photo = self.album.photos.get()
        photo.status = Photo.Status.FAILED
        photo.save()
        self.assertContains(self.album_page(), "could not be read")


class StatusTests(UploadCase):
    def status(self, photo):
        response = self.client.get(reverse("photo_status", args=[photo.pk]))
        self.assertIn("no-store", response["Cache-Control"])
        return response.json()

    def test_from_processing_to_done(self):
        with mock.patch("album.views.enqueue") as enqueue:
            self.upload(picture(size=(60, 40)))
        photo = self.album.photos.get()
        page = photo.get_absolute_url()
        self.assertEqual(self.status(photo), {"id": photo.pk, "status": "processing", "page": page})
        for shown in (page, self.album.get_absolute_url()):
            response = self.client.get(shown)
            self.assertContains(response, reverse("photo_status", args=[photo.pk]))
            self.assertContains(response, '<noscript><meta http-equiv="refresh" content="5"></noscript>')
        task, *args = enqueue.call_args.args
        task(*args)
        photo.refresh_from_db()
        self.assertEqual(
            self.status(photo),
            {
                "id": photo.pk,
                "status": "done",
                "page": page,
                "display": photo.display.url,
                "thumbnail": photo.thumbnail.url,
            },
        )
        for shown in (page, self.album.get_absolute_url()):
            self.assertNotContains(self.client.get(shown), "refresh")

    def test_failed(self):
        photo = Photo.objects.create(album=self.album, original="original/x.jpg", status="failed")
        self.assertEqual(self.status(photo)["status"], "failed")

    def test_unknown(self):
        self.assertEqual(self.client.get("/photos/4711/status/").status_code, 404)


class MediaTests(UploadCase):
    def setUp(self):
        super().setUp()
        self.upload(picture(size=(60, 40)))
        self.photo = self.album.photos.get()

    def test_our_images_are_served_as_images_and_kept_by_browsers(self):
        for url in (self.photo.display.url, self.photo.thumbnail.url):
            response = self.client.get(url)
            self.assertEqual(response["Content-Type"], "image/jpeg")
            self.assertEqual(response["X-Content-Type-Options"], "nosniff")
            self.assertIn("immutable", response["Cache-Control"])
            self.assertTrue(response.getvalue().startswith(b"\xff\xd8"))

    def test_nothing_else_is(self):
        for url in (
            self.photo.original.url,
            "/media/display/" + "0" * 32 + ".jpg",
            "/media/display/../original/" + self.photo.key + ".jpg",
            "/media/display/%2e%2e/%2e%2e/settings.py",
            "/media/",
        ):
            self.assertEqual(self.client.get(url).status_code, 404, url)

    @override_settings(SERVE_MEDIA=False)
    def test_not_where_a_web_server_does_it(self):
        self.assertEqual(self.client.get(self.photo.display.url).status_code, 404)


class AdminTests(TestCase):
    def test_every_list_opens(self):
        cache.clear()
        album = Album.objects.create(title="Beach")
        photo = Photo.objects.create(album=album, original="original/x.jpg")
        Digest.objects.create(day="2026-01-02", new_photos=1, new_albums=1, text="One")
        self.client.force_login(User.objects.create_superuser("root"))
        DigestRun.objects.create(host="web1", pid=7)
        for model in ("album", "photo", "digest", "digestrun"):
            url = reverse(f"admin:album_{model}_changelist")
            self.assertEqual(self.client.get(url).status_code, 200)
        url = reverse("admin:album_photo_change", args=[photo.pk])
        self.assertContains(self.client.get(url), "Processing")
