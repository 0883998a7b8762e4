"""What a worker does. Every task may be run twice: a queue may deliver it again."""

import logging
import os
import socket
from datetime import timedelta

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from album import images
from album.models import Album, Digest, DigestRun, Photo

logger = logging.getLogger(__name__)


def make_renditions(photo_id):
    """Make the display image and the thumbnail of a photo; its status tells the outcome."""
    try:
        photo = Photo.objects.get(pk=photo_id)
    except Photo.DoesNotExist:
        logger.warning("photo %s was deleted before its images were made", photo_id)
        return
    try:
        with photo.original.open("rb") as file:
            picture = images.upright(file)
        for kind, longest in (
            ("display", images.DISPLAY_SIZE),
            ("thumbnail", images.THUMBNAIL_SIZE),
        ):
            content, width, height = images.shrink(picture, longest)
            setattr(photo, kind, _store(f"{kind}/{photo.key}.jpg", content))
            setattr(photo, f"{kind}_width", width)
            setattr(photo, f"{kind}_height", height)
        photo.status = Photo.Status.DONE
    except Exception:
        logger.exception("the images of photo %s could not be made", photo_id)
        photo.status = Photo.Status.FAILED
    photo.save(
        update_fields=[
            "status",
            "display",
            "display_width",
            "display_height",
            "thumbnail",
            "thumbnail_width",
            "thumbnail_height",
        ]
    )


def _store(name, content):
    # What an earlier try left may be half a file, and storages don't overwrite.
    default_storage.delete(name)
    return default_storage.save(name, ContentFile(content))


def send_digest(now=None):
    """Count what is new since a day ago, and keep the result as today's digest."""
    DigestRun.objects.create(host=socket.gethostname()[:255], pid=os.getpid())
    now = now or timezone.now()
    since = now - timedelta(days=1)
    photos = Photo.objects.filter(uploaded_at__gt=since, uploaded_at__lte=now).count()
    albums = Album.objects.filter(created_at__gt=since, created_at__lte=now).count()
    text = "{} new {} and {} new {} in the last day".format(
        photos, "photo" if photos == 1 else "photos", albums, "album" if albums == 1 else "albums"
    )
    digest, _ = Digest.objects.update_or_create(
        day=timezone.localdate(now),
        defaults={"new_photos": photos, "new_albums": albums, "text": text},
    )
    return digest


def run(name, *args):
    """The task of that name: some queues know only this one, and are told which one is meant."""
    return {"make_renditions": make_renditions, "send_digest": send_digest}[name](*args)
