# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what moving a database replaces, asks, and tells what came of it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.action.backup import confirmed
from ansible_collections.homeport.django.plugins.action.manage import operator
from ansible_collections.homeport.django.plugins.filter.apps import plain
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
            found = arguments["found"]
            display.display(
                f"{found['file']}: {found['tables']} tables with {found['rows']} rows\nwould replace what {app} has in "
                f"PostgreSQL: {found['tables_now']} tables with {found['rows_now']} rows"
            )
            if not self._task.check_mode:
                confirmed(app, str(arguments.get("confirm") or ""))
            return {**result, "changed": False}
        if arguments["phase"] == "move":
            arguments = {**arguments, "holder": operator(), "run": this_run()}
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        moved = result.get("moved")
        if moved and not result.get("failed"):
            display.display(
                f"{app} has its {moved['rows']} rows in PostgreSQL, as many in each of {moved['tables']} tables as "
                f"before ({moved['seconds']} s). {moved['file']} is still there; remove it when you are sure."
            )
        return result
