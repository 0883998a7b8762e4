#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""PostgreSQL upgraded to a newer version."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_upgrade
short_description: Upgrade the PostgreSQL cluster of the apps to a newer version
description:
  - The steps of the playbook C(upgrade_postgresql). A run that was interrupted is undone by the next one, or finished
    once the new cluster has been started.
options:
  phase:
    description:
      - V(look) says what would be upgraded and how long it interrupts; it undoes what an interrupted run has left.
      - V(ask) shows that to the operator, on the controller, and asks for the version.
      - V(prepare) does what can be done while the old cluster serves.
      - V(close) stops O(apps) and shows their visitors the maintenance page, V(open) starts what V(close) has stopped.
      - V(switch) upgrades, V(undo) goes back to the old cluster.
      - V(finish) makes the statistics of the new cluster, V(archive) waits for its first base backup.
      - V(confirm) removes the old cluster, or what an upgrade has left that failed or was undone.
    type: str
    choices: [look, ask, prepare, close, open, switch, undo, finish, archive, confirm]
    required: true
  to:
    description: The version. By default the one that the host's distribution supports.
    type: str
    default: ""
  mode:
    description: V(copy) keeps the old cluster as it was, V(link) needs no space for it and keeps dumps.
    type: str
    choices: [copy, link]
    default: copy
  verb:
    description: What V(look) looks for and V(ask) asks for.
    type: str
    choices: [upgrade, undo, finish]
    default: upgrade
  extensions:
    description: For V(look), Debian packages by extension (C(postgres_extension_packages)).
    type: dict
    default: {}
  apps:
    description: For V(close), names of the apps.
    type: list
    elements: str
    default: []
  command:
    description:
      - For V(close) and V(open), the playbook that does so. Apps that another one has closed, and whose run was
        interrupted, are left alone with an error.
    type: str
    default: upgrade_postgresql
  found:
    description: For V(ask), what V(look) found.
    type: dict
    default: {}
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at PostgreSQL
  homeport.django.postgres_upgrade:
    phase: look
"""

RETURN = r"""
found:
  description:
    - What would be done, by C(goes) (upgrade, resume, undo, finish, or an empty string), and why nothing. In check
      mode also back, where an interrupted run would be undone first. With undone, the old cluster serves, and what
      follows that is done once more.
    - C(upgraded) says whether it was upgraded and the way back is still kept.
  returned: for V(look)
  type: dict
seconds:
  description: How long the step took; for V(open), how long the apps were closed.
  returned: for V(switch), V(undo), V(finish), V(archive) and V(open)
  type: float
"""

import contextlib
import fcntl
import json
import os
import time
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import (
    Archive,
    configured,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.closing import (
    CLOSED,
    check_closed_by,
    close_apps,
    open_apps,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.finish import confirm, finish
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.plan import look as planned
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.plan import (
    newest_packaged,
    replaced,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import Upgrade, call
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.prepare import prepare
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import STATE, record
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.switch import back, switch, undo


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One upgrade at a time: one whose operator has left goes on."""
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(f"{STATE}/lock", "w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeployError(
                "Another upgrade of PostgreSQL is still running on this host: wait for it, and run this again"
            ) from None
        yield


def look(params: dict[str, Any], check: bool) -> dict[str, Any]:
    known, verb = record(), params["verb"]
    if known.get("phase") == "stopped":
        if check:
            return {"goes": "back", "old": known["old"], "new": known["new"]}
        with alone():
            back(Upgrade.recorded())
        known = record()
    version, cluster = used_cluster()
    if not version:
        raise DeployError("This host has no PostgreSQL cluster")
    switched = known.get("phase") == "switched"
    if verb == "finish" and known.get("phase") in ("prepared", "undone"):
        if version != known["old"]:
            raise DeployError(
                f"The last upgrade ended with PostgreSQL {known['old']}, and the host has {version} now: remove by "
                "hand what it left"
            )
        replaced(Upgrade.recorded())  # refuses where somebody else uses that cluster
        return {"goes": "finish", "old": known["new"], "new": known["old"], "mode": known["mode"]}
    if known.get("phase") == "undoing":
        with alone():
            pass
        if verb != "undo":
            raise DeployError(
                f"The rollback to PostgreSQL {known['old']} was interrupted: -e undo=true goes on with that"
            )
        return {"goes": "undo", "old": known["old"], "new": known["new"], "mode": known["mode"]}
    if verb == "undo" and known.get("phase") in ("prepared", "undone") and version == known["old"]:
        return {"goes": "undone", "old": known["old"], "new": known["new"], "mode": known["mode"]}
    if verb != "upgrade":
        if not switched:
            raise DeployError(
                "No upgrade of PostgreSQL was made on this host, or it was undone or finished already"
            )
        if verb == "finish" and not known.get("finished"):
            raise DeployError("The upgrade is not complete yet: run this without finish first")
        if verb == "undo" and known["mode"] == "link":
            undo(Upgrade.recorded())  # which says why not
        return {"goes": verb, "old": known["old"], "new": known["new"], "mode": known["mode"]}
    if switched and not known.get("finished"):
        return {"goes": "resume", "old": known["old"], "new": known["new"], "mode": known["mode"]}
    wanted = params["to"] or newest_packaged()
    if not wanted.isdigit():
        raise DeployError(f"to: {wanted!r} is no version of PostgreSQL; it is a number like 17")
    if int(wanted) <= int(version):
        kept = f" The cluster of PostgreSQL {known['old']} is kept for a rollback." if switched else ""
        return {
            "goes": "",
            "upgraded": switched,
            "why": f"PostgreSQL {version} is what the host has, and {wanted} is wanted.{kept}",
        }
    if switched:
        raise DeployError(
            f"The upgrade from PostgreSQL {known['old']} to {known['new']} is not finished: -e finish=true removes "
            "what a rollback needs, -e undo=true rolls back"
        )
    upgrade = Upgrade(version, wanted, cluster, params["mode"])
    return {"goes": "upgrade", **planned(upgrade, params["extensions"])}


def work(phase: str, params: dict[str, Any]) -> dict[str, Any]:
    if phase == "prepare":
        version, cluster = used_cluster()
        upgrade = Upgrade(version, params["to"], cluster, params["mode"])
        started = time.monotonic()
        dumps = prepare(upgrade)
        return {"changed": True, "dumps": dumps, "seconds": round(time.monotonic() - started, 1)}
    upgrade = Upgrade.recorded()
    if phase == "switch":
        return {"changed": True, "seconds": switch(upgrade)}
    if phase == "undo":
        started = time.monotonic()
        undo(upgrade)
        return {"changed": True, "seconds": round(time.monotonic() - started, 1)}
    if phase == "finish":
        return {"changed": True, "seconds": finish(upgrade)}
    confirm(upgrade)
    return {"changed": True}


def archive() -> dict[str, Any]:
    """The first base backup of the cluster, which the archive's own units begin and this waits for."""
    system = Archive(configured()).system()

    def last(which: str) -> dict[str, Any]:
        return (backup_state.read(backup_state.ARCHIVE).get("full") or {}).get(which) or {}

    if last("good").get("system") == system:
        return {"changed": False, "seconds": 0}
    call(
        ["systemctl", "start", "homeport-archive.service"],
        "Upgrading the archive's stanza",
    )
    with contextlib.suppress(DeployError):  # what came of it is written down
        call(["systemctl", "start", "homeport-archive-full.service"], "The base backup")
    if last("good").get("system") != system:
        why = last("last").get("message") or "homeport-archive-full did not end well"
        raise DeployError(
            f"PostgreSQL serves, and its archive has no base backup of this cluster: {why}\nSolve that, and run on "
            "this host: systemctl start homeport-archive && systemctl start homeport-archive-full\n"
            "status stays red until then"
        )
    return {"changed": True, "seconds": last("good")["seconds"]}


def main() -> None:
    text = {"type": "str", "default": ""}
    phases = ["look", "prepare", "close", "open", "switch", "undo", "finish", "archive", "confirm"]
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": phases, "required": True},
            "to": text,
            "mode": {"type": "str", "choices": ["copy", "link"], "default": "copy"},
            "verb": {"type": "str", "choices": ["upgrade", "undo", "finish"], "default": "upgrade"},
            "extensions": {"type": "dict", "default": {}},
            "apps": {"type": "list", "elements": "str", "default": []},
            "command": {"type": "str", "default": "upgrade_postgresql"},
        },
        supports_check_mode=True,
    )
    params, phase = module.params, module.params["phase"]
    try:
        if phase == "look":
            result = {"changed": False, "found": look(params, module.check_mode)}
        elif module.check_mode:
            result = {"changed": phase != "open" or os.path.exists(CLOSED)}
        elif phase == "close":
            check_closed_by(params["command"])
            result = close_apps(params["apps"], params["command"])
        elif phase == "open":
            check_closed_by(params["command"])
            result = open_apps()
        elif phase == "archive":
            result = archive()
        else:
            with alone():
                result = work(phase, params)
    except (DeployError, OSError, xmlrpc.client.Error, json.JSONDecodeError) as error:
        told = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=told)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
