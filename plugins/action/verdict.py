# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reports how a run ended for each app, at its end. Requests their pages where anything was changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.module_utils.common.words import STILL_SERVES
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import host_address
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import curl_command


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        steps = [step for step in arguments.get("steps") or [] if not step.get("skipped")]
        only = set(arguments.get("only") or arguments["visits"])
        visits = {name: visit for name, visit in arguments["visits"].items() if name in only and visit}
        failed = {
            name: message for step in steps for name, message in (step.get("failed_apps") or {}).items()
        }
        last = {name: found for step in steps for name, found in (step.get("outcomes") or {}).items()}
        live = {name: found for name, found in last.items() if found["outcome"] == "live"}
        problems = {
            name: message for step in steps for name, message in (step.get("visits") or {}).items() if message
        }
        # the step that made it live has asked already, and nothing of the web server has changed since
        unasked = {*live} - {name for step in steps for name in step.get("visits") or {}}
        asked = set(visits) if boolean(arguments.get("touched", True)) else {*unasked, *problems}
        asked -= {name for step in steps for name in step.get("unasked") or []}
        # A project that its first visitor sets up gets no request before. An app that failed and serves nothing yet is
        # reported once.
        asked -= {
            name
            for name, outcome in live.items()
            if not outcome.get("before") and not visits.get(name, {}).get("first", True)
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
            line(name, outcome, visits.get(name) or {}, address) for name, outcome in sorted(live.items())
        ]
        result["_ansible_verbose_always"] = bool(result["msg"])
        bad = [f"{name}: {message}" for name, message in sorted(failed.items())]
        if bad:
            bad[-1] = f"{bad[-1].rstrip()}\n{STILL_SERVES}" if any_before(steps, failed) else bad[-1]
        bad += [f"{name}: {message}" for name, message in sorted(problems.items())]
        if bad:
            result.update(failed=True, msg="\n\n".join([*bad, *(result["msg"])]))
        return result


def any_before(steps: list[dict[str, Any]], failed: Mapping[str, str]) -> bool:
    """Whether any of the apps that failed had a release before."""
    outcomes = [step.get("outcomes") or {} for step in steps]
    return any(found.get(name, {}).get("before") for found in outcomes for name in failed)


def line(name: str, outcome: Mapping[str, Any], visit: Mapping[str, Any], address: str) -> str:
    """What went live, for the operator; of a first release also how to try it."""
    what = short(outcome.get("revision")) or outcome["release"]
    was = outcome.get("before", "")
    earlier = short(outcome.get("revision_before"))
    if was and earlier not in ("", what):  # else the same code, with other settings
        was = earlier
    subject = f' "{outcome["subject"]}"' if outcome.get("subject") else ""
    before = f" (was {was})" if was else ""
    where = f" at {visit['url']}" if visit else ""
    command = curl_command(visit, address)
    tip = (
        f"\n  Before its name leads here, try: {command}\n  Its IP address alone serves no site."
        if command and not outcome.get("before")
        else ""
    )
    return f"{name}: {what}{subject} is live{where}{before}, {outcome['seconds']:.0f} s{tip}"


def short(revision: Any) -> str:
    """A revision as people name it: the beginning of a commit or digest, a package whole, of an address nothing."""
    text = str(revision or "").removeprefix("sha256:")
    if re.fullmatch("[0-9a-f]{40,64}", text):
        return text[:7]
    return "" if "/" in text else text
