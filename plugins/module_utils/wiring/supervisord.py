# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role supervisord has them: the target of the process list (docs/decisions/0033)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import INSTANCE
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

# What supervisord calls the number of an instance: the name of a process of a program.
SUPERVISORD_INSTANCE = "${SUPERVISOR_PROCESS_NAME:-0}"
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


def process_scripts(app: Mapping[str, Any]) -> dict[str, str]:
    """What sh reads to become each process; of the web process, only what it has in its environment alone."""
    scripts = {"web": own_variables(app["web"]["env"])} if app["web"]["env"] else {}
    for name, process in app["processes"].items():
        command = command_of(app["name"], process).replace(INSTANCE, SUPERVISORD_INSTANCE)
        scripts[name] = f"{own_variables(process['env'])}{command}\n"
    for name, schedule in app["schedules"].items():
        scripts[name] = f"{own_variables(schedule['env'])}{schedule['command']}\n"
    return scripts


def command_of(app: str, process: Mapping[str, Any]) -> str:
    """Lines of sh that become a process; of one that other hosts have as well, where it is this host's turn."""
    command, alone = process["command"], process["alone"]
    if not alone:
        return f"exec {command}"
    words = [
        f"exec python {LIBRARY}/lease.py hold {app}.{process['name']} {process['stop_signal']}",
        str(process["stop_timeout"]),
        *(f"--{key}={shlex.quote(value)}" for key, value in alone.items() if value),
        command,
    ]
    lines = [" ".join(words)]
    if alone["standby"]:
        # only the first of several instances schedules
        lines.insert(0, f'[ "{INSTANCE}" = 0 ] || exec {command} {alone["standby"]}')
    return "\n".join(lines)


def own_variables(env: Mapping[str, Any]) -> str:
    """Variables of one process for sh, which has those of the app and of the release: references are to these."""
    lines, values = [], []
    for number, (name, value) in enumerate(env.items()):
        if value is None:
            lines.append(f"unset {name}\n")
        elif isinstance(value, str):
            lines.append(f"export {name}={shlex.quote(value)}\n")
        else:
            lines.append(f'export {name}="$homeport_{number}"\n')
            values.append(f"homeport_{number}={expanded(value)}\n")
    return "".join([*values, *lines])


def expanded(value: Mapping[str, str]) -> str:
    """A value that is built from others, as a word of sh."""
    text = value["format"] if "format" in value else f"{{{value['from']}}}"
    parts = re.split(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", text)
    return "".join(
        f'"${{{part}-}}"' if number % 2 else shlex.quote(part) for number, part in enumerate(parts) if part
    )


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
