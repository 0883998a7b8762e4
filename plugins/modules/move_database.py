#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app's rows from SQLite to PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
module: move_database
short_description: Move the rows of an app from SQLite to PostgreSQL
description:
  - The steps of the playbook C(move_database). The app is already deployed with PostgreSQL, whose tables its
    migrations have made; its SQLite file is still there, and stays.
  - Every row is copied in one transaction with the key that it has, and the rows of every table are counted on
    both sides before that ends. Anything that does not fit leaves PostgreSQL as it was.
options:
  phase:
    description:
      - V(look) counts what there is. V(ask) shows it to the operator, on the controller, and asks for the app's name.
      - V(move) does it, while nothing of the app runs.
    type: str
    choices: [look, ask, move]
    required: true
  app:
    description: Name of the app.
    type: str
    required: true
  file:
    description: The SQLite file, below the app's folder.
    type: str
    default: ""
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
  found:
    description: For V(ask), what V(look) found.
    type: dict
    default: {}
  holder:
    description: Who moves it. Set by the action plugin.
    type: str
    default: ""
  run:
    description: What tells this run from others. Set by the action plugin.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Move the rows
  homeport.django.move_database:
    phase: move
    app: blog
"""

RETURN = r"""
found:
  description: What there is on both sides.
  returned: for V(look)
  type: dict
moved:
  description: Tables, rows and seconds.
  returned: for V(move)
  type: dict
"""

import json
import os
import re
import sqlite3
import time
import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils import claims, release_history
from ansible_collections.homeport.django.plugins.module_utils.app_module import Module
from ansible_collections.homeport.django.plugins.module_utils.app_schema import APP_NAME
from ansible_collections.homeport.django.plugins.module_utils.backup_take import App
from ansible_collections.homeport.django.plugins.module_utils.release_layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.release_lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.release_migrations import COUNTED, MOVE
from ansible_collections.homeport.django.plugins.module_utils.release_probe import MARK
from ansible_collections.homeport.django.plugins.module_utils.removal_look import App as Services
from ansible_collections.homeport.django.plugins.module_utils.removal_steps import start, stop


def look(app: App, path: str) -> dict[str, Any]:
    """What both databases hold; refuses where there is nothing to move, or no place for it."""
    there = app.look()
    if there["vendor"] != "postgresql":
        raise DeployError(
            f"the database of {app.name} is {there['vendor']}: set database.engine to postgres (or choose a setup that "
            "has it), and run the setup playbook first"
        )
    if not app.runner.as_app("looking for the file", is_file, path):
        raise DeployError(f"there is no SQLite file {path}; -e file=PATH names another one")
    here = app.look(path, "sqlite")
    return {"file": path, "rows": sum(here["rows"].values()), "tables": len(here["rows"]), **now(there)}


def is_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def now(there: dict[str, Any]) -> dict[str, int]:
    return {"rows_now": sum(there["rows"].values()), "tables_now": len(there["rows"])}


def move(app: App, path: str, holder: str) -> dict[str, Any]:
    began = time.monotonic()
    services = Services(app.name)
    release = app.release()
    question = json.dumps({"mark": MARK, "file": path})
    stop(services)
    try:
        out = app.runner.in_release(
            release, ["python", "-c", MOVE, release, question], "moving the rows", timeout=6 * 3600
        )
    finally:
        start(services)
    after = claims.answer(out, MARK, COUNTED, "moving the rows")
    seconds = round(time.monotonic() - began, 2)
    rows = sum(after["rows"].values())
    entry = {
        "verb": "move_database",
        "outcome": "moved",
        "release": os.path.basename(release),
        "before": os.path.basename(release),
        "revision": "",
        "by": holder,
        "seconds": seconds,
        "message": f"{rows} rows from {path} to PostgreSQL",
        "migrations": [],
    }
    release_history.append(app.name, entry)
    return {"file": path, "rows": rows, "tables": len(after["rows"]), "seconds": seconds}


def main() -> None:
    text = {"type": "str", "default": ""}
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": ["look", "move"], "required": True},
            "app": {"type": "str", "required": True},
            "file": text,
            "holder": text,
            "run": text,
        },
        supports_check_mode=True,
    )
    params = module.params
    name = params["app"]
    if not re.fullmatch(APP_NAME, name):
        module.fail_json(msg=f"{name!r} cannot be the name of an app")
    home = f"/srv/{name}"
    app = App({"name": name, "user": name, "home": home, "sqlite": "", "database": "", "scratch": ""})
    path = os.path.normpath(params["file"] or f"{home}/shared/data/db.sqlite3")
    try:
        if not path.startswith(f"{home}/"):
            raise DeployError(f"file: must be below {home}")
        if params["phase"] == "look":
            module.exit_json(changed=False, found=look(app, path))
        if module.check_mode:
            module.exit_json(changed=True)
        with Lock(app.layout, params["run"], params["holder"]) as lock:
            lock.finish()
            look(app, path)
            moved = move(app, path, params["holder"])
    except Locked as error:
        module.fail_json(msg=str(error), locked=error.run)
    except (DeployError, OSError, sqlite3.Error, xmlrpc.client.Error) as error:
        told = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=f"{told}\nThe SQLite file is as it was, and so is what PostgreSQL held.")
    module.exit_json(changed=True, moved=moved)


if __name__ == "__main__":
    main()
