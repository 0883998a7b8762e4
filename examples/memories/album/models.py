import secrets

from django.core.files.storage import default_storage
from django.db import models
from django.urls import reverse


def new_key():
    return secrets.token_hex(16)


def original_path(photo, filename):
    return f"original/{filename}"


class AlbumQuerySet(models.QuerySet):
    def with_cover(self):
        """Each album's number of photos and newest finished thumbnail, in one query."""
        finished = Photo.objects.filter(album=models.OuterRef("pk"), status=Photo.Status.DONE)
        return self.annotate(
            photo_count=models.Count("photos"),
            cover=models.Subquery(finished.order_by("-pk").values("thumbnail")[:1]),
        ).order_by("-pk")  # Django leaves the model's own order out of queries that count.


class Album(models.Model):
    title = models.CharField(max_length=80)
    description = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # Moves with every change of the album or of a photo in it: the page's cache key.
    changed_at = models.DateTimeField(auto_now=True)

    objects = AlbumQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        return reverse("album", args=[self.pk])

    @property
    def cover_url(self):
        cover = getattr(self, "cover", None)
        return default_storage.url(cover) if cover else ""


class Photo(models.Model):
    class Status(models.TextChoices):
        PROCESSING = "processing"
        DONE = "done"
        FAILED = "failed"

    album = models.ForeignKey(Album, on_delete=models.CASCADE, related_name="photos")
    caption = models.CharField(max_length=120, blank=True)
    # Names the files. Not to be guessed, since originals may tell where they were taken.
    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    original = models.FileField(upload_to=original_path)
    display = models.FileField(blank=True, editable=False)
    display_width = models.PositiveIntegerField(null=True, editable=False)
    display_height = models.PositiveIntegerField(null=True, editable=False)
    thumbnail = models.FileField(blank=True, editable=False)
    thumbnail_width = models.PositiveIntegerField(null=True, editable=False)
    thumbnail_height = models.PositiveIntegerField(null=True, editable=False)
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.PROCESSING, editable=False
    )
    uploaded_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return self.caption or f"Photo {self.pk}"

    def get_absolute_url(self):
        return reverse("photo", args=[self.pk])

    @property
    def newer(self):
        return self.album.photos.filter(pk__gt=self.pk).order_by("pk").first()

    @property
    def older(self):
        return self.album.photos.filter(pk__lt=self.pk).first()


class Digest(models.Model):
    # One a day: whoever runs the schedule twice, or on two servers, still gets one.
    day = models.DateField(unique=True)
    new_photos = models.PositiveIntegerField()
    new_albums = models.PositiveIntegerField()
    text = models.TextField()
    created_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-day"]

    def __str__(self):
        return f"{self.day:%Y-%m-%d}: {self.text}"


class DigestRun(models.Model):
    """One for each time that a digest was made: shows a schedule that runs twice, or never."""

    at = models.DateTimeField(auto_now_add=True)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return f"{self.at:%Y-%m-%d %H:%M:%S} on {self.host}, process {self.pid}"
