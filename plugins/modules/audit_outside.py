#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The documentation of the action plugin of this name, which does it all."""

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_outside
short_description: Look at a host from outside
description:
  - Runs on the controller, for each host. Tries which ports of the host answer. Requests its sites at the host's own
    address, without the DNS. Reads their certificates, their worst TLS, their headers, and what must not be served.
  - It returns that together with what is wanted of the host, for M(homeport.django.audit_report).
options:
  address:
    description: Address of the host.
    type: str
    required: true
  look:
    description: Whether to look at all. Without, only what is wanted is returned.
    type: bool
    default: true
  inside:
    description: What M(homeport.django.audit) has returned of the host, whose ports are tried as well.
    type: dict
    default: {}
  exposure:
    description: The ports that are to be open, as the filter P(homeport.django.exposure#filter) gives them.
    type: list
    elements: dict
    required: true
  rules:
    description: Further ones, in the form of C(host_firewall_rules).
    type: list
    elements: dict
    default: []
  apps:
    description: The apps, as the filter P(homeport.django.status_apps#filter) gives them.
    type: list
    elements: dict
    required: true
  sites:
    description: The sites of the host, as the filter P(homeport.django.audit_sites#filter) gives them.
    type: dict
    default: {}
  backup:
    description: Whether the apps are to be backed up by this host, by another one, or by none.
    type: str
    choices: [here, elsewhere, none]
    default: none
  roots:
    description: File on the controller with root certificates that visitors trust, and the controller does not.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Look at the host from outside
  homeport.django.audit_outside:
    address: "{{ ansible_host }}"
    exposure: "{{ homeport_exposure }}"
    apps: "{{ homeport_apps | homeport.django.status_apps }}"
    sites: "{{ homeport_apps | homeport.django.audit_sites }}"
  register: __audit_outside
"""

RETURN = r"""
outside:
  description: What was seen.
  returned: always
  type: dict
wanted:
  description: What is wanted of the host.
  returned: always
  type: dict
"""
