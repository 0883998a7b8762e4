# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what an upgrade of the system does to each host, and asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsiblePromptNoninteractive
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.action.manage import ask
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common.words import printable

MODULE = "homeport.django.system_upgrade"
MOST_NAMES = 12

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        if arguments["phase"] != "ask":
            result.update(
                self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            )
            return result
        to, found = str(arguments["to"]), arguments["found"]
        backup = str(arguments.get("backup") or "")
        display.display("\n".join(described(to, found, backup)))
        problems = [f"{host}: {problem}" for host, entry in found.items() for problem in entry["problems"]]
        if problems:
            raise AnsibleActionFail("\n".join(["The upgrade cannot begin; nothing was changed:", *problems]))
        go = not self._task.check_mode and any(entry["stage"] != "done" for entry in found.values())
        if go:
            confirmed(to, str(arguments.get("confirm") or ""))
        return {**result, "changed": False, "go": go, "backs_up": go and bool(backup) and begins(found)}


def confirmed(to: str, confirm: str) -> None:
    """Goes on only if the operator has given the name of the new release."""
    if not confirm:
        try:
            confirm = ask(f"Type the name of the release ({to}) to upgrade to it", False)
        except AnsiblePromptNoninteractive as error:
            raise AnsibleActionFail(
                f"There is no terminal to ask at: add -e confirm={to} to upgrade; nothing was changed"
            ) from error
    if confirm.strip() != to:
        raise AnsibleActionFail(f"That is not the name of the release ({printable(to)}); nothing was changed")


STAGES = {
    "done": "runs {to}; nothing to do",
    "begun": "its upgrade from {old} to {to} has begun, and is finished",
    "installed": "has the packages of {to}; what follows them is finished",
    "refused": "cannot be upgraded to {to}",
    "ready": "is upgraded from {old} to {to}",
}


def begins(found: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(entry["stage"] == "ready" for entry in found.values())


def described(to: str, found: Mapping[str, Mapping[str, Any]], backup: str) -> list[str]:
    """What is done to each host, and how long its apps are away."""
    lines = []
    for host, entry in found.items():
        lines.append(f"{host}: {STAGES[entry['stage']].format(to=to, old=entry['from'])}")
        if "download_mb" in entry:
            lines.append(
                f"  packages      {len(entry['upgraded'])} upgraded, {len(entry['new'])} new, "
                f"{len(entry['removed'])} removed; {entry['download_mb']} MiB to download"
            )
            lines += [f"  removed       {shortened(entry['removed'])}"] if entry["removed"] else []
            lines += [f"  third party   {source}" for source in entry["others"]]
    if begins(found):
        lines.append(f"A backup to {backup} comes first." if backup else "There is no backup first.")
    if any(entry["stage"] not in ("done", "refused") for entry in found.values()):
        lines += [
            "Services restart while their packages are upgraded, each within seconds. Apps get releases for the new",
            "Python, and then the hosts reboot, one after the other.",
        ]
    return lines


def shortened(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
