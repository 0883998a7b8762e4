#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A set of system accounts in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts
short_description: Create a set of system accounts
description:
  - Creates every account of a set, with a group of its own name, its home, shell and supplementary groups. One task
    does the whole set.
  - Refuses to take over an account that is there already and was not made for the same home.
options:
  accounts:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the user and of its group.
        type: str
        required: true
      home:
        description: Home folder. It is recorded, not created.
        type: path
        required: true
      shell:
        description: Login shell.
        type: path
        default: /usr/sbin/nologin
      groups:
        description: Supplementary groups that the user must be in.
        type: list
        elements: str
        default: []
extends_documentation_fragment: [homeport.django.component]
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Create the users of the apps
  homeport.django.accounts:
    accounts:
      - {name: blog, home: /srv/blog/home}
"""

RETURN = r"""
created:
  description: Names of the accounts that were made.
  returned: always
  type: list
  elements: str
"""

import grp
import pwd

from ansible_collections.homeport.django.plugins.module_utils.host.given import Given
from ansible_collections.homeport.django.plugins.module_utils.host.given import accounts as found_accounts
from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule


def lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def members(group: str) -> list[str]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return []


def main() -> None:
    account = {
        "name": {"type": "str", "required": True},
        "home": {"type": "path", "required": True},
        "shell": {"type": "path", "default": "/usr/sbin/nologin"},
        "groups": {"type": "list", "elements": "str", "default": []},
    }
    module = HostModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "options": account, "required": True},
            "given": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    wanted = module.params["accounts"]
    taken = [
        f"The user {spec['name']} exists already with the home {found.pw_dir}; give the app another name"
        for spec in wanted
        for found in [lookup(spec["name"])]
        if found and found.pw_dir != spec["home"]
    ]
    if taken:
        module.fail_json(msg="; ".join(taken))

    created, commands = [], []
    for spec in wanted:
        found = lookup(spec["name"])
        groups = ",".join(group for group in spec["groups"] if spec["name"] not in members(group))
        if not found:
            created.append(spec["name"])
            command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", spec["home"]]
            commands.append(
                [*command, "--shell", spec["shell"], *(["--groups", groups] if groups else []), spec["name"]]
            )
            continue
        if found.pw_shell != spec["shell"]:
            commands.append(["usermod", "--shell", spec["shell"], spec["name"]])
        if groups:
            commands.append(["usermod", "--append", "--groups", groups, spec["name"]])
    if not module.check_mode:
        given = Given.told(module.params["given"])
        if commands:
            given.forget()
        for command in commands:
            code, _out, err = module.run_command(command)
            if code:
                module.fail_json(msg=f"{command[0]} failed for {command[-1]}: {err.strip()}")
        given.keep({"accounts": found_accounts([spec["name"] for spec in wanted])})
    module.exit_json(changed=bool(commands), created=created)


if __name__ == "__main__":
    main()
