# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role supervisord has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import LIBRARY, Apps

# Longer than gunicorn's own graceful_timeout may be, and the same for every app: a changed setting must
# not change supervisord's configuration, which would restart the app.
STOP_WEB = 95


def supervisord_programs(apps: Apps) -> dict[str, dict[str, Any]]:
    """The processes of all apps, in supervisord's own options."""
    result: dict[str, dict[str, Any]] = {}
    for name, app in apps.items():
        common = {
            "user": app["user"],
            "redirect_stderr": True,
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 5,
        }
        if app["web"]["socket"]:
            result[f"{name}.web"] = {**web_program(name, app), **common}
        for process_name, process in app["processes"].items():
            if not process["count"]:
                continue
            result[f"{name}.{process_name}"] = {
                "command": f"{LIBRARY}/process {name} {process_name}",
                "process_name": "%(process_num)d",
                "numprocs": process["count"],
                "startsecs": process["start_seconds"],
                "startretries": 1000,
                "autorestart": True,
                "stopsignal": process["stop_signal"],
                "stopwaitsecs": process["stop_timeout"],
                "killasgroup": True,
                "stdout_logfile": f"{app['logs']}/{process_name}-%(process_num)d.log",
                **common,
            }
    return result


def web_program(name: str, app: Mapping[str, Any]) -> dict[str, Any]:
    socket = app["web"]["socket"]
    program = {
        "section": "fcgi-program",
        "command": f"{LIBRARY}/gunicorn-slot {name} %(process_num)d",
        "socket": socket,
        "socket_backlog": 2048,
        "process_name": "%(process_num)d",
        "numprocs": 2,
        "startsecs": 1,
        "startretries": 1000,
        "stopwaitsecs": STOP_WEB,
        "killasgroup": True,
        "stdout_logfile": f"{app['logs']}/web-%(process_num)d.log",
    }
    if socket.startswith("unix:"):
        program.update(socket_owner=f"{app['user']}:www-data", socket_mode="0660")
    return program
