# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what an upgrade of PostgreSQL does and how long it interrupts, asks, and tells what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import size
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed

MODULE = "homeport.django.postgres_upgrade"

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        host = task_vars["inventory_hostname"]
        phase = arguments["phase"]
        if phase == "ask":
            found = arguments["found"]
            display.display("\n".join(described(host, found)))
            if not self._task.check_mode and found["goes"] in ("upgrade", "undo", "finish"):
                version = found["old" if found["goes"] == "undo" else "new"]  # that serves afterwards
                confirmed(version, str(arguments.get("confirm") or ""), "the version", "go on")
            return {**result, "changed": False}
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        if not result.get("failed") and result.get("changed") and not self._task.check_mode:
            display.display("\n".join(told(host, phase, result)))
        return result


def described(host: str, found: Mapping[str, Any]) -> list[str]:
    goes = found["goes"]
    if not goes:
        return [f"{host}: nothing to do. {found['why']}"]
    old, new = f"PostgreSQL {found['old']}", f"PostgreSQL {found['new']}"
    if goes == "resume":
        return [f"{host}: the upgrade from {old} to {new} was interrupted, and goes on."]
    if goes == "back":
        return [
            f"{host}: an interrupted run would be undone first: {old} serves again then. Without --check this does so."
        ]
    if goes == "undone":
        return [f"{host}: {old} serves again already; the remaining steps are repeated."]
    if goes == "undo":
        return [
            f"{host} rolls back to {old} as it was when it was stopped.",
            f"What was written since is lost to the apps; the cluster of {new} is kept, stopped.",
        ]
    if goes == "finish":
        return [f"{host}: the cluster of {old} is removed. No rollback to it is possible then."]
    way = (
        f"The cluster of {old} is copied before, and kept for a rollback until -e finish=true."
        if found["mode"] == "copy"
        else f"The files of {old} become those of {new} (mode=link): the dumps made before are the only rollback."
    )
    return [
        f"{host}: {old} becomes {new}: {size(found['bytes'])} in {found['databases']} databases with "
        f"{found['tables']} tables.",
        *([f"It takes the place of {found['replaced']}."] if found["replaced"] else []),
        way,
        f"Packages: {', '.join(found['packages'])}.",
        f"Apps with a database there are closed for about {found['seconds']} s; visitors see the maintenance page.",
    ]


def told(host: str, phase: str, result: Mapping[str, Any]) -> list[str]:
    seconds = f"{result.get('seconds')} s"
    lines = {
        "prepare": f"{host}: prepared in {seconds}, while the apps were served.",
        "switch": f"{host}: PostgreSQL was stopped, upgraded and started in {seconds}.",
        "undo": f"{host}: the cluster from before the upgrade serves again, after {seconds}.",
        "open": f"{host}: the apps were closed for {seconds}.",
        "finish": f"{host}: statistics made in {seconds}.",
        "archive": f"{host}: first base backup of this cluster in {seconds}.",
        "confirm": f"{host}: the files that were kept for a rollback are removed.",
    }
    dumps = [f"{host}: the dumps of the databases are in {result['dumps']}."] if result.get("dumps") else []
    return [*([lines[phase]] if phase in lines else []), *dumps]
