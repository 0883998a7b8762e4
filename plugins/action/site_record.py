# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Adds who runs it: other operators are told whose commit a host has."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.plugin_utils.operator import operator


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(
            self._execute_module(
                module_name="homeport.django.site_record",
                module_args={**self._task.args, "holder": operator()},
                task_vars=task_vars,
            )
        )
        return result
