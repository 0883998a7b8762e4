#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Documentation of the action plugin of the same name, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check the definitions of the apps before any host is touched
description:
  - Reads C(django_apps), C(vault_django_apps), C(homeport_secret) and C(homeport_secret_previous). Checks these, the
    inventory's groups, and the files on the controller that they name. Fails once with all problems.
  - Values are never shown, since any of them may be a secret. A file with secrets in plain text that git does not
    ignore is a warning.
options:
  setup:
    description: The setup that the apps are put on.
    type: str
    default: site
  base:
    description: Folder on the controller that relative paths start from. By default the inventory's.
    type: str
  deploys:
    description: Whether apps are going to be put live. If so, the sources on the controller must be there, and
      the app that the variable C(app) names must be one of C(django_apps).
    type: bool
    default: true
  several_apps:
    description: The variable C(app) may name several apps, as a list or with commas between them, or C(all).
    type: bool
    default: false
  reads:
    description: The playbook changes no host. Nothing but the definitions of the apps and what was typed is checked.
    type: bool
    default: false
  needs:
    description: Groups of the inventory, or the first host of one such as V(app_servers[0]), that C(--limit) must not
      leave out. Without any, what it leaves out is warned of.
    type: list
    elements: str
    default: []
  definitions:
    description: Check the definitions. If not, only what was typed is checked.
    type: bool
    default: true
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Check the definitions of the apps
  homeport.django.preflight:
    setup: typical
"""
