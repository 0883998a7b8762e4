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
from ansible_collections.homeport.django.plugins.module_utils.common.log_lines import readable
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.plugin_utils.ssh_command import (
    asks_password,
    ssh_command,
    ssh_words,
)
from ansible_collections.homeport.django.plugins.plugin_utils.terminal import followed, terminal
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import end_with_the_controller


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
            self._follow([log["path"] for log in result["logs"]], host, result)
        result["logs"] = [{**log, "lines": len(log["lines"])} for log in result["logs"]]
        return result

    def _follow(self, paths: list[str], host: str, result: dict[str, Any]) -> None:
        """Shows what is added to the logs until the run is interrupted; without a terminal, the command that does."""
        display = Display()
        become = boolean(self._play_context.become, strict=False)
        tail = "tail -n 0 -F " + shlex.join(paths)
        # it ends with the run, whose end closes its input
        words = ssh_words(self._connection, f"{tail} & cat >/dev/null; kill $!", become, terminal=False)
        device = terminal()
        typed = ssh_command(self._connection, f"exec {tail}", become)
        if not device or not words or asks_password(self._connection, become):
            display.display(f"\nTo follow {'it' if len(paths) == 1 else 'them'}, type this:")
            display.display(typed)
            return
        end_with_the_controller()
        display.display(f"\n==> {host}: new lines follow; Ctrl-C ends it", color=C.COLOR_HIGHLIGHT)
        status = followed(words, device, lambda line: f"{host}: {plain(readable(line))}")
        told = f"The logs cannot be followed any more (exit status {status}). Type this instead:\n{typed}"
        result.update(failed=True, msg=told)
