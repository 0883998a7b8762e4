"""Caches that the site can do without."""

import logging
import time

from django.core.cache.backends import memcached, redis

logger = logging.getLogger(__name__)

REST = 3  # seconds


def forgiving(name, missing):
    """The backend's own method, or what `missing` answers while the cache is down."""

    def method(self, *args, **kwargs):
        if time.monotonic() >= Forgiving.rests_until:
            try:
                return getattr(super(Forgiving, self), name)(*args, **kwargs)
            except self.troubles() as error:
                Forgiving.rests_until = time.monotonic() + REST
                logger.warning("going on without the cache for %s seconds: %s", REST, error)
        return missing(*args, **kwargs)

    return method


def unknown(key, *args, **kwargs):
    raise ValueError(f"Key {key!r} not found")


class Forgiving:
    """A cache that is down is an empty one: reads miss and writes are dropped.

    After a failure it is left alone for a moment, by the whole process: otherwise each use
    would wait for it anew, and leave a line in the log.
    """

    rests_until = 0.0

    get = forgiving("get", lambda key, default=None, version=None: default)
    get_many = forgiving("get_many", lambda *args, **kwargs: {})
    has_key = forgiving("has_key", lambda *args, **kwargs: False)
    add = forgiving("add", lambda *args, **kwargs: False)
    touch = forgiving("touch", lambda *args, **kwargs: False)
    delete = forgiving("delete", lambda *args, **kwargs: False)
    set = forgiving("set", lambda *args, **kwargs: None)
    set_many = forgiving("set_many", lambda data, *args, **kwargs: list(data))
    delete_many = forgiving("delete_many", lambda *args, **kwargs: None)
    clear = forgiving("clear", lambda: None)
    incr = forgiving("incr", unknown)


class RedisCache(Forgiving, redis.RedisCache):
    def troubles(self):
        from redis.exceptions import RedisError

        return (RedisError, OSError)


class PyMemcacheCache(Forgiving, memcached.PyMemcacheCache):
    def troubles(self):
        from pymemcache.exceptions import MemcacheError

        return (MemcacheError, OSError)
