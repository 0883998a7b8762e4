# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Tells the module which run asks: what another run has found is not trusted. Compares versions of Homeport, and
commits of the site."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import (
    is_newer,
    own_version,
)
from ansible_collections.homeport.django.plugins.plugin_utils.operator import operator
from ansible_collections.homeport.django.plugins.plugin_utils.site_clone import lacks, own_site
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import this_run


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        answer = self._execute_module(
            module_name="homeport.django.host_facts", module_args={"run": this_run()}, task_vars=task_vars
        )
        result.update(answer)
        facts = result.get("ansible_facts", {}).get("homeport")
        if facts is not None:
            own, recorded = own_version(), str(facts.get("set_up_by", ""))
            facts["collection"] = {"version": own, "newer": recorded if is_newer(recorded, own) else ""}
            facts["site"] = compared(str((task_vars or {}).get("inventory_dir") or ""), facts["site"])
        return result


def compared(folder: str, recorded: dict[str, Any]) -> dict[str, Any]:
    """The commit of this clone of the site and the one that the host was given last, and how they differ."""
    own = own_site(folder)
    same = all(own.get(key) == recorded.get(key) for key in ("commit", "uncommitted"))
    others = bool(recorded.get("uncommitted")) and recorded.get("by") != operator()
    return {
        "own": own,
        "recorded": recorded,
        "lacks": lacks(folder, own, recorded),
        "overwrites": bool(own) and others,
        "differs": bool(own) and (not same or others),
    }
