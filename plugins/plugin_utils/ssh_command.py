# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The command line that runs a command as root on a host, for what Ansible's own modules cannot: a terminal, an endless
output."""

from __future__ import annotations

import shlex
from typing import Any


def ssh_command(connection: Any, command: str, become: bool) -> str:
    """What an operator types to run a shell command as root, at a terminal, on the host of a connection."""
    words = ssh_words(connection, command, become, terminal=True)
    return shlex.join(words) if words else remote(command, become)


def ssh_words(connection: Any, command: str, become: bool, terminal: bool) -> list[str]:
    """The same as words; none where the host is reached in another way than by ssh."""
    if connection.transport == "local":
        return shlex.split(remote(command, become)) if become else ["sh", "-c", command]
    if connection.transport != "ssh":
        return []

    def option(name: str) -> str:
        found = connection.get_option(name)
        return "" if found is None else str(found)

    words = ["ssh", "-t"] if terminal else ["ssh", "-T"]
    words += ["-p", option("port")] if option("port") else []
    words += ["-i", option("private_key_file")] if option("private_key_file") else []
    words += [*shlex.split(option("ssh_common_args")), *shlex.split(option("ssh_extra_args"))]
    user = option("remote_user")
    words.append(f"{user}@{option('host')}" if user else option("host"))
    return [*words, remote(command, become)]


def asks_password(connection: Any, become: bool) -> bool:
    """Whether Ansible answers ssh or sudo with a password, which nothing else gets."""
    return bool(
        (connection.transport == "ssh" and connection.get_option("password"))
        or (become and connection.become and connection.become.get_option("become_pass"))
    )


def remote(command: str, become: bool) -> str:
    return f"sudo sh -c {shlex.quote(command)}" if become else command
