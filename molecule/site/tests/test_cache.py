"""A cache for each app: it is used, it is nobody else's, and the site does without it when it must."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance import checks, services
from tests.acceptance.album import Album
from tests.acceptance.under_load import wait_for

testinfra_hosts = ["ansible://web1"]

REDIS = "redis-server@memories-cache.service"
MEMCACHED = "memcached@notes.service"
VALKEY = "valkey-server@diary-cache.service"


def in_django(host: Any, app: str, code: str) -> str:
    """What a line of Python prints in an app's environment."""
    release = host.check_output(f"readlink -e /srv/{app}/current")
    command = f"runuser -u {app} -- /usr/local/lib/homeport/run {release} manage.py shell -c %s"
    lines = host.check_output(command, f"from django.core.cache import cache, caches; {code}").splitlines()
    return str(lines[-1])


def test_neither_is_open(host: Any) -> None:
    assert checks.outside(host) <= {22, 80}
    services.check_no_packaged_instance(host)
    place, password = services.redis_of(host, "memories", "cache")
    # before the journal hears of it from what is tried next
    services.check_password_is_nowhere(host, password)
    services.check_redis_refuses(host, place, password)
    services.check_redis_serves(host, place, password)
    services.check_memcached(host, "notes", member="notes", stranger="memories")
    checks.check_exposure(host, "redis-server@", "valkey-server@", "memcached@")


def test_pages_come_from_the_cache(album: Album) -> None:
    assert album.health()["checks"]["cache"] == "ok"
    path = album.new_album("Often seen")
    assert [album.get(path).headers["X-Cache"] for _ in range(3)] == ["miss", "hit", "hit"]


def test_a_cache_forgets_what_was_used_least_recently(host: Any) -> None:
    place, password = services.redis_of(host, "memories", "cache")
    fill = "for i = 1, 100 do redis.call('SET', 'homeport-fill-' .. i, string.rep('x', 1000000)) end return 'full'"
    assert services.ask(host, place, password, "EVAL", fill, "0") == "full"
    kept = services.ask(host, place, password, "KEYS", "homeport-fill-*")
    assert 20 <= len(kept) < 70
    assert services.ask(host, place, password, "FLUSHDB") == "OK"


@pytest.mark.parametrize(
    ("app", "backend"),
    [("notes", "django.core.cache.backends.memcached"), ("diary", "homeport_cache")],
)
def test_the_overlay_tells_the_project_of_it(host: Any, app: str, backend: str) -> None:
    code = "cache.set('a', 1); cache.incr('a'); print(cache.get('a'), type(caches['default']).__module__)"
    assert in_django(host, app, code) == f"2 {backend}"


def test_the_site_stays_up_without_it(album: Album, host: Any) -> None:
    path = album.new_album("Seen without a cache")
    host.check_output(f"systemctl stop {REDIS} {MEMCACHED} {VALKEY}")
    try:
        assert album.get(path).status_code == 200
        assert album.health()["status"] == "degraded"
        assert (
            in_django(host, "notes", "print(cache.get('a', 'nothing'), cache.get_many(['a']))")
            == "nothing {}"
        )
    finally:
        host.check_output(f"systemctl start {REDIS} {MEMCACHED} {VALKEY}")
    wait_for(lambda: album.health()["status"] == "ok", 60)
    wait_for(lambda: album.get(path).headers["X-Cache"] == "hit", 60)


def test_one_that_is_killed_is_back(album: Album, host: Any) -> None:
    place, password = services.redis_of(host, "memories", "cache")
    services.check_redis_is_back(host, REDIS, place, password)
    services.check_memcached_is_back(host, "notes")
    wait_for(lambda: album.health()["status"] == "ok", 60)
