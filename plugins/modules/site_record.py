#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Records which commit of the site a host is given."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_record
short_description: Record which commit of the site a host is given
description:
  - Writes the commit of the site's folder on the controller, and the operator, to C(/var/lib/homeport/site.json). A
    clone of the site that lacks this commit would set the host back, and is recognized by it.
  - Fails without a change where another run has recorded a commit since M(homeport.django.host_facts) read it.
options:
  commit:
    description: The commit of the site's folder.
    type: str
    required: true
  time:
    description: The commit's time, in seconds since 1970.
    type: int
    required: true
  uncommitted:
    description: Whether the inventory has changes that are not committed.
    type: bool
    default: false
  seen:
    description: The commit that the host had when this run began, or an empty string.
    type: str
    default: ""
  holder:
    description: The operator. Set by the action plugin.
    type: str
    default: ""
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Record which commit of the site the host is given
  homeport.django.site_record:
    commit: 5f4dcc3b5aa765d61d8327deb882cf99a1b2c3d4
    time: 1796072400
"""

RETURN = r"""#"""

from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule
from ansible_collections.homeport.django.plugins.module_utils.host.site_record import Overtaken, give


def main() -> None:
    module = HostModule(
        argument_spec={
            "commit": {"type": "str", "required": True},
            "time": {"type": "int", "required": True},
            "uncommitted": {"type": "bool", "default": False},
            "seen": {"type": "str", "default": ""},
            "holder": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    site = {**{key: given[key] for key in ("commit", "time", "uncommitted")}, "by": given["holder"]}
    try:
        changed = give(site, given["seen"], module.check_mode)
    except Overtaken as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
