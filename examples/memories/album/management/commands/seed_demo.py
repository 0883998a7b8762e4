from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand
from django.db import transaction

from album import scenery, tasks
from album.models import Album, Photo
from album.queue import enqueue


class Command(BaseCommand):
    help = "Create an album with a few drawn landscapes, unless there is an album already."

    def handle(self, *args, **options):
        if Album.objects.exists():
            self.stdout.write("There is an album already: nothing to do.")
            return
        with transaction.atomic():
            album = Album.objects.create(
                title="A day in the hills",
                description="From first light to the last, drawn by the site itself.",
            )
            for caption, jpeg in scenery.draw_all():
                photo = Photo(album=album, caption=caption)
                photo.original = ContentFile(jpeg, name=f"{photo.key}.jpg")
                photo.save()
                enqueue(tasks.make_renditions, photo.pk)
        self.stdout.write(f"Created the album “{album}” with {album.photos.count()} photos.")
