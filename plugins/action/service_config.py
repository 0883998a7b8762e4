# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Renders the templates of a whole set of files on the controller, then lets the module compare them."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.homeport.django.plugins.plugin_utils.command_line import COLLECTION
from ansible_collections.homeport.django.plugins.plugin_utils.component import ComponentAction

try:
    from ansible.template import trust_as_template

    PLAIN_TEXT: dict[str, Any] = {}
except ImportError:  # before ansible-core 2.19, which also made data of text that looks like it

    def trust_as_template(value: str) -> str:
        return value

    PLAIN_TEXT = {"convert_data": False}


# What templates of several roles include.
SHARED = str(COLLECTION / "plugins" / "plugin_utils" / "templates")


class ActionModule(ComponentAction):
    MODULE = "service_config"
    UNCHANGED: dict[str, Any] = {"paths": [], "applied": "", "units": [], "restart": {}, "refused": {}}

    def arguments(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        files = [self._rendered(dict(entry), task_vars) for entry in arguments.get("files") or []]
        arguments["secrets"] = {entry["path"]: entry.pop("content") for entry in files if entry.get("secret")}
        arguments["files"] = files
        return arguments

    def told(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        now = str(task_vars.get("restart", "")) == "now"
        return {"restart": arguments.get("restart") or ("now" if now else "later")}

    def key(self, arguments: dict[str, Any]) -> str:
        return "" if arguments.get("partial") else f"service_config.{arguments['name']}"

    def _rendered(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        own_vars = entry.pop("vars", {})
        if "template" in entry:
            name = entry.pop("template")
            text = self._read("templates", name)
            try:
                # Each entry has its own variables: a copy keeps one from seeing another's.
                templar = self._templar.copy_with_new_env(
                    available_variables={**task_vars, **own_vars},
                    searchpath=[os.path.dirname(self._find_needle("templates", name)), SHARED],
                )
                options = {"trim_blocks": True, "lstrip_blocks": True}
                text = templar.template(
                    trust_as_template(text), escape_backslashes=False, overrides=options, **PLAIN_TEXT
                )
                entry["content"] = "" if text is None else str(text)
            except AnsibleError as error:
                raise AnsibleError(f"{name} for {entry.get('path')} cannot be rendered: {error}") from error
        elif "src" in entry:
            entry["content"] = self._read("files", entry.pop("src"))
        return entry

    def _read(self, folder: str, name: str) -> str:
        with open(self._find_needle(folder, name), encoding="utf-8") as stream:
            return stream.read()
