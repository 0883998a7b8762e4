# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role rabbitmq has them."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def rabbitmq_app_vhosts(apps: Apps) -> list[dict[str, Any]]:
    """A virtual host for each app, and users who can do nothing outside of it."""
    return [
        {"name": app["broker"]["vhost"], "users": app["broker"]["logins"]}
        for app in apps.values()
        if app["broker"]["managed"] and app["broker"]["engine"] == "rabbitmq"
    ]
