#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The documentation of the action plugin of this name, which does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: status_report
short_description: Show what homeport.django.status found on all hosts
description:
  - Makes one report of what M(homeport.django.status) found on the hosts of the play. Shows it as tables or as JSON,
    and can write it to files on the controller. The JSON document is described in docs/operating.md.
  - It runs on the controller alone, and is to be run once.
options:
  found:
    description: Name of the variable in which the result of M(homeport.django.status) was registered.
    type: str
    required: true
  apps:
    description: The apps, as the filter P(homeport.django.status_apps#filter) gives them.
    type: list
    elements: dict
    required: true
  setup:
    description: The setup playbook that the hosts are made with.
    type: str
    required: true
  only:
    description: Name of the app that was looked at. Empty stands for all.
    type: str
    default: ""
  format:
    description: What is shown.
    type: str
    choices: [table, json]
    default: table
  json:
    description: File on the controller to write the JSON document to.
    type: str
    default: ""
  html:
    description: File on the controller to write a page to that needs no other file.
    type: str
    default: ""
  fail:
    description: Whether the task fails when there is a failure; with V(warnings), when there is a failure or a warning.
    type: str
    choices: ["true", "false", warnings]
    default: "true"
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Show it
  homeport.django.status_report:
    found: __status
    apps: "{{ homeport_apps | homeport.django.status_apps }}"
    setup: typical
  run_once: true
"""

RETURN = r""" # """
