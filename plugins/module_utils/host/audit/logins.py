# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Who can log in to a host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.sshd_ports import SOCKET, sshd_ports
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Run

SSHD = (
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "permitrootlogin",
    "permitemptypasswords",
)
NO_ACCOUNT = "homeport-nobody"  # no such account


def sshd(run: Run, who: dict[str, list[str]]) -> dict[str, Any] | None:
    """The settings of sshd that count for somebody from outside; nothing where there is none.

    They are those for a name that no Match is about, and under C(accounts) of root and each account with a password.
    """
    if not os.path.exists("/usr/sbin/sshd"):
        return None

    def settings_of(user: str, ports: Iterable[int]) -> str:
        text = ""
        for port in ports:
            who = f"user={user},host=outside.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport={port}"
            status, out = run(["/usr/sbin/sshd", "-T", "-C", who])
            if status:
                raise OSError(f"sshd -T ended with status {status}")
            text += out
        return text

    _status, unit = run(SOCKET)
    ports = sshd_ports(settings_of(NO_ACCOUNT, [22]), unit)
    users = dict.fromkeys(["root", *who["password"], *who["empty"]])
    return {
        **sshd_settings(settings_of(NO_ACCOUNT, ports)),
        "ports": ports,
        "accounts": {user: sshd_settings(settings_of(user, ports)) for user in users},
    }


def sshd_settings(text: str) -> dict[str, list[str]]:
    """Each with its values, of which there are several where sshd was asked about several of its ports."""
    found: dict[str, list[str]] = {name: [] for name in SSHD}
    for line in text.splitlines():
        name, _space, value = line.strip().lower().partition(" ")
        name = name.replace("challengeresponse", "kbdinteractive")
        if name in found and value not in found[name]:
            found[name].append(value)
    return found


def accounts(passwd: str, shadow: str) -> dict[str, list[str]]:
    """Who has a password to log in with, who needs none, and who else is root."""
    shells, roots = {}, []
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7:
            shells[fields[0]] = fields[6]
            if fields[2] == "0" and fields[0] != "root":
                roots.append(fields[0])
    words = dict(line.split(":")[:2] for line in shadow.splitlines() if ":" in line)
    able = [name for name, shell in shells.items() if not shell.endswith(("/nologin", "/false"))]
    return {
        "password": [name for name in able if words.get(name, "!")[:1] not in ("", "!", "*")],
        "empty": [name for name in able if words.get(name, "!") == ""],
        "roots": roots,
    }
