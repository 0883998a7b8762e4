"""Reads settings from the environment, and says which variable is wrong when one is.

An empty variable counts as one that is not set: templates that render an
environment file often write `NAME=` for a value that nobody gave.
"""

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name, default=""):
    return os.environ.get(name, "").strip() or default


def flag(name, default=False):
    value = text(name).lower()
    if not value:
        return default
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    # Guessing here would turn DEBUG=flase into an open debugger.
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def number(name, default):
    value = text(name)
    if not value:
        return default
    if not value.isascii() or not value.isdigit():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.")
    return int(value)


def words(name):
    """A list whose items are separated by commas; spaces around them do not matter."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def cache(name):
    """Django's CACHES["default"], from a URL."""
    url = text(name, "locmem://")
    parts = urlsplit(url)
    if parts.scheme == "locmem":
        return {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": parts.netloc or "memories",
        }
    # Only the scheme is repeated: the rest of the URL may hold a password.
    raise ImproperlyConfigured(f"{name} must start with locmem://, not {parts.scheme!r}.")
