# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the documentation of all modules says that care for a component of a host."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  given:
    description: C(key) and C(digest) of what is declared, and digests of its C(parts) by app, which are left on the
      host. Set by the action plugin, which does not call the module where that is there already and nothing has been
      touched since.
    type: dict
    default: {}
"""
