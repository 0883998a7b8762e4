"""Settings, all of them from the environment: the names are the conventional ones.

DEBUG                       false
SECRET_KEY                  required unless DEBUG
SECRET_KEY_FALLBACKS        keys that were used before, separated by commas
ALLOWED_HOSTS               names of the site, separated by commas
SITE_URL                    where visitors find the site; https:// makes cookies secure,
                            redirects plain HTTP and believes X-Forwarded-Proto
SECURE_HSTS_SECONDS         3600 with an https:// SITE_URL
SECURE_SSL_REDIRECT         true with an https:// SITE_URL
CSRF_TRUSTED_ORIGINS        further origins that may post forms
DATABASE_URL                an SQLite file beside manage.py
CONN_MAX_AGE                seconds that a database connection is kept: 0
CACHE_URL                   locmem://, or redis://, rediss://, unix:// or pymemcache://
CACHE_PREFIX                begins every key in the cache: memories
TASK_QUEUE                  none: tasks run in the request; or django_q, celery, huey, rq, django_tasks
TASK_WORKERS                how many tasks a qcluster or run_huey does at a time: 1
BROKER_URL                  redis://, rediss://, amqp:// or amqps://; empty: the database
DIGEST_SCHEDULE             when the queue makes the digest, in cron's five fields; empty: never
STATIC_ROOT, STATIC_URL     staticfiles beside manage.py, /static/
MEDIA_ROOT, MEDIA_URL       media beside manage.py, /media/
SERVE_MEDIA                 true where no web server does it
AWS_STORAGE_BUCKET_NAME     keeps uploads in object storage; with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
                            AWS_S3_REGION_NAME, AWS_S3_ENDPOINT_URL, AWS_LOCATION, AWS_S3_CUSTOM_DOMAIN,
                            AWS_QUERYSTRING_AUTH (true), AWS_S3_ADDRESSING_STYLE as in django-storages
UPLOADS_NEED_LOGIN          true lets only staff add albums and photos
MAX_PHOTO_MB                largest photo: 20
MAX_PHOTOS                  most photos in one upload: 20
DATA_UPLOAD_MAX_MEMORY_SIZE, FILE_UPLOAD_MAX_MEMORY_SIZE    bytes, as in Django
LANGUAGE_CODE, TIME_ZONE    en, UTC
LOG_LEVEL                   INFO
RELEASE, GIT_COMMIT         what is running; shown by /version/ and /health/
"""

from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from django import VERSION
from django.core.exceptions import ImproperlyConfigured

from memories import env

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY", "known-to-everybody-and-only-for-debugging" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY must be set in the environment (or DEBUG=true on your own machine)."
    )

# Where the site is found

SITE_URL = env.text("SITE_URL", "http://localhost:8000").rstrip("/")
HTTPS = urlsplit(SITE_URL).scheme == "https"
SECRET_KEY_FALLBACKS = env.words("SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

if HTTPS:
    # Behind HTTPS there is a proxy that sets this header. Without one, anybody could send it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    CSRF_TRUSTED_ORIGINS.append("{0.scheme}://{0.netloc}".format(urlsplit(SITE_URL)))

SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", HTTPS)
# Load balancers and deploys ask these without HTTPS, from inside.
SECURE_REDIRECT_EXEMPT = [r"^health/$", r"^version/$"]
# One hour, so that a mistake with certificates is soon forgotten by browsers.
SECURE_HSTS_SECONDS = env.number("SECURE_HSTS_SECONDS", 3600 if HTTPS else 0)
# Subdomains and the preload list concern the whole domain, which one app must not decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:  # which is what these ask for
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# The application

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "album",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "memories.urls"
WSGI_APPLICATION = "memories.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Services

DATABASES = {
    "default": dj_database_url.parse(
        env.text("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}"),
        conn_max_age=env.number("CONN_MAX_AGE", 0),
        conn_health_checks=True,
    )
}
_options = DATABASES["default"].setdefault("OPTIONS", {})
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # With a write-ahead log readers do not wait for a writer. Taking the lock when a
    # transaction begins lets the timeout work: a later upgrade of the lock fails at once.
    _options.setdefault("init_command", "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    _options.setdefault("transaction_mode", "IMMEDIATE")
    _options.setdefault("timeout", 20)
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # The health page must answer soon even when the database's server does not.
    _options.setdefault("connect_timeout", 5)

CACHES = {"default": env.cache("CACHE_URL", env.text("CACHE_PREFIX", "memories"))}

# Tasks: album/queue.py hands them over. What each queue is told here lets it lose none when
# its workers are stopped, and none or few when they are killed.

TASK_QUEUE = env.text("TASK_QUEUE", "none")
TASK_WORKERS = env.number("TASK_WORKERS", 1)
TASK_SECONDS = 120  # more than any task takes
BROKER, BROKER_URL = env.broker("BROKER_URL")
DIGEST_SCHEDULE = env.cron("DIGEST_SCHEDULE")

if TASK_QUEUE == "django_q":
    env.installed("django_q", "TASK_QUEUE=django_q", "requirements-django_q.txt")
    INSTALLED_APPS.append("django_q")
    Q_CLUSTER = {
        "name": "memories",
        "workers": TASK_WORKERS,
        "timeout": TASK_SECONDS,
        # Handed out again after that many seconds, if the database is the broker.
        "retry": TASK_SECONDS + 60,
        "max_attempts": 3,
        # What is taken from the broker is lost with the cluster, if Redis is the broker.
        "queue_limit": 2 * TASK_WORKERS,
        # Workers that are replaced while the cluster stops can make it hang.
        "recycle": 0,
        # Photos tell themselves how they fared; only failures are kept.
        "save_limit": -1,
        "catch_up": False,
        **({"redis": BROKER_URL} if BROKER == "redis" else {"orm": "default", "poll": 0.2}),
    }
elif TASK_QUEUE == "celery":
    env.installed("celery", "TASK_QUEUE=celery", "requirements-celery.txt")
    CELERY_BROKER_URL = BROKER_URL
    CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
    CELERY_BROKER_CONNECTION_MAX_RETRIES = None
    # A visitor waits no longer than this for a broker that is down.
    CELERY_BROKER_CONNECTION_TIMEOUT = 2
    CELERY_TASK_PUBLISH_RETRY = False
    CELERY_TASK_IGNORE_RESULT = True
    # A task is done when it has been done, not when a worker has heard of it.
    CELERY_TASK_ACKS_LATE = True
    CELERY_TASK_REJECT_ON_WORKER_LOST = True
    CELERY_WORKER_PREFETCH_MULTIPLIER = 1
    CELERY_TASK_TIME_LIMIT = TASK_SECONDS
    CELERY_TIMEZONE = env.text("TIME_ZONE", "UTC")
    if BROKER == "redis":
        CELERY_BROKER_TRANSPORT_OPTIONS = {
            "visibility_timeout": TASK_SECONDS + 60,
            "socket_connect_timeout": 2,
            "socket_timeout": 5,
        }
    else:
        # A task is handed over once the broker has it on its disk.
        CELERY_BROKER_TRANSPORT_OPTIONS = {"confirm_publish": True}
    if DIGEST_SCHEDULE:
        from celery.schedules import crontab

        CELERY_BEAT_SCHEDULE = {
            "digest": {
                "task": "album.run",
                "args": ["send_digest"],
                "schedule": crontab.from_string(DIGEST_SCHEDULE),
            }
        }
elif TASK_QUEUE == "huey":
    env.installed("huey", "TASK_QUEUE=huey", "requirements-huey.txt")
    INSTALLED_APPS.append("huey.contrib.djhuey")
    HUEY = {
        "name": "memories",
        "immediate": False,
        "results": False,
        # The digest's schedule is meant in the site's own time.
        "utc": False,
        # For a database that must be asked whether there is work.
        "consumer": {"workers": TASK_WORKERS, "max_delay": 0.5},
        **env.huey(BROKER, BROKER_URL, DATABASES["default"]),
    }
elif TASK_QUEUE == "rq":
    env.installed("django_rq", "TASK_QUEUE=rq", "requirements-rq.txt")
    INSTALLED_APPS.append("django_rq")
    RQ_QUEUES = {"default": {"URL": BROKER_URL, "DEFAULT_TIMEOUT": TASK_SECONDS}}
elif TASK_QUEUE == "django_tasks":
    env.installed("django_tasks_db", "TASK_QUEUE=django_tasks", "requirements-django_tasks.txt")
    # Part of Django from version 6 on.
    INSTALLED_APPS += ["django_tasks_db"] if VERSION >= (6, 0) else ["django_tasks", "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Files

STATIC_URL = env.text("STATIC_URL", "/static/")
STATIC_ROOT = env.text("STATIC_ROOT", str(BASE_DIR / "staticfiles"))
MEDIA_URL = env.text("MEDIA_URL", "/media/")
MEDIA_ROOT = env.text("MEDIA_ROOT", str(BASE_DIR / "media"))
SERVE_MEDIA = env.flag("SERVE_MEDIA", DEBUG)

STORAGES = {
    "default": env.bucket("AWS_STORAGE_BUCKET_NAME")
    or {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # The manifest exists only after collectstatic, which nobody runs while developing.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

DATA_UPLOAD_MAX_MEMORY_SIZE = env.number("DATA_UPLOAD_MAX_MEMORY_SIZE", 2_621_440)
FILE_UPLOAD_MAX_MEMORY_SIZE = env.number("FILE_UPLOAD_MAX_MEMORY_SIZE", 2_621_440)
MAX_PHOTO_MB = env.number("MAX_PHOTO_MB", 20)
MAX_PHOTOS = env.number("MAX_PHOTOS", 20)
# Some room above the form's own limit, so that the form can say what is wrong.
DATA_UPLOAD_MAX_NUMBER_FILES = max(100, 2 * MAX_PHOTOS)

# Visitors

UPLOADS_NEED_LOGIN = env.flag("UPLOADS_NEED_LOGIN")
LOGIN_URL = "admin:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = env.text("LANGUAGE_CODE", "en")
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

# The rest

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEST_RUNNER = "memories.testing.Runner"

RELEASE = env.text("RELEASE")
GIT_COMMIT = env.text("GIT_COMMIT")

# Django's own default mails errors and prints them only when debugging. Whoever runs
# this process keeps what it prints.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {name}: {message}",
            "datefmt": "%Y-%m-%d %H:%M:%S %z",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
