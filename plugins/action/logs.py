# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the lines that the module of this name has read, instead of returning them."""

from __future__ import annotations

import shlex
from typing import Any

from ansible import constants as C
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.module_utils.log_files import readable
from ansible_collections.homeport.django.plugins.module_utils.plain import plain
from ansible_collections.homeport.django.plugins.plugin_utils.ssh_command import ssh_command


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        result.update(
            self._execute_module(
                module_name="homeport.django.logs",
                module_args={key: value for key, value in self._task.args.items() if key != "follow"},
                task_vars=task_vars,
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
        if boolean(self._task.args.get("follow", False)) and result["logs"]:
            command = "exec tail -n 0 -F " + shlex.join(log["path"] for log in result["logs"])
            become = boolean(self._play_context.become, strict=False)
            display.display(f"\nTo follow {'it' if len(result['logs']) == 1 else 'them'}, type this:")
            display.display(ssh_command(self._connection, command, become))
        result["logs"] = [{**log, "lines": len(log["lines"])} for log in result["logs"]]
        return result
