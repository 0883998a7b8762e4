# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role whitenoise has them."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def whitenoise_apps(apps: Apps) -> dict[str, dict[str, Any]]:
    """The apps whose static files whitenoise serves and whose settings Homeport supplies."""
    return {
        name: {"directory": f"{app['home']}/config/overlay.d", "group": app["group"]}
        for name, app in apps.items()
        if app["overlay"] and app["static"]["server"] == "whitenoise"
    }
