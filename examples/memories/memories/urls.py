from album.views import media
from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.utils.functional import lazy
from django.views.generic import RedirectView

from memories import health

urlpatterns = [
    path("", include("album.urls")),
    path("admin/", admin.site.urls),
    path("health/", health.health, name="health"),
    path("version/", health.version, name="version"),
    # Asked by browsers on pages that name no icon, such as the admin's. Lazy, since the
    # file's hashed name is known only once static files have been collected.
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("album/favicon.svg"))),
]

if settings.MEDIA_URL.startswith("/"):
    # The view itself refuses when SERVE_MEDIA is off, and knows only names that we chose.
    urlpatterns.append(
        re_path(
            rf"^{settings.MEDIA_URL.lstrip('/')}(?P<name>(?:display|thumbnail)/[0-9a-f]{{32}}\.jpg)$",
            media,
        )
    )
