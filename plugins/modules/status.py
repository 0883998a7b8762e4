#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reports what a host and its apps are doing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status
short_description: Find out what a host and the Django apps on it are doing
description:
  - Reads the host and its services. Of each app it reads the live release, its health page, its processes and
    schedules, its disk usage, and its last deploys. It changes nothing.
  - What cannot be read is left out; a service that is down is a finding, not an error.
  - Apps that have releases on the host and are not among O(apps) are reported as well.
options:
  apps:
    description: The apps, as the filter P(homeport.django.status_apps#filter) gives them.
    type: list
    elements: dict
    required: true
  only:
    description: Name of the app to look at. Empty looks at all.
    type: str
    default: ""
  parts:
    description: Digests of what the services of the host are to be given for each app, as the filter
      P(homeport.django.wanted_parts#filter) makes them.
    type: dict
    default: {}
  declared:
    description: What is declared of all that the host may have, as the filter P(homeport.django.declared#filter) says.
    type: dict
    default: {}
  certificates:
    description: The certificates of the apps, as the filter P(homeport.django.certificate_sites#filter) gives them.
    type: dict
    default: {}
  firewall:
    description: The rules of the firewall, as the filter P(homeport.django.firewall_rules#filter) makes them. Without
      any, the host has no firewall of Homeport's.
    type: list
    elements: str
    default: []
  setup:
    description: The setup playbook of the inventory.
    type: str
    default: site
  timeout:
    description: Seconds that an app has to answer its health page, and visitors.
    type: int
    default: 5
  history:
    description: How many of the last deploys of each app to report.
    type: int
    default: 10
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at the host and its apps
  homeport.django.status:
    apps: "{{ homeport_apps | homeport.django.status_apps }}"
  register: __status
"""

RETURN = r"""
status:
  description: What was found. M(homeport.django.status_report) makes a report of it.
  returned: always
  type: dict
"""

from ansible_collections.homeport.django.plugins.module_utils.common import parts
from ansible_collections.homeport.django.plugins.module_utils.common.paths import FIREWALL
from ansible_collections.homeport.django.plugins.module_utils.common.undeclared import PARTS, undeclared_lines
from ansible_collections.homeport.django.plugins.module_utils.host.given import (
    given_parts,
    recorded_sets,
    touched_paths,
)
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.restarts import waiting
from ansible_collections.homeport.django.plugins.module_utils.host.status.certificates import (
    given_certificates,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.collect import collect
from ansible_collections.homeport.django.plugins.module_utils.host.status.firewall import firewall_differences
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Places, read
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import found_here


def main() -> None:
    module = Module(
        argument_spec={
            "apps": {"type": "list", "elements": "dict", "required": True},
            "only": {"type": "str", "default": ""},
            "parts": {"type": "dict", "default": {}},
            "declared": {"type": "dict", "default": {}},
            "certificates": {"type": "dict", "default": {}},
            "firewall": {"type": "list", "elements": "str", "default": []},
            "setup": {"type": "str", "default": "site"},
            "timeout": {"type": "int", "default": 5},
            "history": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> tuple[int, str]:
        try:
            status, out, _err = module.run_command(command, handle_exceptions=False)
        except OSError:
            return 127, ""
        return status, out

    given = module.params
    found = collect(given["apps"], run, given["timeout"], given["history"], given["only"])
    differing = parts.differing(given["parts"], given_parts(), recorded_sets())
    for app, fields in parts.differing_certificates(
        given["certificates"], given_certificates(Places())
    ).items():
        differing.setdefault(app, {})[parts.CERTIFICATES] = fields
    found["firewall"] = []
    if given["firewall"] and not given["only"]:
        found["firewall"] = firewall_differences(given["firewall"], read(FIREWALL), run, given["setup"])
    found["differing"] = {name: differs for name, differs in differing.items() if given["only"] in ("", name)}
    found["undeclared"] = []
    if given["declared"]:
        run_of = f"the next run of {given['setup']} or deploy"
        for line in undeclared_lines(found_here(), given["declared"], run_of, given["setup"]):
            if line["kind"] == "app" and line["app"] in found["apps"]:
                found["apps"][line["app"]]["undeclared"] = line["text"]
            # the app's own processes and schedules are compared one by one
            elif line["kind"] not in PARTS and given["only"] in ("", line["app"]):
                found["undeclared"].append(line["text"])
    found["touched"] = touched_paths()
    found["restarts"] = waiting()
    module.exit_json(changed=False, status=found)


if __name__ == "__main__":
    main()
