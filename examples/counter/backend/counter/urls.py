import django
from django.core.cache import cache
from django.db.models import F
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache

from counter.models import Counter


@never_cache
def count(request):
    total, _made = Counter.objects.get_or_create(name="all")
    Counter.objects.filter(pk=total.pk).update(visitors=F("visitors") + 1)
    cache.get_or_set("this hour", 0, 3600)
    return JsonResponse(
        {"all": total.visitors + 1, "this hour": cache.incr("this hour"), "django": django.get_version()}
    )


urlpatterns = [path("", count)]
