# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Looks at a host from outside, and keeps what is wanted of it next to that."""

from __future__ import annotations

import os
import ssl
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_network import ports_of
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_outside import look
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import malformed


class ActionModule(ActionBase):
    """Runs on the controller alone."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars or {})
        given = plain(dict(self._task.args))
        wanted = {
            "exposure": given["exposure"],
            "rules": given.get("rules") or [],
            "apps": given["apps"],
            "sites": given.get("sites") or {},
            "backup": str(given.get("backup") or "none"),
        }
        problems = malformed({"host_firewall_rules": wanted["rules"]})
        if problems:
            raise AnsibleActionFail("\n".join(problems))
        outside: dict[str, Any] = {}
        if boolean(given.get("look", True)):
            roots = os.path.expanduser(str(given.get("roots") or ""))
            try:
                outside = look(
                    str(given["address"]), tried(wanted, given.get("inside") or {}), wanted["sites"], roots
                )
            except (OSError, ssl.SSLError) as error:
                if not roots:
                    raise
                raise AnsibleActionFail(f"roots: {roots} cannot be read as certificates: {error}") from None
        return {**result, "changed": False, "outside": outside, "wanted": wanted}


def tried(wanted: dict[str, Any], inside: dict[str, Any]) -> set[int]:
    """The TCP ports that are to be open, and those on which something listens."""
    entries = [*wanted["exposure"], *wanted["rules"]]
    ranges = [list(ports_of(entry["port"])) for entry in entries if entry.get("protocol", "tcp") == "tcp"]
    # of a wide range its ends will do
    found = {port for ports in ranges for port in ([ports[0], ports[-1]] if len(ports) > 20 else ports)}
    sockets = inside.get("audit", {}).get("sockets", {}).get("found") or []
    return found | {entry["port"] for entry in sockets if entry["protocol"] == "tcp"}
