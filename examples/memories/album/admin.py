from django.contrib import admin

from album import tasks
from album.models import Album, Digest, DigestRun, Photo
from album.queue import enqueue


@admin.register(Album)
class AlbumAdmin(admin.ModelAdmin):
    list_display = ["title", "created_at", "changed_at"]
    search_fields = ["title", "description"]


@admin.register(Photo)
class PhotoAdmin(admin.ModelAdmin):
    list_display = ["__str__", "album", "status", "uploaded_at"]
    list_filter = ["status", "album"]
    list_select_related = ["album"]
    search_fields = ["caption"]
    fields = ["album", "caption", "status", "uploaded_at"]
    readonly_fields = ["album", "status", "uploaded_at"]
    actions = ["make_images_again"]

    def has_add_permission(self, request):
        # Photos come in through the upload form, which looks at what they are.
        return False

    @admin.action(description="Make the images again")
    def make_images_again(self, request, queryset):
        for photo in queryset:
            photo.status = Photo.Status.PROCESSING
            photo.save(update_fields=["status"])
            enqueue(tasks.make_renditions, photo.pk)


@admin.register(Digest)
class DigestAdmin(admin.ModelAdmin):
    list_display = ["day", "new_photos", "new_albums"]


@admin.register(DigestRun)
class DigestRunAdmin(admin.ModelAdmin):
    list_display = ["at", "host", "pid"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False
