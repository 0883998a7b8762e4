# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what moving a database replaces, asks, and tells what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed, operator
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import this_run

MODULE = "homeport.django.move_database"

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        app = str(arguments["app"])
        if arguments["phase"] == "ask":
            display.display(described(app, arguments["found"]))
            if not self._task.check_mode:
                confirmed(app, str(arguments.get("confirm") or ""), "the app's name", "replace what it has")
            return {**result, "changed": False}
        if arguments["phase"] == "move":
            arguments = {**arguments, "holder": operator(), "run": this_run()}
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        moved = result.get("moved")
        if moved and not result.get("failed"):
            display.display(told(app, moved))
        return result


def described(app: str, found: Mapping[str, Any]) -> str:
    now = ""
    if found["tables_now"]:
        now = (
            f"\n{app} runs with PostgreSQL already: {found['tables_now']} tables with {found['rows_now']} rows. Rows "
            "that the file does not have stop the move, unless replace=true."
        )
    return (
        f"{found['file']}: {found['tables']} tables with {found['rows']} rows go to PostgreSQL.{now}\n"
        f"{app} is closed to visitors meanwhile, and nothing of it runs while the rows are copied."
    )


def told(app: str, moved: Mapping[str, Any]) -> str:
    rows = f"all {moved['rows']} rows of {moved['tables']} tables"
    if not moved["copied"]:
        return f"PostgreSQL has {rows} of {app} already; nothing was copied."
    dump = f" What PostgreSQL had before is in {moved['dump']}." if moved["dump"] else ""
    return (
        f"{app} has {rows} in PostgreSQL, each compared with that of the file ({moved['seconds']} s).{dump} "
        f"{moved['file']} is still there; remove it when you are sure."
    )
