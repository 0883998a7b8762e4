import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
INSTALLED_APPS = ["django.contrib.staticfiles", "counter"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "counter.urls"
WSGI_APPLICATION = "counter.wsgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["COUNTER_DB_NAME"],
        "USER": os.environ["COUNTER_DB_USER"],
        "PASSWORD": os.environ.get("COUNTER_DB_PASSWORD", ""),
        "HOST": os.environ["COUNTER_DB_HOST"],
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["COUNTER_CACHE"],
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = os.environ["STATIC_ROOT"]
