# Written by Homeport (role django_app).
"""Django's Redis cache, for sites that stay up without it: what cannot be read is a miss, what cannot be
written is dropped."""

import functools
import logging
import time

from django.core.cache.backends import redis as backend
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

logger = logging.getLogger(__name__)
_next_line = 0.0


def _told():
    """One line in ten seconds: every page asks the cache."""
    global _next_line
    if time.monotonic() >= _next_line:
        _next_line = time.monotonic() + 10
        logger.exception("The cache does not answer; the site goes on without it")


def _instead(value):
    """A method that answers as an empty cache would when Redis does not."""

    def decorate(name):
        method = getattr(backend.RedisCacheClient, name)

        @functools.wraps(method)
        def call(self, *args, **kwargs):
            try:
                return method(self, *args, **kwargs)
            except (ConnectionError, TimeoutError):
                _told()
                return value(*args, **kwargs)

        return call

    return decorate


def _missing(key, *args, **kwargs):
    raise ValueError(f"Key '{key}' not found.")


class Client(backend.RedisCacheClient):
    get = _instead(lambda key, default: default)("get")
    get_many = _instead(lambda keys: {})("get_many")
    set_many = _instead(lambda data, *args, **kwargs: list(data))("set_many")
    incr = _instead(_missing)("incr")
    add, set, touch, delete, delete_many, has_key, clear = map(
        _instead(lambda *args, **kwargs: False),
        ("add", "set", "touch", "delete", "delete_many", "has_key", "clear"),
    )


class RedisCache(backend.RedisCache):
    def __init__(self, server, params):
        # Pages are not to wait for a server that is away, nor to ask it again and again.
        quick = {"socket_connect_timeout": 0.5, "socket_timeout": 2, "retry": Retry(NoBackoff(), 0)}
        params["OPTIONS"] = {**quick, **params.get("OPTIONS", {})}
        super().__init__(server, params)
        self._class = Client
