from functools import wraps

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.paginator import Paginator
from django.db import transaction
from django.http import FileResponse, Http404, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import http_date
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.http import require_http_methods, require_safe

from album import tasks
from album.forms import AlbumForm, UploadForm
from album.models import Album, Photo
from album.queue import enqueue

PHOTOS_PER_PAGE = 48
CACHE_SECONDS = 10


def may_add(view):
    @wraps(view)
    def wrapper(request, *args, **kwargs):
        if settings.UPLOADS_NEED_LOGIN and not request.user.is_staff:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return wrapper


@require_safe
def home(request):
    return render(request, "album/home.html", {"albums": Album.objects.with_cover()})


@require_safe
def album(request, pk):
    """The page that is visited most, so it is cached for a short time.

    The key carries the time of the album's last change. Whoever adds a photo therefore
    moves on to a new page at once, in every process and on every server, whatever cache
    they use; the price is one row read from the database. Browsers may keep the page but
    must ask whether it is still right.
    """
    shown = get_object_or_404(Album, pk=pk)
    made = []

    def page(request):
        made.append(True)
        photos = Paginator(shown.photos.all(), PHOTOS_PER_PAGE).get_page(request.GET.get("page"))
        processing = any(photo.status == Photo.Status.PROCESSING for photo in photos)
        return render(
            request, "album/album.html", {"album": shown, "photos": photos, "processing": processing}
        )

    version = f"album.{shown.pk}.{shown.changed_at:%Y%m%d%H%M%S%f}"
    response = cache_page(CACHE_SECONDS, key_prefix=version)(page)(request)
    del response.headers["Expires"]
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Cache"] = "miss" if made else "hit"
    return response


@may_add
@require_http_methods(["GET", "HEAD", "POST"])
def new_album(request):
    form = AlbumForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        added = form.save()
        return redirect("upload", pk=added.pk)
    return render(request, "album/new_album.html", {"form": form}, status=422 if form.errors else 200)


@may_add
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request, pk):
    target = get_object_or_404(Album, pk=pk)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_valid():
        with transaction.atomic():
            for file, suffix in form.cleaned_data["photos"]:
                photo = Photo(album=target, caption=form.cleaned_data["caption"])
                # Named by us: nothing of what a visitor calls a file ends up on the disk.
                photo.original = File(file, name=f"{photo.key}.{suffix}")
                photo.save()
                enqueue(tasks.make_renditions, photo.pk)
        return redirect(target)
    return render(
        request,
        "album/upload.html",
        {"album": target, "form": form, "settings": settings},
        status=422 if form.errors else 200,
    )


@require_safe
def photo(request, pk):
    shown = get_object_or_404(Photo.objects.select_related("album"), pk=pk)
    return render(request, "album/photo.html", {"photo": shown, "album": shown.album})


@never_cache
@require_safe
def photo_status(request, pk):
    shown = get_object_or_404(Photo, pk=pk)
    answer = {"id": shown.pk, "status": shown.status, "page": reverse("photo", args=[shown.pk])}
    if shown.status == Photo.Status.DONE:
        answer["display"] = shown.display.url
        answer["thumbnail"] = shown.thumbnail.url
    return JsonResponse(answer)


@require_safe
def media(request, name):
    """Serves images where there is no web server to do it.

    The URL's pattern admits only files that this site wrote itself: never an original,
    whose bytes a visitor chose.
    """
    if not settings.SERVE_MEDIA:
        raise Http404
    try:
        file = default_storage.open(name)
    except FileNotFoundError:
        raise Http404 from None
    return FileResponse(
        file,
        content_type="image/jpeg",
        headers={
            "X-Content-Type-Options": "nosniff",
            # The name is new for every photo, so what it holds never changes.
            "Cache-Control": "public, max-age=31536000, immutable",
            "Last-Modified": http_date(default_storage.get_modified_time(name).timestamp()),
        },
    )
