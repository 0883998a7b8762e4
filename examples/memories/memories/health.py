"""What load balancers, deploys and people ask to know whether the site is well."""

import logging
import secrets

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from memories import __version__

logger = logging.getLogger(__name__)


def check_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def check_cache():
    # A value of its own for each request: two requests at once must not see each other's.
    token = secrets.token_hex(8)
    key = f"health:{token}"
    cache.set(key, token, timeout=10)
    if cache.get(key) != token:
        raise RuntimeError("the cache lost a value that was just set")
    cache.delete(key)


def check_broker():
    url, patience = settings.BROKER_URL, 0.5
    if settings.BROKER == "redis":
        from redis import Redis

        with Redis.from_url(url, socket_timeout=patience, socket_connect_timeout=patience) as broker:
            broker.ping()
    else:
        from kombu import Connection

        # Not by connect(), which tries again after two seconds.
        transport = Connection(url, connect_timeout=patience).transport
        transport.close_connection(transport.establish_connection())


def outcome(check):
    try:
        check()
    except Exception as error:
        # The page is public, so what exactly is wrong goes to the log alone.
        logger.error("%s: %s: %s", check.__name__, type(error).__name__, error)
        return "error"
    return "ok"


@never_cache
@require_safe
def health(request):
    checks = {"database": outcome(check_database), "cache": outcome(check_cache)}
    if settings.TASK_QUEUE != "none" and settings.BROKER != "database":
        checks["broker"] = outcome(check_broker)
    if checks["database"] != "ok":
        status = "error"
    elif "error" in checks.values():
        # Taking every server out of service would bring neither cache nor broker back.
        status = "degraded"
    else:
        status = "ok"
    return JsonResponse(
        {
            "status": status,
            "checks": checks,
            "queue": settings.TASK_QUEUE,
            "version": __version__,
            "release": settings.RELEASE,
        },
        status=503 if status == "error" else 200,
    )


@never_cache
@require_safe
def version(request):
    lines = [f"version {__version__}"]
    if settings.RELEASE:
        lines.append(f"release {settings.RELEASE}")
    if settings.GIT_COMMIT:
        lines.append(f"commit {settings.GIT_COMMIT}")
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
