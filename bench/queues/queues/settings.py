"""A project whose only work is to do tasks, by whatever queue the environment names."""

import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
INSTALLED_APPS = ["django.contrib.contenttypes", "django_q", "work"]
ROOT_URLCONF = "queues.urls"
WSGI_APPLICATION = "queues.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "USER": os.environ["PGUSER"],
        "HOST": os.environ["PGHOST"],
        "CONN_MAX_AGE": 600,
    }
}
REDIS = os.environ.get("BROKER_URL", "redis://127.0.0.1:6379/0")
Q_CLUSTER = {
    "name": "work",
    "workers": 2,
    "timeout": 15,
    "retry": 20,  # seconds until the database broker hands out again what was not finished
    "queue_limit": 50,
    "recycle": int(os.environ.get("Q_RECYCLE", "500")),
    "save_limit": -1,
    **({"redis": REDIS} if os.environ.get("Q_BROKER") == "redis" else {"orm": "default"}),
}
