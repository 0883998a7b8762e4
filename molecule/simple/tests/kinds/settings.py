"""A project whose rows are hard to move. DATABASE names the PostgreSQL database; without it, it is SQLite."""

import os
from pathlib import Path

BASE = Path(__file__).parent
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "kinds"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "America/New_York"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "db.sqlite3"}}
if os.environ.get("DATABASE"):
    DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["DATABASE"]}
