#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app's rows from SQLite to PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
module: move_database
short_description: Move the rows of an app from SQLite to PostgreSQL
description:
  - The steps of the playbook C(move_database). The next release of the app has PostgreSQL, whose tables its migrations
    have made, and is not live yet. The SQLite file stays as it is.
  - Every row is copied in one transaction with its key, and read again and compared before the transaction ends. When
    anything differs or is rejected, PostgreSQL stays as it was and the live release runs again.
options:
  phase:
    description:
      - V(look) counts the rows. V(ask) shows that to the operator, on the controller, and asks for the app's name.
      - V(move) stops the app and copies. The app stays stopped until its next release is live; V(start) starts what is
        still stopped then, such as its timers.
    type: str
    choices: [look, ask, move, start]
    required: true
  app:
    description: Name of the app.
    type: str
    required: true
  file:
    description:
      - The SQLite file, below the app's folder. By default the database of the live release, or C(db.sqlite3) where
        the live release has PostgreSQL already.
    type: str
    default: ""
  replace:
    description:
      - Replace rows of PostgreSQL that the SQLite file does not have, after a dump of the database. Without it they are
        a reason to refuse.
    type: bool
    default: false
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
    description: Identifies this run. Set by the action plugin.
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
  description: The file, its tables and rows, and those of PostgreSQL where it is live already.
  returned: for V(look)
  type: dict
moved:
  description: The file, its tables and rows, whether they were copied by this run, the dump of what they replace, and
    the seconds that it took.
  returned: for V(move)
  type: dict
"""

import os
import re
import sqlite3
import time
import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Database
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App as Services
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import database_of
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import start, stop

# The form of the answer of the program move: the rows of each table; whether they were copied, or had been before; and
# by table, how many rows of PostgreSQL the file does not have. Where there are such rows nothing was done.
MOVED = {"rows": {str: int}, "copied": bool, "extra": {str: int}}
LONGEST = 6 * 3600  # seconds
UNCHANGED = "The SQLite file and PostgreSQL are as they were."


class Next(App):
    """The app as its next release sees it."""

    def release(self) -> str:
        release = self.layout.resolve_link(self.layout.next_link)
        if not release:
            raise DeployError(f"{self.name} has no release with PostgreSQL; run the playbook move_database")
        return release


def chosen_file(app: App, name: str) -> str:
    """The SQLite file: the one that is named, or the live release's."""
    if not name:
        current = app.layout.current
        live = database_of(exports(f"{current}/config/env")) if current else {}
        name = live["name"] if live.get("engine") == "sqlite" else f"{app.home}/shared/data/db.sqlite3"
    path = os.path.normpath(name)
    if not path.startswith(f"{app.home}/"):
        raise DeployError(f"file: must be below {app.home}")
    if not app.runner.as_app("Looking for the file", is_file, path):
        raise DeployError(f"There is no SQLite file {path}: -e file=PATH names another one")
    return path


def is_file(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def look(app: App, path: str) -> dict[str, Any]:
    """What the file holds, and what PostgreSQL does where it is live already."""
    live = app.look()
    here = moving(app.look(path, "sqlite")["rows"])
    there = moving(live["rows"]) if live["vendor"] == "postgresql" else {}
    return {
        "file": path,
        "rows": sum(here.values()),
        "tables": len(here),
        "rows_now": sum(there.values()),
        "tables_now": len(there),
    }


def moving(rows: dict[str, int]) -> dict[str, int]:
    """Without the migrations, which each database keeps for itself."""
    return {name: count for name, count in rows.items() if name != "django_migrations"}


def move(app: App, path: str, replace: bool, holder: str) -> dict[str, Any]:
    began = time.monotonic()
    release = app.release()
    services = Services(app.name)
    try:
        stop(services)
        answer, dump = copied(app, path, replace)
    except BaseException:
        start(services)
        raise
    moved = {
        "file": path,
        "rows": sum(answer["rows"].values()),
        "tables": len(answer["rows"]),
        "copied": answer["copied"],
        "dump": dump,
        "seconds": round(time.monotonic() - began, 2),
    }
    if answer["copied"]:
        entry = {
            "verb": "move_database",
            "outcome": "moved",
            "release": os.path.basename(release),
            "before": os.path.basename(app.layout.current or ""),
            "revision": "",
            "by": holder,
            "seconds": moved["seconds"],
            "message": f"{moved['rows']} rows from {path} to PostgreSQL",
            "migrations": [],
        }
        release_history.append(app.name, entry)
    return moved


def copied(app: App, path: str, replace: bool) -> tuple[dict[str, Any], str]:
    """The answer of the copy, and the dump of what it has replaced."""
    answer = ask(app, path, False)
    if not answer["extra"]:
        return answer, ""
    message = ", ".join(f"{name} ({count})" for name, count in sorted(answer["extra"].items()))
    if not replace:
        raise DeployError(
            f"PostgreSQL has rows that {path} does not have: {message}. Migrations have inserted them, or the app has "
            "run with PostgreSQL before. -e replace=true replaces them, after a dump; maintenance -e state=off opens "
            "the app with the database that it has"
        )
    release = app.release()
    known = {"vendor": "postgresql", "bytes": app.look().get("bytes", 0), "pending": []}
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-move_database"
    dump = Database(app.layout, release).dump(known, name, "")
    return ask(app, path, True), dump


def ask(app: App, path: str, replace: bool) -> dict[str, Any]:
    release = app.release()
    argv = argv_of("move", release=release, file=path, replace=replace)
    out = app.runner.in_release(release, argv, "Moving the rows", timeout=LONGEST)
    return claims.answer(out, MARK, MOVED, "Moving the rows")


def main() -> None:
    text = {"type": "str", "default": ""}
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": ["look", "move", "start"], "required": True},
            "app": {"type": "str", "required": True},
            "file": text,
            "replace": {"type": "bool", "default": False},
            "holder": text,
            "run": text,
        },
        supports_check_mode=True,
    )
    params = module.params
    name = params["app"]
    if not re.fullmatch(APP_NAME, name):
        module.fail_json(msg=f"{name!r} cannot be the name of an app")
    spec = {"name": name, "user": name, "home": f"/srv/{name}", "sqlite": "", "database": "", "scratch": ""}
    try:
        if params["phase"] == "look":
            app = App(spec)
            module.exit_json(changed=False, found=look(app, chosen_file(app, params["file"])))
        if module.check_mode:
            module.exit_json(changed=True)
        if params["phase"] == "start":
            start(Services(name))
            module.exit_json(changed=True)
        app = Next({**spec, "migrate": {}})
        # the run goes on with the switch, so it keeps the app when this step is done
        with Lock(app.layout, params["run"], params["holder"]) as lock:
            lock.tell("moving its rows to PostgreSQL")
            moved = move(app, chosen_file(app, params["file"]), params["replace"], params["holder"])
    except Locked as error:
        module.fail_json(msg=str(error), locked=error.run)
    except (DeployError, OSError, sqlite3.Error, xmlrpc.client.Error) as error:
        message = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=f"{message}\n{UNCHANGED}")
    module.exit_json(changed=moved["copied"], moved=moved)


if __name__ == "__main__":
    main()
