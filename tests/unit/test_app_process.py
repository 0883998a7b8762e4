"""What root has an app's user do, and what it takes from it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host import app_process
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Refused, forked, watched
from ansible_collections.homeport.django.plugins.module_utils.host.claims import answer, fits
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

ENV = {"PATH": os.environ["PATH"]}
NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def identity() -> dict[str, Any]:
    other = NOBODY if os.getuid() == 0 else os.getuid()
    return {
        "user": other,
        "group": other if os.getuid() == 0 else os.getgid(),
        "extra_groups": [],
        "umask": 0o027,
    }


def who() -> list[int]:
    return [os.getuid(), os.geteuid(), os.getgid(), *os.getgroups()]


def wait() -> None:
    time.sleep(60)


def refuse() -> None:
    raise DeployError("there is no such thing")


def fail() -> None:
    raise OSError("it broke")


def vanish() -> None:
    os.kill(os.getpid(), 9)


def many() -> str:
    return "x" * (app_process.MOST_ANSWER + 1)


@AS_ROOT
def test_a_function_is_called_by_another_user_who_gets_no_way_back() -> None:
    found = forked(identity(), 10, who)
    assert set(found) == {NOBODY}
    with pytest.raises(Refused, match="PermissionError"):
        forked(identity(), 10, os.setuid, 0)


@AS_ROOT
def test_a_file_that_root_has_opened_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("text")
    path.chmod(0o600)
    with path.open() as stream:
        assert forked(identity(), 10, stream.read) == "text"
    with pytest.raises(Refused, match="PermissionError"):
        forked(identity(), 10, Path.read_text, path)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (refuse, "^there is no such thing$"),
        (fail, "^OSError: it broke$"),
        (vanish, "ended"),
        (many, "did not end"),
    ],
)
@AS_ROOT
def test_a_function_that_fails(work: Any, told: str) -> None:
    with pytest.raises(Refused, match=told):
        forked(identity(), 30, work)


@AS_ROOT
def test_a_function_that_does_not_end() -> None:
    started = time.monotonic()
    with pytest.raises(Refused, match=r"did not end within 0\.3 s"):
        forked(identity(), 0.3, wait)
    assert time.monotonic() - started < 30


def streams() -> list[str]:
    return [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]


@AS_ROOT
def test_a_function_has_nothing_of_the_callers_streams() -> None:
    """What it starts could be traced by the app's processes, and these would answer for the module."""
    assert forked(identity(), 10, streams) == ["/dev/null"] * 3


def test_a_process_that_goes_on_writing_to_the_output() -> None:
    """It is in a session of its own, or got hold of the pipe by a socket."""
    started = time.monotonic()
    ended = watched(["sh", "-c", "setsid yes & echo $!; sleep 0.2"], ENV)
    try:
        assert time.monotonic() - started < 30
        assert ended.status == 0
    finally:
        number = ended.stdout.split("\n", 1)[0]
        if number.isdigit():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), 9)


def test_only_the_end_of_what_a_command_prints_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_process, "MOST_OUTPUT", 100_000)
    ended = watched([sys.executable, "-c", "import sys; sys.stdout.write('a' * 5_000_000 + 'end')"], ENV)
    assert len(ended.stdout) <= 200_000
    assert ended.stdout.endswith("aend")


def test_a_dump_that_brings_nothing_more(tmp_path: Path) -> None:
    with (tmp_path / "dump").open("wb") as stream:
        code = "import sys, time; print(1, flush=True); time.sleep(60)"
        ended = watched([sys.executable, "-c", code], ENV, silence=5, stdout=stream)
    assert ended.stopped == "silence"
    assert (tmp_path / "dump").read_text() == "1\n"


def test_a_command_that_fills_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app_process, "SMALLEST_FREE", 1 << 62)
    assert watched(["sleep", "60"], ENV, disks=(str(tmp_path),)).stopped == "disk"


# Answers

FORM: dict[str, Any] = {"name": str, "tables": {str: int}, "names": [str], "?more": bool}
GOOD: dict[str, Any] = {"name": "a", "tables": {"b": 1}, "names": ["c"]}


def test_an_answer_in_its_form() -> None:
    said = f"noise\nmark:[]\nmark:{json.dumps({**GOOD, 'home': '/etc'})}\n"
    assert answer(said, "mark:", FORM, "asking") == GOOD


WRONG: list[dict[str, Any]] = [
    {"name": 1}, {"name": None}, {"name": "x" * 9000}, {"name": "a\0b"}, {"names": "c"}, {"names": [1]},
    {"names": ["x"] * 100_001}, {"tables": []}, {"tables": {"b": "1"}}, {"tables": {"b": -1}}, {"tables": {"b": True}},
    {"tables": {"b": 1.5}}, {"tables": {"b": 2**63}}, {"more": 1}, {"more": None},
]  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        "", "nothing", "mark:", "mark:[]", "mark:null", "mark:{}", "mark:" + "[" * 100_000, 'mark:{"name": NaN}',
        *("mark:" + json.dumps({**GOOD, **wrong}) for wrong in WRONG),
    ],
    ids=lambda said: said[:40],
)  # fmt: skip
def test_an_answer_of_another_form(said: str) -> None:
    with pytest.raises(DeployError, match=r"^asking: the project"):
        answer(said, "mark:", FORM, "asking")


def test_a_number_is_no_boolean() -> None:
    assert fits(True, bool)
    assert not fits(True, int)
    assert not fits(0, bool)


# What a terminal would obey


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("Grüße, 写真 and 📷", "Grüße, 写真 and 📷"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("safe\roverwritten", "safe\noverwritten"),
        ("dos\r\n", "dos\n"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2028\u200b\ufeff\ue000", "\\u2028\\u200b\\ufeff\\ue000"),
        ("\ud800", "\\ud800"),
        ("\x00\x08\x7f", "\\x00\\x08\\x7f"),
    ],
)
def test_text_of_an_app(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert plain({text: [text, (text, 1)], "n": None}) == {shown: [shown, [shown, 1]], "n": None}
