# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the module local_app has them."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import variable
from ansible_collections.homeport.django.plugins.module_utils.app.media import media_environment
from ansible_collections.homeport.django.plugins.module_utils.common.names import DIRECT
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import geographic
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import release_specs
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def local_apps(apps: Apps, folder: str, first_port: int = 8000) -> list[dict[str, Any]]:
    """The apps as they run on the operator's own machine: SQLite, DEBUG on, one port for each."""
    result = []
    for number, (name, app) in enumerate(apps.items()):
        home, port = f"{folder}/{name}", first_port + number
        # uploads that are tried here stay here
        elsewhere = media_environment(app["bucket"])
        kept = {
            key: value
            for key, value in app["environment"].items()
            if not key.startswith("PG")
            and not key.endswith(DIRECT)
            and key != "HOME"
            and key not in elsewhere
        }
        scheme = "spatialite" if geographic(app) else "sqlite"
        origins = ",".join(f"http://{host}:{port}" for host in LOCAL_NAMES[:2])
        environment = {
            **kept,
            **dict.fromkeys(("DEBUG", "DJANGO_DEBUG", "SERVE_MEDIA"), "1"),
            **dict.fromkeys(("ALLOWED_HOSTS", "DJANGO_ALLOWED_HOSTS"), ",".join(LOCAL_NAMES)),
            **dict.fromkeys(("CSRF_TRUSTED_ORIGINS", "DJANGO_CSRF_TRUSTED_ORIGINS"), origins),
            **dict.fromkeys(("STATIC_ROOT", "DJANGO_STATIC_ROOT"), f"{home}/static"),
            **dict.fromkeys(("MEDIA_ROOT", "DJANGO_MEDIA_ROOT"), f"{home}/media"),
            **({"MEDIA_URL": app["media"]["url"]} if elsewhere else {}),
            # a CDN knows the files of the servers alone
            "STATIC_URL": app["static"]["url"],
            "SITE_URL": f"http://localhost:{port}",
            "DATABASE_URL": f"{scheme}:///{home}/db.sqlite3",
            "SQLITE_PATH": f"{home}/db.sqlite3",
            **{variable(alias): f"{scheme}:///{home}/{alias}.sqlite3" for alias in app["databases"]},
            "CONN_MAX_AGE": "0",
        }
        spec = next(spec for spec in release_specs({name: app}))
        result.append(
            {
                **spec,
                "home": home,
                "port": port,
                "server_packages": [],
                "server": "wsgi",
                "environment": environment,
            }
        )
    return result
