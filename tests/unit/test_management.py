from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import app_process, management
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Ended, watched
from ansible_collections.homeport.django.plugins.module_utils.host.management import Disconnected, Listener
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import wait_until
from ansible_collections.homeport.django.plugins.modules.manage import chosen

from tests.unit.releases import HereRunner, layout, write
from tests.unit.support import CANARY

ENV = {"PATH": os.environ["PATH"]}


def nothing() -> None:
    pass


def python(code: str, seconds: float = 0) -> Ended:
    return watched([sys.executable, "-c", code], ENV, seconds, nothing)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_output_and_status() -> None:
    ended = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (ended.status, ended.stdout, ended.stderr, ended.stopped) == (3, "out\n", "err\n", "")


def test_output_that_is_larger_than_a_pipe() -> None:
    ended = python("import sys; sys.stdout.write('x' * 3_000_000); sys.stderr.write('y' * 1_000_000)")
    assert (len(ended.stdout), len(ended.stderr)) == (3_000_000, 1_000_000)


def test_output_that_is_no_text() -> None:
    assert python("import sys; sys.stdout.buffer.write(b'a\\xffb')").stdout == "a\ufffdb"


def test_a_signal_is_a_negative_status() -> None:
    assert python("import os; os.kill(os.getpid(), 9)").status == -signal.SIGKILL


def test_output_that_is_closed_is_not_the_end() -> None:
    ended = python("import os, sys, time; os.close(1); os.close(2); time.sleep(0.5); os._exit(4)")
    assert ended.status == 4
    assert ended.seconds >= 0.4


def test_its_time_is_over(tmp_path: Path) -> None:
    started = time.monotonic()
    code = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); print('begun', flush=True); time.sleep(60)"
    )
    ended = python(code, seconds=5)
    assert ended.stopped
    assert ended.status == -signal.SIGTERM
    assert ended.stdout == "begun\n"
    assert time.monotonic() - started < 30
    assert wait_until(lambda: not alive(int((tmp_path / "pid").read_text())), 5)  # the kernel takes its time


def test_one_that_does_not_want_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_process, "GRACE", 0.3)
    ended = python(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)", 5
    )
    assert ended.status == -signal.SIGKILL


def test_nothing_is_left_in_the_background() -> None:
    ended = python("import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)")
    assert ended.status == 0
    assert ended.seconds < 30
    pid = int(ended.stdout)
    end = time.monotonic() + 5
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert wait_until(lambda: not alive(pid), 5)  # the kernel takes its time


def test_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(management, "HEARTBEAT", 0.2)
    reader, writer = os.pipe()

    def leave() -> None:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "", 30)
        os.close(reader)

    threading.Thread(target=leave).start()
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(Disconnected):
        watched([sys.executable, "-c", code], ENV, 0, Listener(writer).check)
    os.close(writer)
    assert wait_until(lambda: not alive(int((tmp_path / "pid").read_text())), 5)  # the kernel takes its time


def test_the_listener_hears_an_empty_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "HEARTBEAT", 0.0)
    reader, writer = os.pipe()
    Listener(writer).check()
    assert os.read(reader, 100) == b"\n"
    monkeypatch.setattr(management, "HEARTBEAT", 60.0)
    Listener(writer).check()
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)


def run_in_release(
    folder: Path, argv: list[str], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Ended:
    """In a release whose environment says MOTTO=theirs; nobody else's identity can be had here."""
    library = folder / "library"
    library.mkdir()
    (library / "run").write_text('#!/bin/sh\nshift\nexport MOTTO=theirs OTHER=theirs\nexec "$@"\n')
    (library / "run").chmod(0o755)
    monkeypatch.setattr(management, "LIBRARY", str(library))
    monkeypatch.setattr(HereRunner, "identity", lambda _self: {})
    runner = HereRunner(layout(folder / "blog"))
    runner.base["PATH"] = os.environ["PATH"]
    return management.in_release(runner, "release", argv, environment)


def test_variables_win_over_those_of_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = 'it\'s $HOME `id` "x"\n\\ #'
    code = "import os, json; print(json.dumps([os.environ.get(n) for n in ('MOTTO', 'OTHER', 'HOMEPORT_OVERRIDE')]))"
    ended = run_in_release(tmp_path, [sys.executable, "-c", code], {"MOTTO": hostile}, monkeypatch)
    assert ended.stderr == ""
    assert json.loads(ended.stdout) == [hostile, "theirs", None]


def test_variables_are_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    real = subprocess.Popen

    def popen(argv: list[str], **options: object) -> object:
        seen.append(argv)
        return real(argv, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("subprocess.Popen", popen)
    code = "import os; print(os.environ['SECRET'], open('/proc/self/cmdline').read())"
    ended = run_in_release(tmp_path, [sys.executable, "-c", code], {"SECRET": CANARY}, monkeypatch)
    assert ended.stdout.count(CANARY) == 1
    assert CANARY not in str(seen)


def test_without_input_a_question_gets_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run_in_release(tmp_path, [sys.executable, "-c", "input()"], {}, monkeypatch)
    assert "EOFError" in ended.stderr


def test_the_release_that_a_command_runs_in(tmp_path: Path) -> None:
    app = layout(tmp_path)
    assert "deploy the app first" in chosen(app, "")[1]
    for number in ("1", "2"):
        write(Path(app.releases) / number / "release.json", "{}")
    assert chosen(app, "") == ("", "blog has no live release and none called next here; kept are 1, 2")
    app.point(app.next_link, f"{app.releases}/2")
    assert chosen(app, "") == (f"{app.releases}/2", "")
    app.point(f"{app.home}/current", f"{app.releases}/1")
    assert [chosen(app, name)[0][-1] for name in ("", "next", "1", "2")] == ["1", "2", "1", "2"]
    assert "none called 3 here; kept are 1, 2" in chosen(app, "3")[1]
