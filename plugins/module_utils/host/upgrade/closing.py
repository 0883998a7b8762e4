# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The apps of a host while another one upgrades or restores their database: closed to visitors before, opened
afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import time
import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.closed import TEXT
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import start, stop
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import STATE, write_whole

CLOSED = f"{STATE}/closed.json"  # on an app server, what is stopped meanwhile


def restoring(app: str) -> str:
    """Where it is written down that an app is closed for a restore."""
    return f"{STATE}/restoring.{app}.json"


def close_apps(names: list[str], command: str, path: str = "", run: str = "") -> dict[str, Any]:
    """Nothing of the apps runs, and visitors are told so; those that were closed already stay so afterwards. It is
    written down at ``path``, with the ``run`` that opens them; ``command`` does so once that was interrupted."""
    try:
        with open(path or CLOSED, encoding="utf-8") as stream:
            known = json.load(stream)  # of a run that was interrupted, since which the host may have rebooted
    except FileNotFoundError:
        there = [name for name in names if os.path.isdir(f"{App(name).home}/maintenance")]
        ours = [name for name in there if not os.path.exists(f"{App(name).home}/maintenance/on")]
        known = {"apps": there, "ours": ours, "since": time.time()}
    write_whole(path or CLOSED, {**known, "run": run, "command": command})
    for name in known["ours"]:
        with open(f"{App(name).home}/maintenance/on", "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(TEXT.format(command))
    for name in known["apps"]:
        stop(App(name))
    return {"changed": True}


def check_closed_by(command: str) -> None:
    """Raises where another command has closed the apps: their database may be half-way between two servers."""
    with contextlib.suppress(FileNotFoundError), open(CLOSED, encoding="utf-8") as stream:
        found = json.load(stream)
        if found.get("command", command) != command:
            raise DeployError(
                f"{found['command']} was interrupted and has closed {', '.join(found['apps'])}: run that again first"
            )


def run_of(path: str) -> str:
    """The run that has closed apps, as far as that is known."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
        return str(json.load(stream).get("run", ""))
    return ""


def open_apps(path: str = "") -> dict[str, Any]:
    """Starts what was stopped, and returns for how many seconds visitors were kept out."""
    try:
        with open(path or CLOSED, encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return {"changed": False, "seconds": 0}
    apps = {name: App(name) for name in found["apps"]}
    failed = []
    for app in apps.values():
        try:
            start(app)
        except (DeployError, OSError, xmlrpc.client.Error) as error:  # the other apps are opened all the same
            failed.append(f"{app.name} was not started: {error}")
    for name in found["ours"]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{apps[name].home}/maintenance/on")
    os.unlink(path or CLOSED)
    if failed:
        raise DeployError("\n".join(failed))
    return {"changed": True, "seconds": round(time.time() - found["since"], 1)}
