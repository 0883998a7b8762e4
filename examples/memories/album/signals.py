from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from album.models import Album, Photo


@receiver([post_save, post_delete], sender=Photo)
def mark_album_changed(instance, **kwargs):
    Album.objects.filter(pk=instance.album_id).update(changed_at=timezone.now())


@receiver(post_delete, sender=Photo)
def delete_files(instance, **kwargs):
    # Once it is sure: a transaction that is rolled back keeps its photo.
    for file in (instance.original, instance.display, instance.thumbnail):
        if file:
            transaction.on_commit(lambda file=file: file.storage.delete(file.name))
