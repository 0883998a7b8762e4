#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The documentation of the action plugin of this name, which does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_report
short_description: Judge what an audit has found on all hosts, and show it
description:
  - Makes one report of what M(homeport.django.audit) and M(homeport.django.audit_outside) have found on the hosts of
    the play. Shows it as a table or as JSON, and can write it to a file on the controller. The JSON document is
    described in docs/audit.md.
  - It runs on the controller alone, and is to be run once.
options:
  inside:
    description: Name of the variable in which the result of M(homeport.django.audit) was registered.
    type: str
    required: true
  outside:
    description: Name of the variable in which the result of M(homeport.django.audit_outside) was registered.
    type: str
    required: true
  format:
    description: What is shown.
    type: str
    choices: [table, json]
    default: table
  json:
    description: File on the controller to write the JSON document to.
    type: str
    default: ""
  strict:
    description: Whether warnings make the task fail as well.
    type: bool
    default: false
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Show it
  homeport.django.audit_report:
    inside: __audit
    outside: __audit_outside
  run_once: true
"""

RETURN = r""" # """
