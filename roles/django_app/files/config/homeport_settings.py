# Written by Homeport (role django_app).
"""Production settings over a project's own: imports those, then supplies what the server knows.

Everything is read from the app's environment. What overlay_settings says comes last and wins.
"""

import importlib
import importlib.machinery
import importlib.util
import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django import VERSION as _django


def _has_configurations():
    """Whether django-configurations is installed: a project may have a use of its own for the variable."""
    package = importlib.util.find_spec("configurations")
    places = package and package.submodule_search_locations
    return bool(places and importlib.machinery.PathFinder.find_spec("configurations.importer", places))


def _import(name, configuration):
    """The project's settings module, with what its class ``configuration`` of django-configurations adds, if any."""
    if not configuration:
        return importlib.import_module(name)
    # its importer makes settings of that class in the module that the variable names, and looks for it here as well
    importlib.import_module("configurations.importer").install()
    own = os.environ["DJANGO_SETTINGS_MODULE"]
    os.environ["DJANGO_SETTINGS_MODULE"] = name
    try:
        return importlib.import_module(name)
    finally:
        os.environ["DJANGO_SETTINGS_MODULE"] = own


class _Configured:
    """What django-configurations finds here as its class: these are settings already."""

    @classmethod
    def setup(cls):
        """Called for what is to be set up."""

    pre_setup = post_setup = setup


_configuration = os.environ.get("DJANGO_CONFIGURATION", "") if _has_configurations() else ""
_base = _import(os.environ["HOMEPORT_BASE_SETTINGS"], _configuration)
globals().update({name: value for name, value in vars(_base).items() if name.isupper()})
if _configuration:
    globals()[_configuration] = _Configured

_environment = os.environ
_https = _environment["SITE_URL"].startswith("https:")


def _list(name):
    return [item for item in _environment.get(name, "").split(",") if item]


# Of a database and of a cache, what the project chooses for any kind of them.
_ANY_DATABASE = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "TIME_ZONE")
_ANY_CACHE = ("TIMEOUT", "VERSION", "KEY_FUNCTION")

# A transaction that reads and then writes waits for its turn instead of failing, and readers wait for nobody.
_CONCURRENT = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}


def _engine(chosen, wanted):
    """The backend for a database of Django's kind ``wanted``: the project's own where it can be that."""
    package, _, name = chosen.rpartition(".")
    if package == "django.contrib.gis.db.backends":
        return f"{package}.{ {'postgresql': 'postgis', 'sqlite3': 'spatialite'}.get(wanted, wanted) }"
    if name in (
        "postgresql",
        "sqlite3",
        "mysql",
        "oracle",
    ):  # as Django has them, or a package that wraps them all
        return f"{package}.{wanted}"
    own = package and package != "django.db.backends" and wanted != "sqlite3"
    return chosen if own else f"django.db.backends.{wanted}"


def _database(url, own, direct=""):
    """The database at ``url``, for a project that has chosen ``own``. The variable ``direct`` is there where the url
    leads to a pooler."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    kind = {
        **dict.fromkeys(("postgres", "postgresql", "psql", "pgsql", "postgis"), "postgresql"),
        **dict.fromkeys(("sqlite", "sqlite3", "spatialite"), "sqlite3"),
        "mysql": "mysql",
    }.get(scheme)
    if kind is None:
        raise RuntimeError(f"DATABASE_URL: the overlay does not know {parts.scheme}://; use overlay_settings")
    engine = _engine(own.get("ENGINE", ""), kind)
    if scheme in ("postgis", "spatialite") and engine == f"django.db.backends.{kind}":
        engine = f"django.contrib.gis.db.backends.{scheme}"
    # further settings are the project's choice as well, unless they are for another kind of database
    same = engine == own.get("ENGINE")
    kept = {key: value for key, value in own.items() if same or key in _ANY_DATABASE}
    if kind == "sqlite3":
        return {
            **kept,
            "ENGINE": engine,
            "NAME": unquote(parts.path[1:]),
            "OPTIONS": {
                "timeout": 20,
                **(_CONCURRENT if _django >= (5, 1) else {}),
                **kept.get("OPTIONS", {}),
            },
        }
    # a service file names another server
    options = {
        key: value for key, value in kept.get("OPTIONS", {}).items() if key not in ("service", "passfile")
    }
    options.update(parse_qsl(parts.query))
    pooled = bool(options.get("pool"))  # a pool takes no persistent connections
    return {
        **kept,
        "ENGINE": engine,
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or "") or options.pop("host", ""),
        "PORT": parts.port or "",
        "OPTIONS": options,
        # A new connection costs more than most queries: keep it, and check that it still works.
        "CONN_MAX_AGE": 0 if pooled else int(_environment.get("CONN_MAX_AGE", "0")),
        "CONN_HEALTH_CHECKS": True,
        # a cursor of the server's would be on the connection of another transaction
        **({"DISABLE_SERVER_SIDE_CURSORS": True} if _environment.get(direct) else {}),
    }


def _cache(url, own):
    """The cache at ``url``, for a project that has chosen ``own``."""
    parts = urlsplit(url)
    kept = {
        **{key: value for key, value in own.items() if key in _ANY_CACHE},
        "KEY_PREFIX": _environment.get("CACHE_PREFIX", ""),
    }
    if parts.scheme in ("redis", "rediss", "unix"):
        return {"BACKEND": "homeport_cache.RedisCache", "LOCATION": url, **kept}
    if parts.scheme in ("memcache", "memcached", "pymemcache"):
        return {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": parts.netloc or f"unix:{parts.path}",
            # the site stays up while the cache is down
            "OPTIONS": {"ignore_exc": True, "connect_timeout": 0.5, "timeout": 2, "dead_timeout": 2},
            **kept,
        }
    raise RuntimeError(f"CACHE_URL: the overlay does not know {parts.scheme}://; use overlay_settings")


DEBUG = False
SECRET_KEY = _environment["SECRET_KEY"]
SECRET_KEY_FALLBACKS = [*_list("SECRET_KEY_FALLBACKS"), *globals().get("SECRET_KEY_FALLBACKS", [])]
ALLOWED_HOSTS = _list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS")

if _environment.get("DATABASE_URL"):
    DATABASES = {**globals().get("DATABASES", {})}
    DATABASES["default"] = _database(
        _environment["DATABASE_URL"], DATABASES.get("default", {}), "DATABASE_DIRECT_URL"
    )

if _environment.get("CACHE_URL"):
    CACHES = {**globals().get("CACHES", {})}
    CACHES["default"] = _cache(_environment["CACHE_URL"], CACHES.get("default", {}))

STATIC_URL = _environment["STATIC_URL"]
STATIC_ROOT = _environment["STATIC_ROOT"]
if _environment.get("MEDIA_ROOT"):
    MEDIA_ROOT = _environment["MEDIA_ROOT"]
    MEDIA_URL = _environment["MEDIA_URL"]
if _django >= (4, 2):
    # Django takes either these, until 5.1, or STORAGES.
    _storage = globals().pop("DEFAULT_FILE_STORAGE", "django.core.files.storage.FileSystemStorage")
    globals().pop("STATICFILES_STORAGE", None)
    STORAGES = {
        "default": {"BACKEND": _storage},
        **globals().get("STORAGES", {}),
        "staticfiles": {"BACKEND": "homeport_static.HashedStaticFilesStorage"},
    }

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_SSL_REDIRECT = _https
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_CONTENT_TYPE_NOSNIFF = True
# How long browsers are to refuse plain HTTP is said by nginx; where it is not (tls.hsts is 0), a fragment takes that
# back. What the other checks want needs HTTPS.
SILENCED_SYSTEM_CHECKS = [
    *globals().get("SILENCED_SYSTEM_CHECKS", []),
    "security.W004",
    *([] if _https else ["security.W008", "security.W012", "security.W016"]),
]
X_FRAME_OPTIONS = globals().get("X_FRAME_OPTIONS", "DENY")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            "datefmt": "%Y-%m-%d %H:%M:%S %z",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}

for _fragment in sorted((Path(__file__).parent / "overlay.d").glob("*.py")):
    exec(compile(_fragment.read_text("utf-8"), str(_fragment), "exec"))
