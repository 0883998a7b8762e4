# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Tells who wants to know how a deploy or a rollback ended; on the controller, once for all hosts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

TIMEOUT = 20  # seconds for each notice
WORST_FIRST = ("failed", "rolled back", "held", "live")

EARLIER, LAST = ("__django_app_built", "__django_app_migrated"), ("__django_app_live",)
STEPS = EARLIER + LAST

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        found = outcomes(self._task.args["hosts"], task_vars["hostvars"])
        waiting = self._task.args.get("waiting") or []
        batch = self._task.args.get("batch") or self._task.args["hosts"]
        news = set(outcomes(batch, task_vars["hostvars"], LAST))
        if self._task.args["hosts"][0] in batch:  # what failed before the switch is told with the first batch
            news |= set(outcomes(self._task.args["hosts"], task_vars["hostvars"], EARLIER))
        told = []
        for name, notify in self._task.args["notify"].items():
            if name in found and is_over(found[name], waiting) and name in news:
                tell(notice(name, found[name]), notify)
                told.append(name)
        result.update(changed=False, told=told)
        return result


def outcomes(
    hosts: list[str], hostvars: Mapping[str, Any], steps: tuple[str, ...] = STEPS
) -> dict[str, dict[str, dict[str, Any]]]:
    """The last line of each app's record, by app and host."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for host in hosts:
        for step in steps:
            answer = hostvars[host].get(step) or {}
            for name, entry in (answer.get("outcomes") or {}).items():
                found.setdefault(name, {})[host] = dict(entry)
    return found


def is_over(found: dict[str, dict[str, Any]], waiting: list[str]) -> bool:
    """Whether an app's run has ended everywhere, or badly anywhere."""
    return any(entry["outcome"] != "live" for entry in found.values()) or set(waiting) <= set(found)


def notice(name: str, hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The notice of one app: the worst of its outcomes, and that of each host."""
    worst = min(hosts.values(), key=lambda entry: WORST_FIRST.index(entry["outcome"]))
    keys = (
        "verb",
        "outcome",
        "release",
        "before",
        "revision",
        "subject",
        "by",
        "seconds",
        "migrations",
        "message",
    )
    told = {"app": name, **{key: worst.get(key, "") for key in keys}}
    told["hosts"] = {host: entry["outcome"] for host, entry in hosts.items()}
    reason = str(told["message"]).partition("\n")[0]
    told["text"] = (
        f"{name}: {told['verb']} of {told['release'] or 'a new release'} by {told['by']}: {told['outcome']}"
        + (f" ({reason})" if reason else "")
    )
    return told


def tell(told: dict[str, Any], notify: Mapping[str, str]) -> None:
    body = json.dumps(told)
    if "command" in notify:
        environment = {
            f"HOMEPORT_{key.upper()}": str(value)
            for key, value in told.items()
            if key not in ("migrations", "hosts")
        }
        try:
            done = subprocess.run(
                ["sh", "-c", notify["command"]],
                input=body,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            if done.returncode:
                display.warning(
                    f"notify.command of {told['app']} ended with status {done.returncode}: {done.stderr.strip()[-300:]}"
                )
        except subprocess.TimeoutExpired:
            display.warning(f"notify.command of {told['app']} did not end within {TIMEOUT} s")
    if "url" in notify:
        try:
            open_url(
                notify["url"],
                data=body.encode(),
                headers={"Content-Type": "application/json"},
                method="POST",
                timeout=TIMEOUT,
                http_agent="homeport",
            ).read()
        except Exception as error:
            # of the address no more than its host: the rest may be a secret
            reason = str(getattr(error, "reason", "")) or type(error).__name__
            display.warning(f"notify.url of {told['app']}: the notice was not delivered: {reason}")
