# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Judges what an audit has found of all hosts, and shows it."""

from __future__ import annotations

import json
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.action.status_report import FORMATS, write
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.audit import lines, report, summary


class ActionModule(ActionBase):
    """Runs once, on the controller alone."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        given = self._task.args
        form = str(given.get("format") or "table")
        if form not in FORMATS:
            raise AnsibleActionFail(f"format: must be {' or '.join(FORMATS)}")
        variables = task_vars["hostvars"]
        document = report(
            {
                name: {part: plain(variables[name].get(given[part]) or {}) for part in ("inside", "outside")}
                for name in task_vars["ansible_play_hosts_all"]
            }
        )
        text = json.dumps(document, indent=2) + "\n"
        # written even in check mode: it is what was asked for, and nothing that Homeport manages
        if given.get("json"):
            write("json", str(given["json"]), text)
        display = Display()
        if form == "json":
            display.display(text.rstrip())
        else:
            colors = {"ok": None, "warning": C.COLOR_WARN, "failure": C.COLOR_ERROR}
            for level, line in lines(document):
                display.display(line, color=colors[level])
        result["changed"] = False
        if document["level"] == "failure" or (
            document["level"] == "warning" and boolean(given.get("strict", False))
        ):
            result.update(failed=True, msg=f"{summary(document)}; see the report above")
        return result
