from unittest import mock

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase, override_settings
from django.urls import reverse
from PIL import Image

from album import images, queue, tasks
from album.models import Album, Photo
from album.tests.pictures import cut_off, picture, sideways


class UploadCase(TestCase):
    def setUp(self):
        cache.clear()
        self.album = Album.objects.create(title="Beach")

    def upload(self, *files, **fields):
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.post(reverse("upload", args=[self.album.pk]), {"photos": files, **fields})

    def open(self, file):
        with default_storage.open(file.name) as opened:
            image = Image.open(opened)
            image.load()
            return image


class UploadTests(UploadCase):
    def test_a_photo_gets_its_images_at_once_without_a_worker(self):
        response = self.upload(picture(), caption="Low tide")
        self.assertRedirects(response, self.album.get_absolute_url())
        photo = self.album.photos.get()
        self.assertEqual(photo.status, "done")
        self.assertEqual(photo.caption, "Low tide")
        self.assertEqual(self.open(photo.display).size, (1600, 1200))
        self.assertEqual(self.open(photo.thumbnail).size, (400, 300))
        self.assertEqual((photo.display_width, photo.display_height), (1600, 1200))
        self.assertEqual((photo.thumbnail_width, photo.thumbnail_height), (400, 300))

    def test_many_photos_at_once(self):
        self.upload(*[picture(f"{number}.jpg", size=(60, 40)) for number in range(5)])
        self.assertEqual(self.album.photos.filter(status="done").count(), 5)

    def test_small_photos_are_not_enlarged(self):
        self.upload(picture(size=(120, 90)))
        photo = self.album.photos.get()
        self.assertEqual(self.open(photo.display).size, (120, 90))
        self.assertEqual(self.open(photo.thumbnail).size, (120, 90))

    def test_photos_are_turned_upright_and_lose_what_the_camera_noted(self):
        self.upload(sideways())
        image = self.open(self.album.photos.get().display)
        self.assertEqual(image.size, (800, 1200))
        red, _, blue = image.getpixel((400, 100))
        self.assertGreater(red, 200)
        self.assertLess(blue, 60)
        self.assertEqual(dict(image.getexif()), {})

    def test_every_accepted_format_and_kind_of_pixel(self):
        files = [
            picture("a.png", format="PNG", mode="RGBA", color=(0, 0, 0, 0)),
            picture("b.png", format="PNG", mode="I;16", color=65535),
            picture("c.png", format="PNG", mode="LA", color=(10, 0)),
            picture("d.webp", format="WEBP"),
            picture("e.gif", format="GIF", mode="P", color=3),
            picture("f.jpg", mode="CMYK", color=(0, 0, 0, 0)),
            picture("g.jpg", mode="L", color=255),
            picture("h.png", format="PNG", mode="1", color=1),
        ]
        self.upload(*files)
        photos = list(self.album.photos.order_by("pk"))
        self.assertEqual([photo.status for photo in photos], ["done"] * len(files))
        for photo in (photos[0], photos[1], photos[2], photos[5], photos[6], photos[7]):
            # Transparent, lightest and unprinted all end as white.
            self.assertGreater(min(self.open(photo.display).getpixel((9, 9))), 250, photo.original.name)

    def test_files_are_named_by_the_site(self):
        self.upload(picture("../../etc/evil.PHP"))
        photo = self.album.photos.get()
        self.assertRegex(photo.original.name, r"^original/[0-9a-f]{32}\.jpg$")
        self.assertEqual(photo.display.name, f"display/{photo.key}.jpg")

    def test_deleting_a_photo_deletes_its_files(self):
        self.upload(picture(size=(60, 40)))
        photo = self.album.photos.get()
        names = [photo.original.name, photo.display.name, photo.thumbnail.name]
        self.assertTrue(all(default_storage.exists(name) for name in names))
        with self.captureOnCommitCallbacks(execute=True):
            self.album.delete()
        self.assertFalse(any(default_storage.exists(name) for name in names))


class RefusedUploadTests(UploadCase):
    def refused(self, *files):
        response = self.upload(*files)
        self.assertEqual(response.status_code, 422)
        self.assertFalse(Photo.objects.exists())
        return response

    def test_text_called_a_photo(self):
        response = self.refused(SimpleUploadedFile("notes.jpg", b"These are notes.", "image/jpeg"))
        self.assertContains(response, "notes.jpg is not a photo", status_code=422)

    def test_svg_and_formats_that_cameras_do_not_make(self):
        self.refused(SimpleUploadedFile("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
        self.refused(picture("x.bmp", format="BMP", size=(9, 9)))
        self.refused(picture("x.jpg", format="TIFF", size=(9, 9)))

    def test_an_empty_file_and_no_file(self):
        self.refused(SimpleUploadedFile("empty.jpg", b""))
        self.refused()

    def test_one_bad_file_among_good_ones_is_named_and_nothing_is_kept(self):
        response = self.refused(picture(), SimpleUploadedFile("bad.png", b"no"), picture())
        self.assertContains(response, "bad.png", status_code=422)
        self.assertNotContains(response, "beach.jpg", status_code=422)

    @override_settings(MAX_PHOTO_MB=0)
    def test_too_many_bytes(self):
        response = self.refused(picture())
        self.assertContains(response, "beach.jpg is too large", status_code=422)

    def test_too_many_pixels(self):
        with mock.patch.object(images, "MAX_PIXELS", 10_000):
            response = self.refused(picture(size=(200, 200)))
        self.assertContains(response, "too many pixels (200 × 200)", status_code=422)

    @override_settings(MAX_PHOTOS=2)
    def test_too_many_photos(self):
        response = self.refused(*[picture(size=(9, 9)) for _ in range(3)])
        self.assertContains(response, "at most 2 photos", status_code=422)

    def test_an_album_that_does_not_exist(self):
        self.assertEqual(self.client.get("/albums/4711/upload/").status_code, 404)

    @override_settings(UPLOADS_NEED_LOGIN=True)
    def test_only_staff_where_the_site_says_so(self):
        url = reverse("upload", args=[self.album.pk])
        response = self.upload(picture())
        self.assertRedirects(response, f"{reverse('admin:login')}?next={url}")
        self.assertFalse(Photo.objects.exists())
        self.assertEqual(self.client.get(reverse("new_album")).status_code, 302)
        self.client.force_login(User.objects.create_user("ada", is_staff=True))
        self.assertEqual(self.client.get(url).status_code, 200)


class TaskTests(UploadCase):
    def test_a_photo_that_cannot_be_read_is_marked_as_failed(self):
        with self.assertLogs("album.tasks", "ERROR"):
            response = self.upload(cut_off())
        self.assertEqual(response.status_code, 302)
        self.assertEqual(self.album.photos.get().status, "failed")
        self.assertContains(self.client.get(response.url), "could not be read")

    def test_running_it_again_changes_no_name(self):
        self.upload(picture(size=(60, 40)))
        photo = self.album.photos.get()
        tasks.make_renditions(photo.pk)
        again = Photo.objects.get()
        self.assertEqual(again.display.name, photo.display.name)
        self.assertEqual(again.thumbnail.name, photo.thumbnail.name)
        self.assertEqual(again.status, "done")

    def test_a_photo_that_is_gone_is_no_failure(self):
        with self.assertLogs("album.tasks", "WARNING"):
            tasks.make_renditions(4711)

    @override_settings(TASK_QUEUE="none")
    def test_tasks_wait_for_the_commit(self):
        ran = []
        with self.captureOnCommitCallbacks() as callbacks:
            queue.enqueue(ran.append, 7)
            self.assertEqual(ran, [])
        for callback in callbacks:
            callback()
        self.assertEqual(ran, [7])

    def test_a_task_that_fails_does_not_fail_the_request(self):
        with self.assertLogs("album.queue", "ERROR"):
            queue.run_now(int, "no number")

    def test_the_admin_makes_images_again(self):
        self.upload(picture(size=(60, 40)))
        photo = self.album.photos.get()
        Photo.objects.update(status="failed")
        self.client.force_login(User.objects.create_superuser("root"))
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post(
                reverse("admin:album_photo_changelist"),
                {"action": "make_images_again", "_selected_action": [photo.pk]},
            )
        self.assertEqual(self.album.photos.get().status, "done")
