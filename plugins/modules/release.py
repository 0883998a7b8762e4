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
  - A phase that fails leaves the release that is live serving.
  - What is done follows from the state of the host alone, so that a run that was cut off is finished by
    the next one.
options:
  phase:
    description:
      - V(plan) says what V(build) would do.
      - V(build) makes a release of every app whose code or configuration is not that of its live release.
      - V(migrate) runs C(migrate) in the newest release of the apps.
      - V(activate) puts the newest release of the apps live and renews their processes.
      - V(rollback) puts an earlier release that was kept live again. The database stays as it is.
    type: str
    choices: [plan, build, migrate, activate, rollback]
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
  secrets:
    description: What only an app's own code may see, by app. Keys of each - C(deploy_key), C(git).
    type: dict
    default: {}
  to:
    description: For V(rollback), the release by its name. By default the one that was live before.
    type: str
    default: ""
  holder:
    description: Who deploys, for the message that somebody else gets who tries at the same time.
    type: str
    default: ""
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
"""

import os
import traceback
import xmlrpc.client
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.release_build import Build, fingerprint
from ansible_collections.homeport.django.plugins.module_utils.release_layout import (
    DeployError,
    Layout,
    Lock,
    Runner,
)
from ansible_collections.homeport.django.plugins.module_utils.release_source import Source
from ansible_collections.homeport.django.plugins.module_utils.release_switch import Switch
from ansible_collections.homeport.django.plugins.module_utils.supervisor_client import SOCKET, Supervisor


def build(module: AnsibleModule, layout: Layout) -> dict[str, Any]:
    """The newest wanted release, built if need be; pending unless it is live on every process."""
    if not os.path.isdir(layout.releases):  # check mode on a bare host
        return {"pending": True, "changed": True, "action": "first release"}
    revision = Source(layout, Runner(layout)).revision()
    mark = fingerprint(layout, revision)
    dry = module.check_mode or module.params["phase"] == "plan"
    current = layout.current
    live = layout.record(current)
    if current and live.get("fingerprint") == mark:
        if not dry:
            layout.point(layout.next_link, current)
        settled = os.path.exists(SOCKET) and Switch(layout, Supervisor()).is_settled()
        return {
            "pending": not settled,
            "changed": not settled,
            "action": "none" if settled else "finish",
            "revision": revision,
        }
    ready = [path for path in layout.known_releases() if layout.record(path).get("fingerprint") == mark]
    result = {"pending": True, "changed": True, "revision": revision, "live": live.get("revision", "")}
    if ready:
        if not dry:
            layout.point(layout.next_link, ready[-1])
        return {**result, "action": "put live", "release": os.path.basename(ready[-1])}
    if dry:
        return {**result, "action": "build"}
    record = Build(layout, revision, mark, module.params["uploads"].get(layout.name)).run()
    layout.point(layout.next_link, f"{layout.releases}/{record['id']}")
    return {**result, "action": "build", "release": record["id"], "seconds": record["seconds"]}


def chosen(layout: Layout) -> str:
    """The release that the build phase chose."""
    release = layout.resolve_link(layout.next_link)
    if not release:
        raise DeployError("there is no release to go on with; run the build phase first")
    return release


def migrate(module: AnsibleModule, layout: Layout) -> dict[str, Any]:
    if not layout.spec["migrate"]:
        return {"changed": False, "action": "none"}
    release = chosen(layout)
    # a migration that waits for a lock would make every request behind it wait too
    environment = {"PGOPTIONS": "-c lock_timeout=15s"}
    runner = Runner(layout)
    out = runner.in_release(
        release, ["manage.py", "migrate", "--noinput", "--verbosity=1"], "migrate", env=environment
    )
    applied = [
        line.split()[1].rstrip(".") for line in out.splitlines() if line.strip().startswith("Applying ")
    ]
    return {"changed": bool(applied), "action": "migrate", "applied": applied}


def activate(module: AnsibleModule, layout: Layout) -> dict[str, Any]:
    release = chosen(layout)
    seconds = Switch(layout, Supervisor()).activate(release)
    return {"changed": True, "action": "live", "release": os.path.basename(release), "seconds": seconds}


def rollback(module: AnsibleModule, layout: Layout) -> dict[str, Any]:
    current = layout.current
    wanted = module.params["to"]
    known = {os.path.basename(path): path for path in layout.known_releases()}
    if wanted and wanted not in known:
        raise DeployError(f"there is no release {wanted}; kept are {', '.join(known) or 'none'}")
    target = known[wanted] if wanted else layout.resolve_link(f"{layout.home}/previous")
    if not target or not current:
        raise DeployError("there is no earlier release to go back to")
    if target == current:
        raise DeployError(f"{os.path.basename(target)} is the live release already; name another with to")
    live = os.path.basename(current)
    result = {"changed": True, "action": "rollback", "release": os.path.basename(target), "before": live}
    if module.check_mode:
        return result
    layout.point(layout.next_link, target)
    return {**result, "seconds": Switch(layout, Supervisor()).activate(target)}


CONSEQUENCES = {
    "plan": "Nothing that is live was touched",
    "build": "Nothing that is live was touched",
    "migrate": (
        "The code that is live was not touched; whether the database was is said above: migrations that were "
        "applied before the failing one stay applied"
    ),
    "activate": "The release that was live before goes on serving unless the message says otherwise",
    "rollback": "The release that was live before goes on serving unless the message says otherwise",
}
STEPS = {"plan": build, "build": build, "migrate": migrate, "activate": activate, "rollback": rollback}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "choices": list(STEPS), "required": True},
            "apps": {"type": "list", "elements": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "only": {"type": "list", "elements": "str", "default": []},
            "to": {"type": "str", "default": ""},
            "holder": {"type": "str", "default": ""},
            "base": {"type": "str", "default": ""},
            "uploads": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    phase = module.params["phase"]
    results, problems = {}, []
    for spec in module.params["apps"]:
        if module.params["only"] and spec["name"] not in module.params["only"]:
            continue
        layout = Layout(spec, module.params["secrets"].get(spec["name"]))
        if module.check_mode and phase not in ("plan", "build", "rollback"):
            continue
        try:
            if os.path.isdir(layout.home) and not module.check_mode and phase != "plan":
                with Lock(layout, module.params["holder"]):
                    results[spec["name"]] = STEPS[phase](module, layout)
            else:
                results[spec["name"]] = STEPS[phase](module, layout)
        except DeployError as error:
            problems.append(f"{spec['name']}: {error}")
        except (OSError, xmlrpc.client.Error) as error:
            module.debug(traceback.format_exc())
            problems.append(f"{spec['name']}: {type(error).__name__}: {error}")
    result = {
        "changed": any(found["changed"] for found in results.values()),
        "pending": sorted(name for name, found in results.items() if found.get("pending")),
        "releases": results,
    }
    if problems:
        module.fail_json(msg="\n\n".join([*problems, CONSEQUENCES[phase] + "."]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
