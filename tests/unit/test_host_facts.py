"""What is found out about a host."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.modules import host_facts

SSHD = "port 22\naddressfamily any\n{listens}usepam yes\n"


class Commands:
    """A module whose commands say what they are told to."""

    def __init__(self, sshd: str, socket: str) -> None:
        self.outputs = {"/usr/sbin/sshd": sshd, "systemctl": socket}

    def run_command(self, words: list[str]) -> tuple[int, str, str]:
        return 0, self.outputs[words[0]], ""


@pytest.mark.parametrize(
    ("listens", "socket", "ports"),
    [
        ("listenaddress [::]:22\nlistenaddress 0.0.0.0:22\n", "ActiveState=inactive\n", [22]),
        ("listenaddress 0.0.0.0:2222\n", "ActiveState=inactive\n", [2222]),
        (
            "listenaddress [::]:22\n",
            "Listen=[::]:2022 (Stream)\nListen=/run/x (Stream)\nActiveState=active\n",
            [22, 2022],
        ),
        ("listenaddress [::]:22\n", "Listen=[::]:2022 (Stream)\nActiveState=inactive\n", [22]),
    ],
)
def test_where_sshd_listens(
    listens: str, socket: str, ports: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    module: Any = Commands(SSHD.format(listens=listens), socket)
    assert host_facts.ssh_ports(module) == ports


@pytest.mark.parametrize(
    ("environment", "session", "user"),
    [
        ({"SUDO_USER": "deploy"}, "0", "deploy"),
        ({"DOAS_USER": "deploy"}, "0", "deploy"),
        ({}, "1", "daemon"),  # su
        ({}, "4294967295", "root"),  # no session at all
        ({}, "", "root"),
    ],
)
def test_who_logged_in(
    environment: dict[str, str], session: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SUDO_USER", "DOAS_USER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(host_facts, "open", lambda *_words, **_options: io.StringIO(session), raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert host_facts.login_user() == user
