"""Where sshd listens."""

from __future__ import annotations

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.sshd_ports import sshd_ports

BOTH = "listenaddress [::]:22\nlistenaddress 0.0.0.0:22\n"
SOCKET = "Listen=[::]:2022 (Stream)\nListen=/run/x (Stream)\nActiveState={state}\n"


@pytest.mark.parametrize(
    ("listens", "socket", "ports"),
    [
        (BOTH, "ActiveState=inactive\n", [22]),
        ("listenaddress 0.0.0.0:2222\nlistenaddress [2001:db8::1]:2223 rdomain x\n", "", [2222, 2223]),
        ("ListenAddress 0.0.0.0:2222\n", "", [2222]),  # OpenSSH 10.6
        (BOTH, SOCKET.format(state="active"), [22, 2022]),
        (BOTH, SOCKET.format(state="inactive"), [22]),
        ("", "", [22]),
    ],
)
def test_ports(listens: str, socket: str, ports: list[int]) -> None:
    assert sshd_ports(f"port 22\naddressfamily any\n{listens}usepam yes\n", socket) == ports
