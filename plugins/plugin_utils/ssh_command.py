# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an operator types for a terminal on a host, which Ansible does not hand on."""

from __future__ import annotations

import shlex
from typing import Any


def ssh_command(connection: Any, command: str, become: bool) -> str:
    """The command line that runs a shell command as root on the host of a connection."""
    remote = f"sudo sh -c {shlex.quote(command)}" if become else command
    if connection.transport != "ssh":
        return remote

    def option(name: str) -> str:
        found = connection.get_option(name)
        return "" if found is None else str(found)

    words = ["ssh", "-t"]
    words += ["-p", option("port")] if option("port") else []
    words += ["-i", option("private_key_file")] if option("private_key_file") else []
    words += [*shlex.split(option("ssh_common_args")), *shlex.split(option("ssh_extra_args"))]
    user = option("remote_user")
    words.append(f"{user}@{option('host')}" if user else option("host"))
    return shlex.join([*words, remote])
