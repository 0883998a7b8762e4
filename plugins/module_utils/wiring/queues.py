# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the roles of the task queues (django_q, celery, huey, rq, django_tasks) have them."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.queues.table import kinds_of, needs_broker
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def queue_apps(apps: Apps, kind: str) -> dict[str, dict[str, Any]]:
    """The apps with a queue of some kind whose settings Homeport supplies."""
    return {
        name: {
            "directory": f"{app['home']}/config/overlay.d",
            "group": app["group"],
            "broker": app["broker"]["engine"] if needs_broker(kind) else "database",
            "queues": sorted(
                {
                    queue
                    for process in app["processes"].values()
                    if process.get("kind") == kind
                    for queue in process.get("queues", [])
                }
            ),
        }
        for name, app in apps.items()
        if app["overlay"] and kind in kinds_of(app["processes"])
    }
