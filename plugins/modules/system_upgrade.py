#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The upgrade of a host's system to the next release of its distribution."""

from __future__ import annotations

DOCUMENTATION = r"""
module: system_upgrade
short_description: Upgrade a host's system to the next release of its distribution
description:
  - The steps of the playbook C(upgrade_system). Which of them a host still needs follows from its state, so that a run
    that was interrupted is finished by the next one.
options:
  phase:
    description:
      - V(look) says what the upgrade would do, and what stands in its way. It changes nothing.
      - V(ask) shows that to the operator, on the controller, and asks.
      - V(start) changes the package sources and starts the upgrade of the packages in a unit of systemd.
      - V(finish) checks that the packages are upgraded.
      - V(done) notes that the host has rebooted and is checked.
    type: str
    choices: [look, ask, start, finish, done]
    required: true
  to:
    description: Code name of the release to upgrade to, such as V(trixie).
    type: str
    required: true
  found:
    description: For V(ask), what V(look) found, by host.
    type: dict
    default: {}
  backup:
    description: For V(ask), where the backup goes that is made before. Empty where none is made.
    type: str
    default: ""
  confirm:
    description: For V(ask), the answer where there is nobody to ask.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at what the upgrade would do
  homeport.django.system_upgrade:
    phase: look
    to: trixie
"""

RETURN = r"""
found:
  description:
    - For V(look), C(stage) (V(ready), V(begun), V(installed) or V(done)), C(from), and of a host that is V(ready) the
      C(problems), the packages C(upgraded), C(new) and C(removed), C(download_mb), and sources of C(others).
  returned: for look
  type: dict
go:
  description: Whether the operator has agreed to an upgrade. False in check mode, and where no host needs one.
  returned: for ask
  type: bool
backs_up:
  description: Whether the backup comes first that the operator was shown.
  returned: for ask
  type: bool
reboot:
  description: Whether the host has to be rebooted.
  returned: for finish
  type: bool
"""

import os

from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.system import (
    System,
    UpgradeError,
    finish,
    look,
    start,
)


def main() -> None:
    module = Module(
        argument_spec={
            "phase": {"choices": ["look", "ask", "start", "finish", "done"], "required": True},
            "to": {"type": "str", "required": True},
            "found": {"type": "dict", "default": {}},
            "backup": {"type": "str", "default": ""},
            "confirm": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    system, phase, to = System(), module.params["phase"], module.params["to"]
    try:
        stage = system.stage(to)
        old = system.begun().get("from") or system.release()["VERSION_CODENAME"]
        if phase == "look":
            found = look(system, old, to) if stage == "ready" else {"problems": []}
            module.exit_json(changed=False, found={"stage": stage, "from": old, **found})
        changed = {"start": ("ready", "begun"), "finish": ("begun",), "done": ("installed",)}[phase]
        if stage in changed and not module.check_mode:
            if phase == "start":
                start(system, old, to)
            elif phase == "finish":
                finish(system, to)
            else:
                system.note()
        module.exit_json(changed=stage in changed, reboot=os.path.exists("/run/reboot-required"))
    except (UpgradeError, OSError) as error:
        if phase == "look" and isinstance(error, UpgradeError):
            module.exit_json(changed=False, found={"stage": "refused", "from": "", "problems": [str(error)]})
        module.fail_json(msg=f"The upgrade to {to} failed: {error}")


if __name__ == "__main__":
    main()
