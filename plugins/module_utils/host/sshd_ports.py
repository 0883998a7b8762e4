# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where sshd listens, which behind a port that is forwarded is not where Ansible connects to."""

from __future__ import annotations

import re

# Where systemd listens for it, it may have been told otherwise than sshd.
SOCKET = ["systemctl", "show", "--property=ActiveState,Listen", "ssh.socket"]


def sshd_ports(settings: str, socket: str = "") -> list[int]:
    """Its ports, from what C(sshd -T) and the command SOCKET print."""
    # an address may have a port of its own, and then it is not that of Port
    found = re.findall(r"^listenaddress \S+:(\d+)\b", settings, re.MULTILINE | re.IGNORECASE)
    found = found or re.findall(r"^port (\d+)$", settings, re.MULTILINE | re.IGNORECASE)
    if "ActiveState=active" in socket.splitlines():
        found += re.findall(r"^Listen=.*:(\d+) \(Stream\)$", socket, re.MULTILINE)
    return sorted({int(port) for port in found})
