# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reports which uploads were moved, and asks before local ones are removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.action.reachability import divided
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import size
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed
from ansible_collections.homeport.django.plugins.plugin_utils.origin import place

MODULE = "homeport.django.move_media"

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        app, phase = str(arguments["app"]), arguments["phase"]
        if phase == "ask":
            display.display(described(app, arguments["found"]))
            if not self._task.check_mode:
                confirmed(
                    app, str(arguments.get("confirm") or ""), "the app's name", "remove the local files"
                )
            return {**result, "changed": False}
        host = str(task_vars["inventory_hostname"])
        bucket = arguments.pop("bucket", None) or {}
        if bucket:
            keys = divided({app: bucket})
            arguments.update(bucket=keys["buckets"][app], bucket_secrets=keys["bucket_secrets"][app])
        arguments["host"] = host
        result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
        if result.get("failed"):
            result["msg"] = f"{result.get('msg', '')}{place(str(result.get('msg', '')), task_vars)}"
        elif phase == "look" and not result["found"]["files"]:
            display.display(nothing(app, host, result["found"]))
        elif phase != "look" and result["moved"]["files"]:
            display.display(told(app, host, result["moved"], phase, self._task.check_mode))
        return result


def files(count: int, count_bytes: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'} ({size(count_bytes)})"


def nothing(app: str, host: str, found: Mapping[str, Any]) -> str:
    if not found["up"]:
        return f"{app}: the bucket {found['bucket']} has no uploads to bring back to {host}"
    return f"{app}: {host} has no uploads in {found['folder']} to move"


def described(app: str, found: Mapping[str, Any]) -> str:
    """What the answer is about."""
    lines = [
        f"{app}: {files(each['files'], each['bytes'])} in {each['folder']} on {host} are removed"
        for host, each in sorted(found.items())
        if each["files"]
    ]
    lines += [
        "Each is compared with the bucket first. Releases from before the move are without uploads afterwards."
    ]
    return "\n".join(lines)


def told(app: str, host: str, moved: Mapping[str, Any], phase: str, check: bool) -> str:
    """What came of a step, in one line."""
    done = files(moved["copied"], moved["copied_bytes"])
    if phase == "remove":
        return f"{app}: {done} {'would be' if check else 'were'} removed from {moved['folder']} on {host}"
    where = f"in the bucket {moved['bucket']}" if moved["up"] else f"in {moved['folder']} on {host}"
    everything = files(moved["files"], moved["bytes"])
    source = f" of {host}" if moved["up"] else ""
    if check:
        return f"{app}: {done} of {everything}{source} would be copied; the others are {where}"
    return f"{app}: {everything}{source} are {where}, {moved['differing']} differ; {done} copied by this step"
