"""Reads settings from the environment, and says which variable is wrong when one is.

An empty variable counts as one that is not set: templates that render an
environment file often write `NAME=` for a value that nobody gave.
"""

import os
import re
from importlib.util import find_spec
from pathlib import Path
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


def installed(module, what, file):
    """Says what to install, before anything fails for want of it."""
    if not find_spec(module):
        raise ImproperlyConfigured(f"{what} needs what {file} lists.")


CRON_PART = r"(\*|\d+(-\d+)?)(/[1-9]\d*)?"
CRON_FIELD = rf"{CRON_PART}(,{CRON_PART})*"
# The fields of a cron expression, and the numbers that each may hold.
CRON = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


def cron(name):
    """A cron expression: five fields of numbers, `*`, `,`, `-` and `/`."""
    value = text(name)
    fields = value.split()
    if fields and len(fields) != len(CRON):
        raise ImproperlyConfigured(f"{name} must be five fields like '0 6 * * *', not {value!r}.")
    for field, (kind, (lowest, highest)) in zip(fields, CRON.items(), strict=False):
        numbers = [int(digits) for digits in re.findall(r"\d+", re.sub(r"/\d+", "", field))]
        if not re.fullmatch(CRON_FIELD, field) or not all(lowest <= each <= highest for each in numbers):
            raise ImproperlyConfigured(
                f"{name}: {field!r} is no {kind}; use numbers from {lowest} to {highest}, * , - and /."
            )
    return " ".join(fields)


BROKERS = {"redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq"}


def broker(name):
    """What kind of broker there is, and its URL; without one, the database has to do."""
    url = text(name)
    kind = BROKERS.get(urlsplit(url).scheme) if url else "database"
    if not kind:
        # Only the scheme is repeated: the rest of the URL may hold a password.
        raise ImproperlyConfigured(
            f"{name} must start with one of {', '.join(BROKERS)}, not {urlsplit(url).scheme!r}."
        )
    return kind, url


def huey(kind, url, database):
    """Where Huey keeps its tasks: in Redis, or beside what Django keeps.

    The tables are made after each migrate (memories/huey.py), not by everybody who starts.
    """
    if kind == "redis":
        return {"url": url}
    if database["ENGINE"].endswith("sqlite3"):
        # A file of its own, so that neither waits for the other's locks.
        file = str(Path(database["NAME"]).with_suffix(".huey.sqlite3"))
        return {"huey_class": "huey.SqliteHuey", "create_tables": False, "filename": file}
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    given = {names[key]: database[key] for key in names if database.get(key)}
    return {"huey_class": "huey.PostgresHuey", "create_tables": False, **given, **database["OPTIONS"]}


def cache(name, prefix):
    """Django's CACHES["default"], from a URL."""
    url = text(name, "locmem://")
    parts = urlsplit(url)
    # Pages must not hang on a cache that does not answer.
    patience = {"timeout": 0.5, "connect_timeout": 0.5}
    if parts.scheme == "locmem":
        backend = {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": parts.netloc or "memories",
        }
    elif parts.scheme in ("redis", "rediss", "unix"):
        installed("redis", f"{name} with {parts.scheme}://", "requirements-redis.txt")
        backend = {
            "BACKEND": "memories.cache.RedisCache",
            "LOCATION": url,
            "OPTIONS": {f"socket_{key}": value for key, value in patience.items()},
        }
    elif parts.scheme == "pymemcache":
        installed("pymemcache", f"{name} with pymemcache://", "requirements-memcached.txt")
        backend = {
            "BACKEND": "memories.cache.PyMemcacheCache",
            "LOCATION": parts.netloc or f"unix:{parts.path}",
            # By itself the client would leave a server alone for a minute after a failure.
            "OPTIONS": {**patience, "retry_attempts": 0, "dead_timeout": 0},
        }
    else:
        # As above, without what may be a password.
        raise ImproperlyConfigured(
            f"{name} must start with locmem, redis, rediss, unix or pymemcache, not {parts.scheme!r}."
        )
    return {**backend, "KEY_PREFIX": prefix}


def bucket(name):
    """Django's STORAGES["default"] where a bucket is named; nothing without one."""
    if not text(name):
        return None
    installed("storages", name, "requirements-s3.txt")
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": text(name),
            "access_key": text("AWS_ACCESS_KEY_ID") or None,
            "secret_key": text("AWS_SECRET_ACCESS_KEY") or None,
            "region_name": text("AWS_S3_REGION_NAME") or None,
            "endpoint_url": text("AWS_S3_ENDPOINT_URL") or None,
            "custom_domain": text("AWS_S3_CUSTOM_DOMAIN") or None,
            "location": text("AWS_LOCATION"),
            "querystring_auth": flag("AWS_QUERYSTRING_AUTH", True),
            "addressing_style": text("AWS_S3_ADDRESSING_STYLE") or None,
            # By itself boto3 signs URLs of other services than Amazon's as nobody does any more.
            "signature_version": "s3v4",
            "file_overwrite": False,
        },
    }
