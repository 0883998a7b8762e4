# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the module release has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.environment import RELEASE_ENVIRONMENT
from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import SETTINGS
from ansible_collections.homeport.django.plugins.module_utils.common.derive import digests
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import process_scripts
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import visits


def release_specs(apps: Apps) -> list[dict[str, Any]]:
    """What the release module needs to know of each app."""
    keys = (
        "name", "user", "home", "source", "manage", "settings", "overlay", "python", "node", "requirements", "build",
        "migrate", "static", "media", "shared", "health", "site_url", "server_packages",
        "keep_releases", "hooks", "secret_names",
    )  # fmt: skip
    return [
        {
            **{key: app[key] for key in keys if key in app},
            "databases": {
                alias: {"migrate": database["migrate"]} for alias, database in app["databases"].items()
            },
            "celery": celery_applications(app),
            "release_environment": own_and_conventional(app)[1],
            "visit": visits({app["name"]: app})[app["name"]],
            "application": app["web"].get("application", ""),
            "server": app["web"]["server"],
            "socket": app["web"]["socket"],
            "workers": app["web"]["workers"],
            "file_paths": list(app["files"]),
            "most_processes": app["limits"]["processes"],
            "stop_timeout": max(
                [process["stop_timeout"] for process in app["processes"].values()], default=10
            ),
        }
        for app in apps.values()
    ]


def celery_applications(app: Mapping[str, Any]) -> dict[str, str]:
    """The application of each process of Celery that has no settings of its own; empty for the settings' package."""
    return {
        name: process.get("application") or ""
        for name, process in app["processes"].items()
        if process.get("kind") in ("celery", "celery_beat") and SETTINGS not in process["env"]
    }


def own_and_conventional(app: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What a release adds to its environment: what the app asks for, which may hold secrets, and what all have."""
    own: dict[str, str] = {}
    conventional: dict[str, str] = {}
    for key, value in app["release_environment"].items():
        (conventional if RELEASE_ENVIRONMENT.get(key) == value else own)[key] = value
    return own, conventional


def release_secrets(apps: Apps, planning: bool = False) -> dict[str, dict[str, Any]]:
    """What the release module must not log: keys and addresses that lead to private code, what releases add to
    their environment, and for a plan digests of what the app's environment and processes are to be."""
    found: dict[str, dict[str, Any]] = {name: dict(app["source_secrets"]) for name, app in apps.items()}
    for name, app in apps.items():
        own = own_and_conventional(app)[0]
        if own:
            found[name]["release_environment"] = own
    if planning:
        for name, app in apps.items():
            found[name]["environment"] = digests(app["environment"])
            found[name]["processes"] = digests(process_scripts(app))
    return {name: values for name, values in found.items() if values}


def notifications(apps: Apps) -> dict[str, dict[str, str]]:
    """Whom to tell how a deploy ended, by app."""
    return {name: app["notify"] for name, app in apps.items() if app["notify"]}
