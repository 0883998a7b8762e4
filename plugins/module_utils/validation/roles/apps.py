# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What gunicorn, WhiteNoise and the task queues are given for each app. The playbooks set it."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    FOLDER,
    FOLDER_HINT,
    NAME,
    NAME_HINT,
    Network,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Str,
)


def _apps(fields: dict[str, Field], folder: str) -> Map:
    common: dict[str, Field] = {
        "directory": Str(folder, pattern=FOLDER, hint=FOLDER_HINT, required=True),
        "group": Str("group that may read it", pattern=NAME, hint=NAME_HINT, required=True),
    }
    return Map(Object({**common, **fields}), key=NAME, key_hint=NAME_HINT)


def _folder(doc: str) -> Str:
    return Str(doc, pattern=f"({FOLDER})?", hint=FOLDER_HINT, default="")


def _queue() -> Map:
    return _apps(
        {
            "broker": Str("what hands out the tasks", pattern=NAME, hint=NAME_HINT, required=True),
            "queues": List(Str(), doc="names of queues that its processes work on", default=[]),
        },
        "folder of the overlay's fragments",
    )


QUEUES = ("celery", "django_q", "django_tasks", "huey", "rq")

INPUTS: dict[str, Field] = {
    "gunicorn_apps": _apps(
        {
            "settings": Map(
                Field(),
                key=r"[a-z_]+",
                key_hint="use the name of a setting of gunicorn",
                doc="settings in gunicorn's own names",
                default={},
            ),
            "server": Choice(["wsgi", "asgi"], doc="interface of the app", default="wsgi"),
            "memory": Int(
                "MiB from which on a worker is replaced once it has answered; 0 is never", default=0
            ),
            "published": _folder(
                "folder with the static files of other releases, which whitenoise serves where the app's own does "
                "not have them; empty for none"
            ),
            "maintenance": _folder(
                "folder with `page.html` and `rules.json`, by which visitors are kept out while a file `on` is in "
                "it; empty for none"
            ),
            "trusted_proxies": List(
                Network(),
                doc="networks whose `X-Forwarded-For` and `X-Forwarded-Proto` count where no nginx of the same host "
                "stands in front",
                default=[],
            ),
        },
        "folder of gunicorn.conf.py",
    ),
    "whitenoise_apps": _apps({}, "folder of the overlay's fragments"),
    **{f"{queue}_apps": _queue() for queue in QUEUES},
}
