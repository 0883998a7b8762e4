# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Tells how a run ended for each app, once all of it is done; asks for their pages where anything was changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import host_address
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import curl_command

STAYS = "The release that was live before goes on serving unless the message says otherwise."


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        steps = [step for step in arguments.get("steps") or [] if not step.get("skipped")]
        only = set(arguments.get("only") or arguments["visits"])
        visits = {name: visit for name, visit in arguments["visits"].items() if name in only and visit}
        failed = {name: told for step in steps for name, told in (step.get("failed_apps") or {}).items()}
        live = {
            name: told
            for step in steps
            for name, told in (step.get("outcomes") or {}).items()
            if told["outcome"] == "live"
        }
        answers = {name: told for step in steps for name, told in (step.get("visits") or {}).items()}
        problems = {name: told for name, told in answers.items() if told}
        # the step that put it live has asked already, and nothing of the web server has changed since
        unasked = {*live} - {*answers}
        asked = set(visits) if boolean(arguments.get("touched", True)) else {*unasked, *problems}
        asked -= {name for step in steps for name in step.get("unasked") or []}
        # A project that its first visitor would set up is not asked before it is; and those that have failed and serve
        # nothing yet are told of once.
        asked -= {
            name
            for name, told in live.items()
            if not told.get("before") and not visits.get(name, {}).get("first", True)
        }
        asked = {name for name in asked & set(visits) if name not in failed or name in problems}
        if asked and not self._task.check_mode:
            answer = self._execute_module(
                module_name="homeport.django.verdict",
                module_args={"visits": {name: visits[name] for name in sorted(asked)}},
                task_vars=task_vars,
            )
            if answer.get("failed"):
                return {**result, **answer}
            problems = answer["problems"]
        result["changed"] = False
        address = host_address({"inventory_hostname": "", **task_vars})
        result["msg"] = [
            line(name, told, visits.get(name) or {}, address) for name, told in sorted(live.items())
        ]
        result["_ansible_verbose_always"] = bool(result["msg"])
        bad = [f"{name}: {told}" for name, told in sorted(failed.items())]
        if bad:
            bad[-1] = f"{bad[-1].rstrip()}\n{STAYS}" if any_before(steps, failed) else bad[-1]
        bad += [f"{name}: {told}" for name, told in sorted(problems.items())]
        if bad:
            result.update(failed=True, msg="\n\n".join([*bad, *(result["msg"])]))
        return result


def any_before(steps: list[dict[str, Any]], failed: Mapping[str, str]) -> bool:
    """Whether any of the apps that failed had a release before."""
    outcomes = [step.get("outcomes") or {} for step in steps]
    return any(found.get(name, {}).get("before") for found in outcomes for name in failed)


def line(name: str, told: Mapping[str, Any], visit: Mapping[str, Any], address: str) -> str:
    """What went live, for the operator; of a first release also how to try it."""
    what = short(told.get("revision")) or told["release"]
    was = told.get("before", "")
    earlier = short(told.get("revision_before"))
    if was and earlier not in ("", what):  # else the same code, with other settings
        was = earlier
    subject = f' "{told["subject"]}"' if told.get("subject") else ""
    before = f" (was {was})" if was else ""
    where = f" at {visit['url']}" if visit else ""
    command = curl_command(visit, address)
    tip = (
        f"\n  Before its name leads here, try: {command}\n  Its IP address alone serves no site."
        if command and not told.get("before")
        else ""
    )
    return f"{name}: {what}{subject} is live{where}{before}, {told['seconds']:.0f} s{tip}"


def short(revision: Any) -> str:
    """A revision as people name it: of a commit and of a digest the beginning, and of an address nothing."""
    text = str(revision or "").removeprefix("sha256:")
    return text[:7] if text.isalnum() else ""
