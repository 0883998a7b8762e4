# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Decides what a run of move_postgresql does, shows it to the operator and asks; tells what came of each step."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.wiring.moves import MoveError, decided
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed

MODULE = "homeport.django.postgres_move"
TOLD = {
    "copy": "PostgreSQL is copied, and the copy follows",
    "promote": "PostgreSQL serves here: all tables, sequences, extensions and roles are the same",
    "serve": "PostgreSQL serves here as before",
    "drop": "the previous cluster is removed",
}

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        phase, host = arguments["phase"], task_vars["inventory_hostname"]
        if phase == "ask":
            source, target = (
                {**found, **system_of(name, task_vars["hostvars"])} if found else {}
                for name, found in ((arguments["origin"], arguments["source"]), (host, arguments["target"]))
            )
            try:
                found = decided(source, target, list(arguments["apps"]), bool(arguments["finish"]))
            except MoveError as error:
                raise AnsibleActionFail(f"{error}\nNothing was changed.") from None
            display.display("\n".join(found["lines"]))
            if found["goes"] in ("move", "finish") and not self._task.check_mode:
                confirmed(host, str(arguments.get("confirm") or ""), "the name of the host", "go on")
            needs = {key: source.get(key) for key in ("extensions", "version")}
            return {**result, "changed": False, "found": {**found, **needs}}
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        if phase in TOLD and not result.get("failed") and not self._task.check_mode:
            display.display(f"{host}: {TOLD[phase]} ({result['seconds']:g} s)")
        return result


def system_of(host: str, hostvars: Any) -> dict[str, str]:
    facts = hostvars[host]["ansible_facts"]["homeport"]
    system = f"{facts['distribution']} {facts['version']}"
    return {"host": host, "system": system, "architecture": facts["architecture"]}
