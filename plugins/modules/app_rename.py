#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The steps of renaming apps on their hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: app_rename
short_description: Rename apps on their hosts, with everything that they have
description:
  - Gives what a host has of an app's earlier name (the field C(was)) its present name. User, folder, logs, uploads, the
    database with its role, data of caches and brokers, certificates and records are renamed in place.
  - The releases are removed, since paths of the earlier name are in them. Visitors get the maintenance page until the
    next release is live.
  - A run that was interrupted is continued by the next one.
options:
  phase:
    description:
      - V(look) returns what the host has.
      - V(judge) decides on the controller which apps are renamed, reports it, and fails for what cannot be renamed.
      - V(stop) stops the apps, and V(rename) renames what the host has of them.
      - V(open) ends the maintenance of those that have a live release.
    type: str
    choices: [look, judge, stop, rename, open]
    required: true
  apps:
    description: The apps that have an earlier name, as P(homeport.django.renamed_apps#filter) returns them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the app.
        type: str
        required: true
      was:
        description: Its earlier name.
        type: str
        required: true
      database:
        description: Name of its database on the database server. Empty where it has none there.
        type: str
        default: ""
      further:
        description: Names of its further databases there, each with the name that it had under the earlier name.
        type: dict
        default: {}
  postgres:
    description: Whether the host runs the PostgreSQL cluster of the apps.
    type: bool
    default: false
  found:
    description: For V(judge), what V(look) returned, by host.
    type: dict
    default: {}
  missing:
    description: For V(judge), hosts that the run is limited to leave out.
    type: list
    elements: str
    default: []
  holder:
    description: Who renames the apps, for the record of their deploys. Set by the action plugin.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at what the host has of earlier names
  homeport.django.app_rename:
    phase: look
    apps: "{{ homeport_database_apps | homeport.django.renamed_apps }}"
"""

RETURN = r"""
found:
  description: What the host has, by app, and the names of all its apps.
  returned: for V(look)
  type: dict
go:
  description: The apps to rename.
  returned: for V(judge)
  type: list
  elements: dict
"""

import xmlrpc.client
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.rename import Rename
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import present


def main() -> None:
    app = {
        "name": {"type": "str", "required": True},
        "was": {"type": "str", "required": True},
        "database": {"type": "str", "default": ""},
        "further": {"type": "dict", "default": {}},
    }
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": ["look", "stop", "rename", "open"], "required": True},
            "apps": {"type": "list", "elements": "dict", "options": app, "required": True},
            "postgres": {"type": "bool", "default": False},
            "holder": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    params = module.params
    cluster = Cluster() if params["postgres"] else None
    renames = [
        Rename(app["name"], app["was"], app["database"], cluster, app["further"]) for app in params["apps"]
    ]
    name = ""
    result: dict[str, dict[str, Any]] = {}
    try:
        for rename in renames:
            name = rename.name
            done = step(rename, params, module.check_mode)
            for key, value in done.items():
                result.setdefault(key, {})[rename.was] = value
    except (DeployError, OSError, ValueError, xmlrpc.client.Error) as error:
        text = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=f"{name}: {text}")
    module.exit_json(**answer(params["phase"], result))


def step(rename: Rename, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    phase = params["phase"]
    if phase == "open":
        return {"done": not check_mode and rename.open()}
    found = rename.look()
    if phase == "look":
        return {"found": found}
    if not found["old"]:
        return {"done": False}
    if not check_mode:
        if phase == "stop":
            rename.stop()
        else:
            rename.run(params["holder"])
    return {"done": True}


def answer(phase: str, result: dict[str, Any]) -> dict[str, Any]:
    if phase == "look":
        return {"changed": False, "found": {"apps": present("/srv"), "renames": result.get("found", {})}}
    done = sorted(name for name, happened in result.get("done", {}).items() if happened)
    return {"changed": bool(done)}


if __name__ == "__main__":
    main()
