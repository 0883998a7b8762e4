# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the lines that the module of this name has read, instead of returning them."""

from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.module_utils.log_files import readable
from ansible_collections.homeport.django.plugins.module_utils.plain import plain


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        result.update(
            self._execute_module(
                module_name="homeport.django.logs", module_args=self._task.args, task_vars=task_vars
            )
        )
        if result.get("failed") or result.get("unreachable"):
            return result
        host = task_vars["inventory_hostname"]
        display = Display()
        for log in result["logs"]:
            if log["lines"]:
                display.display(f"\n==> {host} {log['title']}: {log['path']}", color=C.COLOR_HIGHLIGHT)
                # in one piece: other hosts are shown at the same time
                display.display("\n".join(plain(readable(line)) for line in log["lines"]))
        if not any(log["lines"] for log in result["logs"]):
            display.display(f"\n==> {host}: nothing was logged", color=C.COLOR_HIGHLIGHT)
        result["logs"] = [{**log, "lines": len(log["lines"])} for log in result["logs"]]
        return result
