# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role gunicorn has them."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps, maintenance_folder


def gunicorn_apps(apps: Apps) -> dict[str, dict[str, Any]]:
    """The settings of each app's gunicorn."""
    result = {}
    for name, app in apps.items():
        web = app["web"]
        if not web["socket"]:
            continue
        settings: dict[str, Any] = {
            "workers": web["workers"],
            "threads": web["threads"],
            "worker_class": "gthread" if web["server"] == "wsgi" else "asgi",
            "timeout": web["timeout"],
            "graceful_timeout": web["graceful_timeout"],
            "max_requests": web["max_requests"],
            "max_requests_jitter": web["max_requests"] // 10,
            "proc_name": f"{name}.web",
            # where nginx stands in front it is the only one that reaches the socket
            "forwarded_allow_ips": "*" if app["proxied"] else "127.0.0.1",
            "accesslog": None if app["proxied"] else "-",
        }
        settings.update({key: scalar(value) for key, value in web["gunicorn"].items()})
        result[name] = {
            "directory": f"{app['home']}/config",
            "group": app["group"],
            "server": web["server"],
            "settings": settings,
            "memory": web.get("memory", 0),
            # not among gunicorn's own settings, which took no networks before gunicorn 25
            "trusted_proxies": [] if app["proxied"] else app["trusted_networks"],
            "published": app["static"]["root"] if app["static"]["server"] == "whitenoise" else "",
            # behind nginx it is nginx that keeps visitors out, whether the app runs or not
            "maintenance": "" if app["proxied"] else maintenance_folder(app),
        }
    return result


def scalar(text: str) -> Any:
    """The Python value that a setting written in YAML stands for."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):  # 007 is a text: gunicorn reads it as it likes
        return int(text)
    return float(text) if re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]+", text) else text


def python_literal(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(python_literal(item) for item in value)}]"
    return repr(value)
