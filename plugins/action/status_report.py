# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Makes one report of what the module status found on all hosts, and shows it."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.status import (
    Document,
    report,
    summary,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.status_page import page
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import lines
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import (
    is_newer,
    own_version,
)
from ansible_collections.homeport.django.plugins.plugin_utils.site_clone import lacks, own_site

FORMATS = ("table", "json")


class ActionModule(ActionBase):
    """Runs once, on the controller alone."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        given = self._task.args
        form, strict = options(given)
        variables = task_vars["hostvars"]
        results = {
            name: plain(variables[name].get(given["found"]) or {})
            for name in task_vars["ansible_play_hosts_all"]
        }
        own = own_version()
        for name, found in results.items():
            if "status" in found:
                host = found["status"]["host"]
                host["newer"] = host["set_up_by"] if is_newer(host["set_up_by"], own) else ""
                folder = str(variables[name].get("inventory_dir") or "")
                host["site"]["lacking"] = lacks(folder, own_site(folder), host["site"])
        document = report(
            results,
            plain(given["apps"]),
            plain(task_vars["groups"]),
            str(given["setup"]),
            str(given.get("only") or ""),
        )
        text = json.dumps(document, indent=2) + "\n"
        # written even in check mode: they are what was asked for, and nothing that Homeport manages
        for option, content in (("json", text), ("html", page(document))):
            if given.get(option):
                write(option, str(given[option]), content)
        show(document, text, form)
        result["changed"] = False
        if document["level"] in strict:
            result.update(failed=True, msg=f"{summary(document)}; see the report above")
        return result


def options(given: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The format, and the levels that make the run fail."""
    form, fail = str(given.get("format") or "table"), str(given.get("fail", True)).lower()
    if form not in FORMATS:
        raise AnsibleActionFail(f"format: must be {' or '.join(FORMATS)}")
    levels = {
        **dict.fromkeys(("true", "yes", "on", "1"), ("failure",)),
        **dict.fromkeys(("false", "no", "off", "0"), ()),
        "warnings": ("warning", "failure"),
    }
    if fail not in levels:
        raise AnsibleActionFail("fail: must be true, false or warnings")
    return form, levels[fail]


def write(option: str, path: str, text: str) -> None:
    """Puts a whole file in its place in one step, so that a web server never shows half of one."""
    target = os.path.abspath(os.path.expanduser(path))
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=os.path.dirname(target), prefix=".homeport-", delete=False
        ) as stream:
            stream.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(stream.name, 0o666 & ~mask)
        os.replace(stream.name, target)
    except OSError as error:
        raise AnsibleActionFail(f"{option}: {target} cannot be written: {error.strerror}") from None


def show(document: Document, text: str, form: str) -> None:
    display = Display()
    if form == "json":
        display.display(text.rstrip())
        return
    colors = {"ok": None, "warning": C.COLOR_WARN, "failure": C.COLOR_ERROR}
    for level, line in lines(document):
        display.display(line, color=colors[level])
