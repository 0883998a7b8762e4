"""Uploads in object storage: what the pages refer to. It needs requirements-s3.txt, and no service."""

from importlib.util import find_spec
from unittest import mock, skipUnless
from urllib.parse import parse_qs, urlsplit

from django.core.files.storage import storages
from django.test import SimpleTestCase

from album.tests.test_settings import settings

BUCKET = {
    "AWS_STORAGE_BUCKET_NAME": "uploads",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "a secret of the bucket",
    "AWS_S3_ENDPOINT_URL": "https://s3.example",
    "AWS_S3_REGION_NAME": "eu-central-1",
    "AWS_S3_ADDRESSING_STYLE": "path",
    "AWS_LOCATION": "album",
}


@skipUnless(find_spec("storages"), "requirements-s3.txt is not installed")
class BucketTests(SimpleTestCase):
    def url(self, **environment):
        storage = storages.create_storage(settings(**BUCKET, **environment)["STORAGES"]["default"])
        return urlsplit(storage.url("display/a.jpg"))

    def test_urls_are_signed(self):
        url = self.url()
        self.assertEqual((url.scheme, url.netloc), ("https", "s3.example"))
        self.assertEqual(url.path, "/uploads/album/display/a.jpg")
        self.assertEqual(parse_qs(url.query)["X-Amz-Algorithm"], ["AWS4-HMAC-SHA256"])
        self.assertNotIn("secret", url.query)

    def test_urls_of_a_public_bucket_are_plain(self):
        self.assertEqual(self.url(AWS_QUERYSTRING_AUTH="0").query, "")

    def test_urls_of_a_cdn_are_its_own(self):
        url = self.url(AWS_S3_CUSTOM_DOMAIN="cdn.example")
        self.assertEqual(url.geturl(), "https://cdn.example/album/display/a.jpg")

    def test_an_upload_never_replaces_another(self):
        storage = storages.create_storage(settings(**BUCKET)["STORAGES"]["default"])
        with mock.patch.object(type(storage), "exists", lambda self, name: name == "a.jpg"):
            self.assertNotEqual(storage.get_available_name("a.jpg"), "a.jpg")
