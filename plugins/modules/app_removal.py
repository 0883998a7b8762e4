#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The steps of removing an app from its hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_removal
short_description: Remove everything of one app from its hosts, after a last dump
description:
  - The steps of the playbook C(remove_app). Between the dump and the removal it runs the roles without the app, so
    that each role removes its own files.
  - What there is of an app is read from the hosts. The app need not be declared any more.
  - Nothing but what belongs to exactly this app is touched, and no link in its folders is followed.
options:
  phase:
    description:
      - V(look) says what there is on the host.
      - V(ask) shows that to the operator, on the controller, and asks for the app's name.
      - V(stop) ends all processes of the app; V(start) starts them again.
      - V(dump) writes the last dump, reads it back, and only then gives it its name. Nothing is left of one
        that fails.
      - V(remove) drops the databases and the role, and removes folders and the user.
      - V(report) says, on the controller, what is left to do.
    type: str
    choices: [look, ask, stop, start, dump, remove, report]
    required: true
  app:
    description: Name of the app.
    type: str
    required: true
  database:
    description: Whether the host runs the PostgreSQL cluster that may hold databases of the app.
    type: bool
    default: false
  keep_databases:
    description: Databases that are left as they are although they belong to the app's role.
    type: list
    elements: str
    default: []
  vhost:
    description: For V(look), whether the host's RabbitMQ has a virtual host or a user of the app's name.
    type: bool
    default: false
  stamp:
    description: For V(dump) and V(remove), end of the dump's name, as V(ask) returns it.
    type: str
    default: ""
  holder:
    description: Who removes the app, for the record of its deploys. Set by the action plugin.
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
    description: Take the app from a deploy that has died.
    type: bool
    default: false
  found:
    description: For V(ask), the results of V(look) by host. For V(report), the folder of the dump by host.
    type: dict
    default: {}
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
  dump:
    description: For V(ask) and V(remove), whether there is a dump.
    type: bool
    default: true
  missing:
    description: For V(ask), hosts that the run was limited away from.
    type: list
    elements: str
    default: []
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at what there is of the app
  homeport.django.app_removal:
    phase: look
    app: blog
"""

RETURN = r"""
found:
  description: What there is of the app.
  returned: for V(look)
  type: dict
go:
  description: Whether there is something to remove, and the operator wants it removed.
  returned: for V(ask)
  type: bool
stamp:
  description: End of the name of the dump.
  returned: for V(ask)
  type: str
contents:
  description: The files of the dump.
  returned: for V(dump)
  type: list
  elements: dict
folder:
  description: Folder of the dump, or an empty string where there was nothing to put into it.
  returned: for V(dump)
  type: str
removed:
  description: What was removed.
  returned: for V(remove)
  type: list
  elements: str
"""

import os
import re
import sqlite3
import time
import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, RESERVED_NAMES
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LAST_DUMPS
from ansible_collections.homeport.django.plugins.module_utils.common.removal import is_there
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.host.removal.dump import Dump
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App, look
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import (
    remove,
    remove_user,
    start,
    stop,
)


class Removal:
    """One step on one host. Each finds out for itself what there is: the run before may have been interrupted."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.app = App(self.params["app"])
        self.cluster = Cluster() if self.params["database"] else None
        self.found = look(self.app, self.cluster, self.params["keep_databases"], self.params["vhost"])

    def run(self) -> dict[str, Any]:
        phase = self.params["phase"]
        if phase == "look":
            return {"changed": False, "found": self.found}
        if not is_there(self.found):
            return {"changed": False}
        if self.module.check_mode:
            return {"changed": True}
        steps = {"stop": self.stop, "start": self.start, "dump": self.dump, "remove": self.remove}
        if not os.path.isdir(self.app.home):  # a database server, or one whose removal was interrupted
            return steps[phase]()
        lock = Lock(
            self.app.layout,
            self.params["run"],
            self.params["holder"],
            tuple(self.params["dead_runs"]),
            self.params["unlock"],
        )
        with lock:
            if phase in ("start", "remove"):
                lock.finish()
            return steps[phase]()

    def stop(self) -> dict[str, Any]:
        running = bool(self.found["processes"])
        stop(self.app)
        return {"changed": running}

    def start(self) -> dict[str, Any]:
        start(self.app)
        return {"changed": True}

    def dump(self) -> dict[str, Any]:
        dump = Dump(self.app, self.params["stamp"])
        facts = {
            "time": self.params["stamp"],
            "by": self.params["holder"],
            "release": self.found["release"],
            "revision": self.found["revision"],
            "database": self.found["database"],
        }
        contents = dump.make(self.cluster, self.params["keep_databases"], facts)
        return {"changed": bool(contents), "contents": contents, "folder": dump.folder if contents else ""}

    def remove(self) -> dict[str, Any]:
        started = time.monotonic()
        known_here = self.app.is_ours()
        removed = remove(self.app, self.cluster, self.params["keep_databases"])
        if known_here:
            entry = {
                "verb": "remove",
                "outcome": "removed",
                "release": "",
                "before": self.found["release"],
                "revision": self.found["revision"],
                "by": self.params["holder"],
                "seconds": round(time.monotonic() - started, 2),
                "message": self.message(),
                "migrations": [],
            }
            release_history.append(self.app.name, entry)
        return {"changed": True, "removed": removed + remove_user(self.app)}

    def message(self) -> str:
        return (
            f"dump in {LAST_DUMPS}/{self.app.name}-{self.params['stamp']}"
            if self.params["dump"]
            else "no dump"
        )


def main() -> None:
    module = Module(
        argument_spec={
            "phase": {
                "type": "str",
                "choices": ["look", "stop", "start", "dump", "remove"],
                "required": True,
            },
            "app": {"type": "str", "required": True},
            "database": {"type": "bool", "default": False},
            "keep_databases": {"type": "list", "elements": "str", "default": []},
            "vhost": {"type": "bool", "default": False},
            "stamp": {"type": "str", "default": ""},
            "holder": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "dead_runs": {"type": "list", "elements": "str", "default": []},
            "unlock": {"type": "bool", "default": False},
            "dump": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    name = module.params["app"]
    if not re.fullmatch(APP_NAME, name) or name in RESERVED_NAMES:
        module.fail_json(msg=f"{name!r} cannot be the name of an app")
    try:
        result = Removal(module).run()
    except Locked as error:
        module.fail_json(msg=str(error), locked=error.run)
    except (DeployError, OSError, sqlite3.Error, xmlrpc.client.Error) as error:
        text = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=f"{name}: {text}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
