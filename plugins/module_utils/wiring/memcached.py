# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role memcached has them."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def memcached_app_instances(apps: Apps) -> list[dict[str, Any]]:
    """One instance for each app, which its group alone can reach."""
    return [
        {"name": name, "group": app["group"], "memory": app["cache"]["memory"]}
        for name, app in apps.items()
        if app["cache"]["managed"] and app["cache"]["engine"] == "memcached"
    ]
