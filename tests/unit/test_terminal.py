"""The terminal of a run: what is a conversation, and what does not end."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.homeport.django.plugins.action import logs, manage
from ansible_collections.homeport.django.plugins.plugin_utils.ssh_command import ssh_words
from ansible_collections.homeport.django.plugins.plugin_utils.terminal import converse, followed, terminal

from tests.unit.test_action_manage import Connection


def asleep(stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], stdin=stdin, stdout=stdout)


def test_the_terminal_of_a_run() -> None:
    ours, theirs = pty.openpty()
    null = os.open(os.devnull, os.O_RDWR)
    for stdin, stdout, expected in (
        (theirs, theirs, os.ttyname(theirs)),
        (theirs, null, ""),
        (null, theirs, ""),
        (null, null, ""),
    ):
        process = asleep(stdin, stdout)
        try:
            assert terminal(process.pid) == expected
        finally:
            process.kill()
            process.wait()
    assert terminal(process.pid) == ""
    for descriptor in (ours, theirs, null):
        os.close(descriptor)


def test_a_conversation() -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"hello\n")
    script = "import os; print('got', input(), os.isatty(0), os.isatty(1)); raise SystemExit(3)"
    assert converse([sys.executable, "-c", script], os.ttyname(theirs)) == 3
    assert b"got hello True True" in os.read(ours, 1000)
    os.close(ours)
    os.close(theirs)


def test_lines_that_come_by_themselves(tmp_path: Path) -> None:
    """The command ends when its input is closed, which ends what it has started."""
    ours, theirs = pty.openpty()
    assert followed(["sh", "-c", "printf 'one\\r\\ntwo'; exit 4"], os.ttyname(theirs), str.upper) == 4
    assert os.read(ours, 1000) == b"ONE\r\nTWO\r\n"
    for descriptor in (ours, theirs):
        os.close(descriptor)
    log = tmp_path / "log"
    log.write_text("")
    script = f"tail -n 0 -F {log} & cat >/dev/null; kill $!; wait; echo ended"
    done = subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.stdout.endswith(b"ended\n")


def test_how_a_host_is_reached() -> None:
    assert ssh_words(Connection("ssh"), "id", True, terminal=False) == [
        "ssh",
        "-T",
        "203.0.113.7",
        "sudo sh -c id",
    ]
    assert ssh_words(Connection("local"), "id", False, terminal=True) == ["sh", "-c", "id"]
    assert ssh_words(Connection("docker"), "id", False, terminal=True) == []


class Manage(manage.ActionModule):
    def __init__(self, connection: Connection, **arguments: Any) -> None:
        self._connection: Any = connection
        self._task: Any = SimpleNamespace(args=arguments, check_mode=False)
        self._play_context: Any = SimpleNamespace(become=True)


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was run at a terminal."""
    seen: list[list[str]] = []
    monkeypatch.setattr(manage, "terminal", lambda: "/dev/pts/9")

    def talk(words: list[str], _device: str) -> int:
        seen.append(words)
        return STATUS[0]

    monkeypatch.setattr(manage, "converse", talk)
    return seen


STATUS = [0]
HOSTS = {"inventory_hostname": "web1", "ansible_play_hosts": ["web1", "web2"]}


@pytest.mark.parametrize(
    ("status", "told"), [(0, None), (3, "ended with exit status 3"), (255, "The ssh connection failed")]
)
def test_a_shell_at_a_terminal(status: int, told: str | None, conversations: list[list[str]]) -> None:
    STATUS[0] = status
    action = Manage(Connection("ssh"), release="next")
    result = action._conversation("blog", ["shell"], {}, HOSTS)
    assert result["changed"]
    assert (told or "") in result.get("msg", "")
    assert bool(told) is result.get("failed", False)
    assert conversations[0][:3] == ["ssh", "-t", "203.0.113.7"]
    assert "/srv/blog/next" in conversations[0][3]


@pytest.mark.parametrize(
    ("connection", "environment", "arguments", "variables", "told"),
    [
        ("docker", {}, {}, {}, "this run has none"),
        ("ssh", {"A": "b"}, {}, {}, "takes neither env nor seconds"),
        ("ssh", {}, {"seconds": 3}, {}, "takes neither env nor seconds"),
        ("ssh", {}, {}, {"servers": "all"}, "one server at a time"),
    ],
)
def test_no_conversation(
    connection: str,
    environment: dict[str, str],
    arguments: dict[str, Any],
    variables: dict[str, Any],
    told: str,
    conversations: list[list[str]],
) -> None:
    action = Manage(Connection(connection), **arguments)
    with pytest.raises(AnsibleActionFail, match=told):
        action._conversation("blog", ["shell"], environment, {**HOSTS, **variables})
    assert conversations == []


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "terminal", lambda: "")
    with pytest.raises(AnsibleActionFail, match=r"Type this instead:\nssh -t 203\.0\.113\.7 "):
        Manage(Connection("ssh"))._conversation("blog", ["dbshell"], {}, HOSTS)


def test_logs_are_followed_until_the_run_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def follow(words: list[str], _device: str, shown: Any) -> int:
        seen.append(words)
        assert shown("a \x1b[2J line").startswith("web1: a ")
        assert "\x1b" not in shown("a \x1b[2J line")
        return 255

    monkeypatch.setattr(logs, "end_with_the_controller", lambda: None)
    monkeypatch.setattr(logs, "followed", follow)
    action: Any = logs.ActionModule.__new__(logs.ActionModule)
    action._connection, action._play_context = Connection("ssh"), SimpleNamespace(become=False)
    for device in ("", "/dev/pts/9"):
        monkeypatch.setattr(logs, "terminal", lambda device=device: device)
        result: dict[str, Any] = {}
        action._follow(["/var/log/a b"], "web1", result)
        shown = capsys.readouterr().out
        assert ("type this:\nssh -t" in shown) is (device == "")
        assert result.get("failed", False) is bool(device)
        assert ("Type this instead:\nssh -t" in result.get("msg", "")) is bool(device)
    assert seen == [["ssh", "-T", "203.0.113.7", "tail -n 0 -F '/var/log/a b' & cat >/dev/null; kill $!"]]


@pytest.mark.parametrize(("password", "become_pass"), [("x", ""), ("", "x")])
def test_logs_of_a_host_that_asks_for_a_password(
    password: str, become_pass: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "terminal", lambda: "/dev/pts/9")
    action: Any = logs.ActionModule.__new__(logs.ActionModule)
    action._connection = Connection("ssh", password=password)
    action._connection.become = SimpleNamespace(get_option={"become_pass": become_pass}.get)
    action._play_context = SimpleNamespace(become=True)
    result: dict[str, Any] = {}
    action._follow(["/var/log/a"], "web1", result)
    assert "type this:\nssh -t" in capsys.readouterr().out
    assert result == {}
