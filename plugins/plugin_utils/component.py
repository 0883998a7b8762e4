# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A component of a host that is as wanted is not visited again; host/given.py has the host's part."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common.digests import digest
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import this_run

PLUGINS = Path(__file__).parents[1]
# What an answer means, and how a host is compared, is the module's code and this one's.
SHARED = ("module_utils/host/given.py", "module_utils/common/digests.py", "plugin_utils/component.py")


class ComponentAction(ActionBase):
    """Calls the module of its own name, unless the last look at the host says that there is nothing to do for it.

    ``-e full=true`` calls it all the same.
    """

    TRANSFERS_FILES = False
    MODULE = ""
    UNCHANGED: dict[str, Any] = {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self.arguments(dict(self._task.args), task_vars)
        key = self.key(arguments)
        parts = self.parts(key, task_vars)
        wanted = digest(version(self.MODULE), plain(arguments), parts)
        if key and wanted == as_given(task_vars).get(key):
            return {**result, "changed": False, **self.UNCHANGED}
        if key:
            arguments["given"] = {"key": key, "digest": wanted, "parts": parts}
        arguments.update(self.told(arguments, task_vars))
        module = f"homeport.django.{self.MODULE}"
        result.update(self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
        return result

    def arguments(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the module is given."""
        return arguments

    def told(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the module is told besides, about this run and not about what is wanted."""
        return {}

    def key(self, arguments: dict[str, Any]) -> str:
        """The name of the component, by the role that asks for it; empty where it is not whole."""
        role = self._task._role
        return f"{self.MODULE}.{role.get_name(include_role_fqcn=False) if role else 'play'}"

    def parts(self, key: str, task_vars: dict[str, Any]) -> dict[str, dict[str, str]] | None:
        """What it is given for which app; of those that stay as they are (``homeport_kept``), what it was given."""
        if "homeport_parts" not in task_vars:
            return None
        wanted = plain(self._templar.template(task_vars["homeport_parts"])).get(key)
        if wanted is None:
            return None
        kept = plain(self._templar.template(task_vars.get("homeport_kept", [])))
        before = (looked(task_vars).get("parts") or {}).get(key) or {}
        others = {name: fields for name, fields in wanted.items() if name not in kept}
        return others | {name: before[name] for name in kept if name in before}


def as_given(task_vars: dict[str, Any]) -> dict[str, str]:
    """Digests of the components that are as they were left; none where all is to be looked at."""
    full = boolean(task_vars.get("full", False), strict=False)
    return {} if full else dict(looked(task_vars).get("given") or {})


def looked(task_vars: dict[str, Any]) -> dict[str, Any]:
    """What this very run has found out about the host; nothing where the facts are another's, of a cache."""
    facts = (task_vars.get("ansible_facts") or {}).get("homeport") or {}
    return dict(facts) if facts.get("run") == this_run() else {}


def version(module: str) -> str:
    found = hashlib.sha256()
    package = sorted((PLUGINS / "module_utils/host" / module).glob("*.py"))
    for path in (PLUGINS / f"modules/{module}.py", *package, *(PLUGINS / name for name in SHARED)):
        found.update(path.read_bytes())
    return found.hexdigest()
