#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Backups made and restored at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up the apps of a host now, try a restore, or restore an app
description:
  - The steps of the playbooks C(backup) and C(restore). The host must have been set up by the role backup, except for
    V(close) and V(open).
options:
  phase:
    description:
      - V(run) starts the host's own backup and waits for it; V(drill) does so with the restore drill.
      - V(look) says which backup would be restored and what it would replace.
      - V(ask) shows that to the operator, on the controller, and asks for the app's name.
      - V(restore) does it.
      - V(close) stops O(app) on a further host of it while its database is restored, and shows visitors the maintenance
        page. V(open) starts what V(close) has stopped, in this run or in one that has ended.
    type: str
    choices: [run, drill, look, ask, restore, close, open]
    required: true
  app:
    description: For all but V(run) and V(drill), name of the app that was backed up.
    type: str
    default: ""
  apps:
    description: For V(open), names of several apps, in place of O(app).
    type: list
    elements: str
    default: []
  command:
    description: For V(close), the command that opens the app again, should this run be interrupted.
    type: str
    default: ""
  into:
    description: Name of the app that is replaced, by default the same.
    type: str
    default: ""
  to:
    description: Which backup. V(latest), a time in UTC (C(2026-01-31T14:30)), or the beginning of its id.
    type: str
    default: latest
  target_time:
    description: In place of O(to), a point in time in UTC (C(2026-01-31T14:30:00)), to which the continuous archive
      restores the database. Files stay as they are.
    type: str
    default: ""
  database:
    description: Whether the database is restored, and not the files alone.
    type: bool
    default: true
  keep:
    description: Whether what is replaced is backed up before.
    type: bool
    default: true
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
  found:
    description: For V(ask), what V(look) found.
    type: dict
    default: {}
  holder:
    description: Who restores. Set by the action plugin.
    type: str
    default: ""
  run:
    description: Identifies this run. Set by the action plugin.
    type: str
    default: ""
  dead_runs:
    description: Runs of this controller that have ended. Set by the action plugin.
    type: list
    elements: str
    default: []
  unlock:
    description: For V(restore) and V(open), take the app from a run that has died.
    type: bool
    default: false
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at the latest backup
  homeport.django.backup:
    phase: look
    app: blog
"""

RETURN = r"""
apps:
  description: What came of it, by app.
  returned: for V(run) and V(drill)
  type: dict
found:
  description: The backup, and what it would replace.
  returned: for V(look)
  type: dict
restored:
  description: What was restored, and how many seconds each step took.
  returned: for V(restore)
  type: dict
"""

import json
import os
import re
import sqlite3
import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.main import alone, configured
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import (
    Restore,
    RestoreToTime,
    Torn,
    look,
    look_at_time,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.closing import (
    close_apps,
    open_apps,
    restoring,
    run_of,
)


def started(module: Module) -> dict[str, Any]:
    """Has systemd do what its timers do, with the same rights and bounds; returns what came of it."""
    kind = module.params["phase"]
    names = [spec["name"] for spec in configured()["apps"]]
    word = "backup" if kind == "run" else "drill"
    if module.check_mode:
        return {"changed": True, "apps": {}}
    before = {
        name: (backup_state.read(name).get(word) or {}).get("last") for name in [*names, backup_state.ALL]
    }
    code, _out, _err = module.run_command(["systemctl", "start", f"homeport-{word}.service"])
    found = {
        name: (backup_state.read(name).get(word) or {}).get("last") for name in [*names, backup_state.ALL]
    }
    failed = [f"{name}: {entry['message']}" for name, entry in found.items() if entry and not entry["ok"]] + [
        f"{name}: nothing was done" for name in names if found[name] == before[name]
    ]
    if code or failed:
        words = ["journalctl", "--unit", f"homeport-{word}", "--lines", "15", "--no-pager", "--output", "cat"]
        message = "\n".join(failed) or module.run_command(words)[1]
        raise DeployError(f"Not every backup succeeded:\n{message}")
    return {"changed": True, "apps": {name: found[name] for name in names}}


def restore(module: Module) -> dict[str, Any]:
    params = module.params
    config = configured()
    into = params["into"] or params["app"]
    specs = {spec["name"]: spec for spec in config["apps"]}
    if into not in specs:
        raise DeployError(f"{into} has no backups on this host: run the setup playbook first")
    app, store = App(specs[into]), Store(config)
    if params["phase"] == "look":
        found, work = prepared(params, app, store)
        return {"changed": False, "found": {**found, "command": work.command}}
    if module.check_mode:
        return {"changed": True}
    os.umask(0o077)
    dead = tuple(params["dead_runs"])
    with alone(), Lock(app.layout, params["run"], params["holder"], dead, params["unlock"]) as lock:
        lock.finish()
        lock.tell("a restore")
        found, work = prepared(params, app, store)
        restored = work.run()
    entry = {
        "verb": "restore",
        "outcome": "restored",
        "release": os.path.basename(app.release()),
        "before": os.path.basename(app.release()),
        "revision": found.get("commit", ""),
        "by": params["holder"],
        "seconds": sum(value for key, value in restored["seconds"].items() if key != "closed"),
        "message": described(params, found),
        "migrations": restored["migrated"],
    }
    release_history.append(app.name, entry)
    return {"changed": True, "restored": restored}


def prepared(params: dict[str, Any], app: App, store: Store) -> tuple[dict[str, Any], Restore]:
    """What is restored, and the work of doing so."""
    if params["target_time"]:
        found = look_at_time(app, params["target_time"])
        return found, RestoreToTime(app, store, found["target_time"], params["keep"])
    found = look(app, store, params["app"], params["to"], params["database"])
    return found, Restore(app, store, params["app"], found["snapshot"], params["keep"], params["database"])


def described(params: dict[str, Any], found: dict[str, Any]) -> str:
    if params["target_time"]:
        return f"the database as of {found['target_time']}"
    rest = "" if params["database"] else ", files alone"
    return f"backup {found['snapshot'][:8]} of {found['source']}, {found['time']}{rest}"


def elsewhere(module: Module) -> dict[str, Any]:
    """What a further host of an app does while its database is restored."""
    params = module.params
    names, phase = params["apps"] or [params["app"]], params["phase"]
    for name in names:
        if not re.fullmatch(APP_NAME, name):
            raise DeployError(f"{name!r} cannot be the name of an app")
    if module.check_mode:
        return {"changed": phase == "close" or any(os.path.exists(restoring(name)) for name in names)}
    if phase == "close":
        (name,) = names
        return close_apps([name], params["command"], restoring(name), params["run"])
    for name in names:
        run = run_of(restoring(name))
        if run not in ("", params["run"], *params["dead_runs"]) and not params["unlock"]:
            raise Locked(
                f"{name} is stopped here while another run restores its database: wait until that run ends. If it is "
                "dead, -e unlock=true starts the app",
                run,
            )
    opened = [open_apps(restoring(name))["changed"] for name in names]
    return {"changed": any(opened)}


PHASES = {"run": started, "drill": started, "close": elsewhere, "open": elsewhere}


def main() -> None:
    text = {"type": "str", "default": ""}
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": [*PHASES, "look", "restore"], "required": True},
            "app": text,
            "apps": {"type": "list", "elements": "str", "default": []},
            "command": text,
            "into": text,
            "to": {"type": "str", "default": "latest"},
            "target_time": text,
            "database": {"type": "bool", "default": True},
            "keep": {"type": "bool", "default": True},
            "holder": text,
            "run": text,
            "dead_runs": {"type": "list", "elements": "str", "default": []},
            "unlock": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        phase = module.params["phase"]
        result = PHASES[phase](module) if phase in PHASES else restore(module)
    except Locked as error:
        module.fail_json(msg=str(error), locked=error.run)
    except (DeployError, OSError, sqlite3.Error, xmlrpc.client.Error, json.JSONDecodeError) as error:
        message = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=message, torn=isinstance(error, Torn))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
