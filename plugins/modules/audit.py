#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reports what an audit judges of a host and its apps."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit
short_description: Find out how a host and the Django apps on it are secured
description:
  - Reads what listens, the firewall, sshd, accounts, the modes of files with secrets, pending upgrades, services and
    their access rules. Of each app it reads the certificate, C(check --deploy) and the age of its backups. It changes
    nothing, and fetches nothing.
  - What it returns holds no secret. What cannot be read has its reason, and the rest is still reported.
options:
  apps:
    description: The apps that are on the host, as the filter P(homeport.django.status_apps#filter) gives them.
    type: list
    elements: dict
    required: true
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at the host from inside
  homeport.django.audit:
    apps: "{{ homeport_apps | homeport.django.status_apps }}"
  register: __audit
"""

RETURN = r"""
audit:
  description: What was found. M(homeport.django.audit_report) judges it.
  returned: always
  type: dict
"""

import os
import subprocess

from ansible_collections.homeport.django.plugins.module_utils.host.audit.inside import collect
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module


def run(command: list[str]) -> tuple[int, str]:
    """Several at a time, which Module.run_command is not made for."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            cwd="/",
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        return 127, ""
    return done.returncode, done.stdout.decode(errors="replace")


def main() -> None:
    module = Module(
        argument_spec={"apps": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, audit=collect(module.params["apps"], run))


if __name__ == "__main__":
    main()
