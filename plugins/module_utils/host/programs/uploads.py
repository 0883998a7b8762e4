# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where a project keeps uploads, and who answers requests for them."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.storage import DefaultStorage, FileSystemStorage
from django.db.models import FileField
from django.urls import Resolver404, resolve

LOCAL = (
    "django.core.files.storage.FileSystemStorage",
    "django.core.files.storage.filesystem.FileSystemStorage",
)


def media(root: str, url: str) -> dict[str, Any]:
    """``uploads``: fields whose files are in MEDIA_ROOT. ``media_code``: what of the project is in there, too.
    ``media_real``: where it is. ``media_writable``: whether the app may write there. ``media_view``: whether the
    project has a view for MEDIA_URL."""
    real = os.path.realpath(root) if root else ""
    return {
        "uploads": uploads(),
        "media_real": real,
        "media_code": code_in(real) if real else "",
        "media_writable": is_writable(real) if real else True,
        "media_view": has_view(url),
    }


def uploads() -> list[str]:
    fields = [
        field
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field, FileField)
    ]
    by_default = default_is_media()
    return [str(field) for field in fields if is_media(field.storage, by_default)][:10]


def default_is_media() -> bool:
    """By its name: to load the storage of a bucket takes a while."""
    known = getattr(settings, "STORAGES", {}).get("default", {})
    backend = known.get("BACKEND") or getattr(settings, "DEFAULT_FILE_STORAGE", LOCAL[0])
    named = getattr(settings, "DEFAULT_FILE_STORAGE", backend)  # before Django 5.1, next to STORAGES
    return {backend, named} <= set(LOCAL) and "location" not in known.get("OPTIONS", {})


def is_media(storage: Any, by_default: bool) -> bool:
    if type(storage) is DefaultStorage:
        return by_default
    return issubclass(type(storage), FileSystemStorage) and getattr(storage, "_location", None) is None


def code_in(folder: str) -> str:
    """A folder or file with code of the project's that is ``folder``, or in it."""
    base = os.environ.get("HOMEPORT_BASE_SETTINGS") or os.environ.get("DJANGO_SETTINGS_MODULE", "")
    module = getattr(sys.modules.get(base), "__file__", None)
    found = [os.getcwd(), *([module] if module else []), *(config.path for config in apps.get_app_configs())]
    inside = [path for path in found if f"{os.path.realpath(path)}/".startswith(f"{folder.rstrip('/')}/")]
    return inside[0] if inside else ""


def is_writable(path: str) -> bool:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)


def has_view(url: str) -> bool:
    if not url.startswith("/") or not getattr(settings, "ROOT_URLCONF", None):
        return False
    try:
        resolve(f"{url.rstrip('/')}/homeport.png")
    except Resolver404:
        return False
    return True
