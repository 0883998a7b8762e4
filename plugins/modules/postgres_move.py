#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""PostgreSQL moved from one host to another."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_move
short_description: Move the PostgreSQL cluster of the apps to another host
description:
  - The steps of the playbook C(move_postgresql). Until the copy is promoted, the next run undoes what an interrupted
    one has left. Afterwards it finishes it.
options:
  phase:
    description:
      - On the host that PostgreSQL moves from, V(look_source) inspects the cluster, V(open) lets the other host copy,
        V(settle) writes a checkpoint, V(stop) counts everything and stops it, V(serve) starts it again, V(leave) keeps
        it as the way back, and V(drop) removes it.
      - On the host that it moves to, V(look) inspects, V(clear) replaces what an earlier run has left by an empty
        cluster, V(copy) becomes a replica, V(promote) compares and serves, V(resume) repeats the end of that, and
        V(forget) ends the move.
      - On the controller, V(ask) decides, shows the plan to the operator and asks for the name of the host.
    type: str
    choices: [look_source, open, settle, stop, serve, leave, drop, look, clear, copy, promote, resume, forget, ask]
    required: true
  source:
    description: For V(copy), the name of the host that PostgreSQL moves from. For V(ask), what V(look_source) found.
    type: raw
  origin:
    description: For V(ask), the name of the host that PostgreSQL moves from.
    type: str
  target:
    description: For V(ask), what V(look) found.
    type: dict
  address:
    description: For V(open) and V(copy), the address of the host that PostgreSQL moves from.
    type: str
  peer:
    description: For V(open), the address of the host that it moves to.
    type: str
  certificate:
    description: For V(open), the certificate for O(address).
    type: str
  key:
    description: For V(open), its key.
    type: str
  password:
    description: For V(open) and V(copy), the password of the role that copies.
    type: str
  version:
    description: For V(copy), the version of PostgreSQL that is copied.
    type: str
  extensions:
    description: For V(copy), the extensions that the cluster needs.
    type: list
    elements: str
    default: []
  contents:
    description: For V(promote), what V(stop) has counted.
    type: dict
  lsn:
    description: For V(promote), the last checkpoint that V(stop) has found.
    type: str
  apps:
    description: For V(ask), the apps whose databases are elsewhere.
    type: list
    elements: str
    default: []
  finish:
    description: For V(ask), whether the previous cluster is to be removed.
    type: bool
    default: false
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Inspect the database server
  homeport.django.postgres_move:
    phase: look
"""

RETURN = r"""
found:
  description: What was found; for V(ask), what is done, by C(goes) (move, resume, finish, or an empty string).
  returned: for V(look), V(look_source) and V(ask)
  type: dict
contents:
  description: Rows of every table, sequences and extensions by database, and digests of roles and rights.
  returned: for V(stop)
  type: dict
lsn:
  description: The last checkpoint of the cluster.
  returned: for V(stop)
  type: str
seconds:
  description: How long the step took.
  returned: for steps that change something
  type: float
"""

import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.move import cluster, source, target

LOOKS: dict[str, Callable[[], dict[str, Any]]] = {"look": target.look, "look_source": source.look}
STEPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "open": lambda given: source.open_way(
        *(given[key] for key in ("address", "peer", "certificate", "key", "password"))
    ),
    "settle": lambda given: source.settle(),
    "stop": lambda given: source.stop(),
    "serve": lambda given: source.serve(),
    "leave": lambda given: source.leave(),
    "drop": lambda given: source.finish(),
    "clear": lambda given: target.clear(),
    "copy": lambda given: target.copy(
        *(given[key] for key in ("source", "address", "password", "version", "extensions"))
    ),
    "promote": lambda given: target.promote(given["contents"], given["lsn"]),
    "resume": lambda given: target.resume(),
    "forget": lambda given: cluster.forget(),
}


def main() -> None:
    text = {"type": "str"}
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": [*LOOKS, *STEPS], "required": True},
            **dict.fromkeys(("source", "address", "peer", "certificate", "version", "lsn"), text),
            **{key: {"type": "str", "no_log": True} for key in ("key", "password")},
            "extensions": {"type": "list", "elements": "str", "default": []},
            "contents": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    phase = module.params["phase"]
    result: dict[str, Any] = {"changed": phase not in LOOKS}
    started = time.monotonic()
    try:
        if phase in LOOKS:
            result["found"] = LOOKS[phase]()
        elif not module.check_mode:
            done = STEPS[phase](module.params)
            result.update(done if isinstance(done, dict) else {})
            result["seconds"] = round(time.monotonic() - started, 1)
    except (DeployError, OSError, ValueError, subprocess.SubprocessError) as error:
        module.fail_json(
            msg=str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
