#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Asks apps for their pages the way visitors do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
short_description: Report how a run ended for each app, and fail where one does not answer its visitors
description:
  - Requests the front page and the health page of each app from the host itself. The requests go through the web
    server, by the app's own name and scheme. It changes nothing.
  - The action plugin of the same name says which release of each app is live where. It fails when one of the steps
    before has failed for an app, and when an app does not answer.
options:
  visits:
    description: How each app is asked for its pages, as the filter P(homeport.django.visits#filter) gives them.
    type: dict
    required: true
  steps:
    description: What the steps of the run have returned (M(homeport.django.release)).
    type: list
    elements: dict
    default: []
  only:
    description: Names of the apps that the run is about. Empty means all.
    type: list
    elements: str
    default: []
  touched:
    description: Whether what stands in front of the apps was changed, so that all are asked.
    type: bool
    default: true
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Tell how the run ended
  homeport.django.verdict:
    visits: "{{ homeport_apps | homeport.django.visits }}"
    steps: ["{{ __django_app_built }}", "{{ __django_app_live }}"]
"""

RETURN = r"""
problems:
  description: What is wrong with the answers of each app that does not answer as it should.
  returned: always
  type: dict
"""

from concurrent.futures import ThreadPoolExecutor

from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of


def main() -> None:
    module = Module(
        argument_spec={
            "visits": {"type": "dict", "required": True},
            "steps": {"type": "list", "elements": "dict", "default": []},
            "only": {"type": "list", "elements": "str", "default": []},
            "touched": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    visits = module.params["visits"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = {name: pool.submit(problem_of, visit, visit["home"]) for name, visit in visits.items()}
        problems = {name: answer.result() for name, answer in found.items()}
    module.exit_json(changed=False, problems={name: problem for name, problem in problems.items() if problem})


if __name__ == "__main__":
    main()
