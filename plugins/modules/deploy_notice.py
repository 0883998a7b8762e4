#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Tells who wants to know how a deploy or a rollback ended."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_notice
short_description: Send the result of a deploy to a command or a webhook
description:
  - Runs on the controller alone, once for all hosts, after the module M(homeport.django.release).
  - A notice that cannot be delivered is a warning; it does not change the result of the run.
options:
  hosts:
    description: The hosts whose outcome is reported.
    type: list
    elements: str
    required: true
  waiting:
    description: Those of them that are still part of the run. While one of these has no outcome and all others
      succeeded, no notice is sent, as a rolling deploy has one notice.
    type: list
    elements: str
    default: []
  batch:
    description: Those of them that the present part of a rolling deploy is made for.
    type: list
    elements: str
    default: []
  notify:
    description:
      - The recipients, by app. C(command) gets a JSON object on its standard input and the same values as
        C(HOMEPORT_*) variables; C(url) gets it by HTTP POST.
      - Keys of the object - C(app), C(verb), C(outcome) (C(live), C(failed), C(held) or C(rolled back)), C(release),
        C(before), C(revision), C(subject), C(by), C(seconds), C(migrations), C(message), C(hosts) (the outcome of
        each), and C(text), one line that chat services show.
    type: dict
    required: true
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Tell how it ended
  homeport.django.deploy_notice:
    hosts: "{{ ansible_play_hosts_all }}"
    notify:
      blog: {url: "https://chat.example.org/hook/{{ chat_token }}"}
  run_once: true
"""

RETURN = r"""
told:
  description: The apps that a notice was sent for.
  returned: always
  type: list
  elements: str
"""
