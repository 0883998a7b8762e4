# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what a restore replaces, asks, and tells what came of a backup, a drill or a restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import size
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed, operator
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import has_ended, this_run

MODULE = "homeport.django.backup"

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        phase = arguments["phase"]
        if phase == "ask":
            into = str(arguments.get("into") or arguments["app"])
            display.display(
                "\n".join(described(into, arguments["found"], boolean(arguments.get("keep", True))))
            )
            if not self._task.check_mode:
                confirmed(into, str(arguments.get("confirm") or ""), "the app's name", "replace what it has")
            return {**result, "changed": False}
        if phase in ("restore", "close", "open"):
            arguments = {**arguments, "holder": operator(), "run": this_run()}
        answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        dead: list[str] = []
        while has_ended(answer.get("locked", "")) and answer["locked"] not in dead:
            dead.append(answer["locked"])
            arguments = {**arguments, "dead_runs": dead}
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        result.update(answer)
        host = task_vars["inventory_hostname"]
        if result.get("failed"):
            return result
        if result.get("apps"):
            display.display("\n".join(done(host, phase, result["apps"])))
        if result.get("restored"):
            into = str(arguments.get("into") or arguments["app"])
            display.display("\n".join(restored(into, result["restored"])))
        return result


def described(into: str, found: Mapping[str, Any], keep: bool) -> list[str]:
    before = "That is backed up once more before." if keep else "That is not backed up before (dump=false)."
    stays = [f"Its database {alias} is not among it, and stays as it is." for alias in found.get("stays", [])]
    if "target_time" in found:
        return [
            f"The database of {into} as it was at {found['target_time']}",
            f"would replace what it has now: {found['now']}. Files stay.",
            *stays,
            before,
        ]
    code = f", commit {found['commit'][:12]}" if found["commit"] else ""
    if not found["database"]:
        return [
            f"The files of the backup {found['snapshot'][:8]} of {found['source']}, made {found['time']}",
            f"would replace the media and the data of {into}. Its database stays.",
            before,
        ]
    return [
        f"The backup {found['snapshot'][:8]} of {found['source']}, made {found['time']}",
        f"  {found['tables']} tables with {found['rows']} rows ({found['vendor']}), release {found['release']}{code}",
        f"would replace what {into} has now",
        f"  {found['now']}, its media and its data",
        *stays,
        before,
    ]


def done(host: str, phase: str, apps: Mapping[str, Any]) -> list[str]:
    word = "backed up" if phase == "run" else "restored by the drill"
    return [
        f"{host}: {name} {word} in {entry['seconds']} s: {entry['tables']} tables with {entry['rows']} rows, "
        f"{entry['files']} files, {size(entry['bytes'])}"
        for name, entry in apps.items()
    ]


def restored(into: str, found: Mapping[str, Any]) -> list[str]:
    seconds = ", ".join(f"{name} {value} s" for name, value in found["seconds"].items())
    files = f"; {found['files']} files, {size(found['bytes'])}" if "files" in found else ""
    rows = "its files alone"
    if "tables" in found:
        rows = f"{found['tables']} tables with {found['rows']} rows, exactly as they were counted"
    lines = [f"{into} is restored: {rows}{files}.", f"Times: {seconds}."]
    if found["migrated"]:
        lines.append(f"Its release is newer than the backup and has migrated {', '.join(found['migrated'])}.")
    if found["last"]:
        lines.append(f"What it had before is the backup {found['last'][:8]}.")
    return lines
