#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Builds releases of apps, migrates their databases and puts them live."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build releases of Django apps and put them live without losing a request
description:
  - One call handles all apps of a host. The three phases are separate tasks, so that a set of hosts
    builds everywhere, migrates once and then switches.
  - It ends within seconds of the run that asked for it. A migration or a switch that has begun is finished before.
  - A phase that fails leaves the release that is live serving. V(build), V(migrate) and V(activate) report in
    RV(failed_apps) what failed. So the other apps continue, and no host switches to a release that failed on another.
    M(homeport.django.verdict) reports all failures at the end. V(rollback) fails itself.
  - What is done follows from the state of the host alone, so that the next run finishes one that was
    interrupted.
options:
  phase:
    description:
      - V(build) makes a release of every app whose code or configuration is not that of its live release.
        In check mode with diff it shows what that release would bring.
      - V(migrate) runs C(migrate) in the newest release of the apps, after a dump, and then their hook
        C(after_migrate).
      - V(activate) puts the newest release of the apps live and renews their processes. Where it fails once it
        is live, the previous release is put live again.
      - V(rollback) puts an earlier release that was kept live again. The database stays as it is unless
        O(restore) is set.
      - V(withdraw) puts the previous release of apps that are O(failed) live again, where they went live in this run.
    type: str
    choices: [build, migrate, activate, rollback, withdraw]
    required: true
  apps:
    description: The apps, as the filter P(homeport.django.release_specs#filter) gives them.
    type: list
    elements: dict
    required: true
  only:
    description: Names of the apps to handle. Empty handles all.
    type: list
    elements: str
    default: []
  through:
    description:
      - For V(build), continue with V(migrate) and V(activate), as where no other host has to be waited for. Each
        start of this module takes half a second of the host.
    type: bool
    default: false
  secrets:
    description:
      - What only an app's own code may see, by app. Keys of each - C(deploy_key), C(git), and in check mode
        C(environment) and C(processes).
    type: dict
    default: {}
  failed:
    description:
      - Apps that failed on any host of the run, with the reason. They are left as they are, but by V(withdraw).
      - V(build) returns them as failed.
    type: dict
    default: {}
  allow_unsafe_migrations:
    description: Run migrations that break the code which is still running.
    type: bool
    default: false
  to:
    description: For V(rollback), the release by its name. By default the previous release.
    type: str
    default: ""
  restore:
    description:
      - For V(rollback), restore the database from the dump that was made before the releases that are rolled back.
        What was written since is lost; a dump of the present state is made first.
      - V(true), or the name of a dump.
    type: str
    default: ""
  restored_elsewhere:
    description:
      - For V(rollback), another host restores the database. A release that is live here already is then no error;
        an interrupted rollback has put it live.
    type: bool
    default: false
  again:
    description: Make a release or code live again that was rolled back. With V(rollback) and without O(to), make the
      previous release live, also where it was rolled back.
    type: bool
    default: false
  unlock:
    description: Take the app from another run, and end what it still does on the host.
    type: bool
    default: false
  holder:
    description: Who deploys, for the message that somebody else gets who tries at the same time. Set by the
      action plugin.
    type: str
    default: ""
  run:
    description: Identifies this run. Set by the action plugin.
    type: str
    default: ""
  dead_runs:
    description: Runs of this controller that have ended. Set by the action plugin.
    type: list
    elements: str
    default: []
  base:
    description: Folder on the controller that C(source.path) and C(source.archive) are relative to. Read
      by the action plugin.
    type: str
    default: ""
  uploads:
    description: Archives that the controller has put on the host, by app. Set by the action plugin.
    type: dict
    default: {}
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Build the releases
  homeport.django.release:
    phase: build
    apps: "{{ homeport_apps | homeport.django.release_specs }}"
"""

RETURN = r"""
pending:
  description: Names of the apps that have a release to be put live, or processes that do not run it.
  returned: always
  type: list
  elements: str
releases:
  description: What was done for each app.
  returned: always
  type: dict
failed_apps:
  description: Apps for which it failed, with the reason.
  returned: always
  type: dict
wanting:
  description: Names of the apps whose code is on the controller, and is not among O(uploads) although a release has to
    be built of it. Nothing was done for them.
  returned: always
  type: list
  elements: str
visits:
  description:
    - Problems of the pages that visitors get, by app, of those that went live or had nothing to do. Empty where there
      is none.
  returned: always
  type: dict
outcomes:
  description: For apps with which the run has ended, the line that was added to their record, with the first
    line of its message.
  returned: always
  type: dict
locked:
  description: Apps that another run has, and that run.
  returned: always
  type: dict
"""

import contextlib
import sys
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.words import STILL_SERVES
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import (
    Interrupted,
    interruption,
)
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import Request
from ansible_collections.homeport.django.plugins.module_utils.host.release.plan import shown
from ansible_collections.homeport.django.plugins.module_utils.host.release.run import Run

PHASES = ("build", "migrate", "activate", "rollback", "withdraw")


def main() -> None:
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": list(PHASES), "required": True},
            "apps": {"type": "list", "elements": "dict", "required": True},
            "through": {"type": "bool", "default": False},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "only": {"type": "list", "elements": "str", "default": []},
            "failed": {"type": "dict", "default": {}},
            "allow_unsafe_migrations": {"type": "bool", "default": False},
            "to": {"type": "str", "default": ""},
            "restore": {"type": "str", "default": ""},
            "restored_elsewhere": {"type": "bool", "default": False},
            "again": {"type": "bool", "default": False},
            "unlock": {"type": "bool", "default": False},
            "holder": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "dead_runs": {"type": "list", "elements": "str", "default": []},
            "base": {"type": "str", "default": ""},
            "uploads": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    run = Run(request_of(module), module.debug)
    interruption.watch()
    try:
        run.handle(module.params["apps"], module.params["only"], module.params["secrets"])
    except Interrupted:
        with contextlib.suppress(OSError):  # the run may have ended
            module.fail_json(
                msg="This step was interrupted, by another run with -e unlock=true or by its own run"
            )
        sys.exit(1)
    interruption.unwatch()
    report(module, run)


def request_of(module: Module) -> Request:
    params = module.params
    names = (
        "phase",
        "run",
        "holder",
        "unlock",
        "failed",
        "uploads",
        "allow_unsafe_migrations",
        "again",
        "through",
        "to",
        "restore",
        "restored_elsewhere",
    )
    return Request(
        warn=module.warn,
        dead_runs=tuple(params["dead_runs"]),
        dry=module.check_mode,
        diff=module._diff,
        **{name: params[name] for name in names},
    )


def report(module: Module, run: Run) -> None:
    pending = sorted(name for name, found in run.results.items() if found.get("pending"))
    wanting = sorted(name for name, found in run.results.items() if found.pop("wanting", False))
    result: dict[str, Any] = {
        "changed": any(found["changed"] for found in run.results.values()),
        "pending": pending,
        "wanting": wanting,
        "releases": run.results,
        "failed_apps": run.failed,
        "outcomes": run.outcomes,
        "locked": run.locked,
    }
    plans = {name: found.pop("plan") for name, found in run.results.items() if "plan" in found}
    if plans:
        result["diff"] = [{"prepared": shown(name, plan)} for name, plan in plans.items()]
    result["unasked"] = sorted(name for name, found in run.results.items() if found.pop("unasked", False))
    result["visits"] = {name: found.pop("visit") for name, found in run.results.items() if "visit" in found}
    if module.params["phase"] == "rollback" and run.failed:
        lines = [f"{name}: {message}" for name, message in run.failed.items()]
        module.fail_json(msg="\n\n".join([*lines, STILL_SERVES]), **result)
    # the module verdict reports at the end of the run what has failed; it concerns no other app
    for name, message in run.failed.items():
        module.warn(f"{name}: {message.partition(chr(10))[0]}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
