#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Debian packages, compared by dpkg and installed in one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages in one transaction
description:
  - Asks dpkg which packages are missing, and calls apt once for all of them, and only then.
  - Unlike M(ansible.builtin.apt) it needs nothing on the host beyond Debian itself, so that check mode works on a
    bare machine. A run that has nothing to install costs one call of dpkg-query.
  - Waits for another apt or dpkg, and finishes a dpkg run that was interrupted.
options:
  names:
    description: Packages that must be installed. V(a|b) is satisfied by either; the first that exists
      is installed. V({version}) in a name is the version of the host's PostgreSQL.
    type: list
    elements: str
    required: true
  of_apps:
    description: Which of O(names) single apps need, by app. Where the package lists do not have one of them, it is left
      out, and RV(unavailable) has the reason for the app.
    type: dict
    default: {}
  masked:
    description: Units that are masked before anything is installed. So a service that a package would start, open to
      every user of the host, never runs.
    type: list
    elements: str
    default: []
  max_age:
    description: Seconds for which the package lists count as fresh.
    type: int
    default: 21600
  lock_timeout:
    description: Seconds to wait for another package manager.
    type: int
    default: 300
extends_documentation_fragment: [homeport.django.component]
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Install nginx
  homeport.django.packages:
    names: [nginx-light|nginx]
"""

RETURN = r"""
unavailable:
  description: Why packages of an app were left out, by app.
  returned: always
  type: dict
missing:
  description: Packages that were installed, or would be in check mode.
  returned: always
  type: list
  elements: str
"""

import os
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homeport.django.plugins.module_utils.common.extension_packages import VERSION
from ansible_collections.homeport.django.plugins.module_utils.host.apt_lists import lists_age
from ansible_collections.homeport.django.plugins.module_utils.host.given import PACKAGES, Given, installed
from ansible_collections.homeport.django.plugins.module_utils.host.module import HostModule
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster

ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C"}
OPTIONS = (
    "--no-install-recommends", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip


def pick(module: AnsibleModule, word: str) -> str:
    """The first alternative that the package lists know."""
    choices = word.split("|")
    if len(choices) == 1:
        return word
    for name in choices:
        code, out, _err = module.run_command(["apt-cache", "policy", name])
        if code == 0 and "Candidate: " in out and "Candidate: (none)" not in out:
            return name
    return choices[-1]


def versioned(module: AnsibleModule, words: list[str], have: set[str]) -> list[str]:
    """Names with the version of PostgreSQL that the host has, or that its package lists would bring."""
    if not any(VERSION in word for word in words):
        return words
    server = re.compile(r"postgresql-(\d+)")
    used = used_cluster()[0]
    found = [int(used)] if used else [int(match[1]) for name in have if (match := server.fullmatch(name))]
    if not found:
        _code, out, _err = module.run_command(["apt-cache", "depends", "postgresql"])
        found = [int(version) for version in re.findall(r"Depends: postgresql-(\d+)$", out, re.MULTILINE)]
    return [word.replace(VERSION, str(max(found))) for word in words] if found else words


def known(out: str) -> set[str]:
    """The packages that apt-cache policy has a version of."""
    blocks = re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (.*)$", out, re.MULTILINE)
    return {name for name, candidate in blocks if candidate != "(none)"}


def unavailable(module: AnsibleModule, apt: Apt, missing: list[str]) -> dict[str, str]:
    """Packages of single apps that no package list has, by app, as a message."""
    of_apps: dict[str, list[str]] = module.params["of_apps"]
    words = {word: re.split("[=/]", word, maxsplit=1)[0] for name in of_apps for word in of_apps[name]}
    asked = sorted({name for word, name in words.items() if word in missing and "|" not in word})
    if not asked:
        return {}
    _code, out, _err = module.run_command(["apt-cache", "policy", *asked], environ_update=ENVIRONMENT)
    have = known(out)
    # a virtual package has no version, and may have a provider
    have |= {name for name in asked if name not in have and apt.install("--simulate", name)[0] == 0}
    found = {
        app: [word for word in named if word in missing and words[word] in asked and words[word] not in have]
        for app, named in of_apps.items()
    }
    return {
        app: f"django_apps.{app}.system_packages: the package lists of this host have no {', '.join(names)}"
        for app, names in found.items()
        if names
    }


def without(missing: list[str], left_out: dict[str, str], of_apps: dict[str, list[str]]) -> list[str]:
    """All packages but those that only the apps need which lack one: nothing is installed for a release that fails."""
    theirs = {word for app in left_out for word in of_apps[app]}
    others = {word for app, named in of_apps.items() if app not in left_out for word in named}
    return [word for word in missing if word not in theirs - others]


class Apt:
    """apt-get without questions, which waits for another package manager."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.words = ["apt-get", "-y", "-q", "-o", f"DPkg::Lock::Timeout={module.params['lock_timeout']}"]

    def call(self, *words: str) -> tuple[int, str, str]:
        found: tuple[int, str, str] = self.module.run_command(
            [*self.words, *words], environ_update=ENVIRONMENT
        )
        return found

    def install(self, *names: str) -> tuple[int, str, str]:
        return self.call("install", *OPTIONS, *names)


def refresh(module: AnsibleModule, apt: Apt) -> bool:
    """Finishes an interrupted dpkg run, and fetches lists that are too old; returns whether they were fresh."""
    if os.listdir("/var/lib/dpkg/updates"):
        module.run_command(["dpkg", "--configure", "-a"], environ_update=ENVIRONMENT)
    fresh = lists_age() < module.params["max_age"]
    if not fresh:
        code, out, err = apt.call("update")
        if code:
            module.fail_json(msg=f"apt-get update failed: {err or out}")
    return fresh


def install(module: AnsibleModule, apt: Apt, missing: list[str], fresh: bool) -> None:
    """Installs what is missing, with the units masked before. ``fresh``: the lists were not fetched just now."""
    for unit in module.params["masked"]:
        code, out, err = module.run_command(["systemctl", "mask", unit])
        if code:
            module.fail_json(msg=f"{unit} cannot be masked: {err or out}", missing=missing)
    names = [pick(module, word) for word in missing]
    code, out, err = apt.install(*names)
    if code and fresh:  # lists that are not old enough to distrust, yet name versions that are missing
        apt.call("update")
        code, out, err = apt.install(*names)
    if code:
        module.fail_json(msg=f"apt-get install {' '.join(names)} failed: {err or out}", missing=missing)


def main() -> None:
    module = HostModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "of_apps": {"type": "dict", "default": {}},
            "masked": {"type": "list", "elements": "str", "default": []},
            "max_age": {"type": "int", "default": 21600},
            "lock_timeout": {"type": "int", "default": 300},
            "given": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    code, out, err = module.run_command(PACKAGES)
    if code:
        module.fail_json(msg=f"dpkg-query failed: {err}")
    have = installed(out)
    given = Given.told(module.params["given"])
    names = list(dict.fromkeys(module.params["names"]))
    wanted = versioned(module, names, have)
    missing = [word for word in wanted if not any(name in have for name in word.split("|"))]
    if module.check_mode:
        module.exit_json(changed=bool(missing), missing=missing, unavailable={})
    there = {"packages": dict.fromkeys(wanted, True)}
    if not missing:
        given.keep(there)
        module.exit_json(changed=False, missing=[], unavailable={})
    given.forget()
    apt = Apt(module)
    fresh = refresh(module, apt)
    if any(VERSION in word for word in missing):  # there were no lists yet
        missing = versioned(module, missing, have)
        there = {"packages": dict.fromkeys(versioned(module, names, have), True)}
    left_out = unavailable(module, apt, missing)
    if left_out and fresh:  # lists that are not old enough to distrust may be older than the package
        apt.call("update")
        left_out = unavailable(module, apt, missing)
    missing = without(missing, left_out, module.params["of_apps"])
    if missing:
        install(module, apt, missing, fresh)
    if not left_out:
        given.keep(there)
    module.exit_json(changed=bool(missing), missing=missing, unavailable=left_out)


if __name__ == "__main__":
    main()
