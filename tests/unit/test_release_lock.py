from __future__ import annotations

import fcntl
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import lock as release_lock
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import (
    IDLE,
    Lock,
    Locked,
    duration,
)
from ansible_collections.homeport.django.plugins.module_utils.host.size import booted
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import (
    controller,
    has_ended,
    machine,
    start_of,
    this_run,
)

from tests.unit.releases import layout


def test_one_step_at_a_time(tmp_path: Path) -> None:
    found = layout(tmp_path)
    told = r"blog is locked by anna@laptop since 20\d\d-.* UTC \(0 s ago\): wait until that run ends"
    with Lock(found, "run 1", "anna@laptop"), pytest.raises(Locked, match=told) as error:
        Lock(found, "run 2", "bob@laptop", force=True).__enter__()
    assert error.value.run == "run 1"


def test_a_step_that_is_about_to_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has freed the app in the file, and not the lock yet."""
    found = layout(tmp_path)
    with open(f"{found.home}/deploy.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(release_lock, "GRACE", 0.2)
        with pytest.raises(Locked, match="another run"):
            Lock(found, "run 2", "bob").__enter__()
        monkeypatch.setattr(release_lock, "GRACE", 60.0)
        ending = threading.Timer(0.5, fcntl.flock, (held, fcntl.LOCK_UN))
        ending.start()
        with Lock(found, "run 2", "bob") as mine:
            assert mine.locked()
        ending.join()


def test_who_reads_while_a_step_writes_finds_a_whole_record(tmp_path: Path) -> None:
    found = layout(tmp_path)
    with Lock(found, "run 1", "anna") as mine, open(f"{found.home}/deploy.lock") as stream:
        end = time.monotonic() + 1

        def write() -> None:
            for doing in itertools.cycle(("", "a step whose name is long " * 9)):
                mine.tell(doing)
                if time.monotonic() > end:
                    return

        writing = threading.Thread(target=write)
        writing.start()
        while writing.is_alive():
            assert release_lock.found_in(stream)["run"] == "run 1"
        writing.join()


def test_who_waits_is_told_what_for(tmp_path: Path) -> None:
    found = layout(tmp_path)
    with Lock(found, "run 1", "anna@laptop") as lock:
        lock.tell("the build command 'npm run build'")
        told = r"\(0 s ago\), which is busy with the build command 'npm run build': wait until"
        with pytest.raises(Locked, match=told):
            Lock(found, "run 2", "bob@laptop").__enter__()
    with pytest.raises(Locked, match=r"\(0 s ago\), and that run has not ended"):
        Lock(found, "run 2", "bob@laptop").__enter__()


def test_between_its_steps_the_app_is_the_runs(tmp_path: Path) -> None:
    found = layout(tmp_path)
    with Lock(found, "run 1", "anna@laptop") as lock:
        lock.memo["migrations"] = ["blog.0002"]
    with pytest.raises(Locked, match=r"that run has not ended; its last step ended 0 s ago.*-e unlock=true"):
        Lock(found, "run 2", "bob@laptop").__enter__()
    with Lock(found, "run 1", "anna@laptop") as lock:
        assert lock.memo == {"migrations": ["blog.0002"]}
        lock.finish()
    with Lock(found, "run 2", "bob@laptop") as lock:
        assert lock.memo == {}


def test_a_step_that_fails_ends_the_run(tmp_path: Path) -> None:
    found = layout(tmp_path)
    with pytest.raises(DeployError), Lock(found, "run 1", "anna@laptop"):
        raise DeployError("no")
    with Lock(found, "run 2", "bob@laptop"):
        pass


@pytest.mark.parametrize("way", ["dead", "forced", "old", "torn", "booted"])
def test_ways_out_of_a_lock_that_was_left(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = layout(tmp_path)
    with Lock(found, "run 1", "anna@laptop"):
        pass
    path = tmp_path / "deploy.lock"
    if way == "old":
        before = path.stat().st_mtime - IDLE - 1
        os.utime(path, (before, before))
    elif way == "booted":
        monkeypatch.setattr(release_lock, "booted", lambda: path.stat().st_mtime + 1)
    elif way == "torn":
        path.write_text(path.read_text()[:20])
    with Lock(found, "run 2", "bob@laptop", ("run 1",) if way == "dead" else (), force=way == "forced"):
        assert json.loads(path.read_text())["holder"] == "bob@laptop"


def test_the_lock_is_no_way_to_another_file(tmp_path: Path) -> None:
    found = layout(tmp_path)
    (tmp_path / "deploy.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        Lock(found, "run", "anna").__enter__()


def held(path: Path, ends: bool, stubborn: bool) -> subprocess.Popen[str]:
    """A process that has the app for a step, and answers once it has."""
    program = f"""
import signal, sys, time
from tests.unit.releases import layout
from pathlib import Path
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import Interrupted, interruption
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock
interruption.watch()
try:
    with Lock(layout(Path({str(path)!r})), "run 1", "anna@laptop", ends={ends}):
        print("has it", flush=True)
        while {stubborn}:
            with interruption.held_off():
                time.sleep(60)
        time.sleep(60)
except Interrupted:
    sys.exit(7)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    assert process.stdout.readline() == "has it\n"
    return process


def test_a_step_that_is_left_is_ended(tmp_path: Path) -> None:
    found = layout(tmp_path)
    with held(tmp_path, ends=True, stubborn=False) as step:
        with pytest.raises(Locked, match=r"wait until that run ends, or interrupt it with -e unlock=true$"):
            Lock(found, "run 2", "bob@laptop").__enter__()
        with Lock(found, "run 2", "bob@laptop", take=("run 1",)):
            assert step.wait(5) == 7


def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_lock, "GRACE", 0.5)
    with held(tmp_path, ends=True, stubborn=True) as step, Lock(layout(tmp_path), "run 2", "bob", force=True):
        assert step.wait(5) == -signal.SIGKILL


def test_one_that_must_not_be_ended_is_not(tmp_path: Path) -> None:
    with held(tmp_path, ends=False, stubborn=False) as step:
        with pytest.raises(Locked, match=r"wait until that run ends$"):
            Lock(layout(tmp_path), "run 2", "bob@laptop", force=True).__enter__()
        assert step.poll() is None
        step.kill()


def test_a_step_whose_reader_has_gone_ends_by_itself(tmp_path: Path) -> None:
    step = held(tmp_path, ends=True, stubborn=False)
    assert step.stdout
    step.stdout.close()
    assert step.wait(20) == 7
    assert (tmp_path / "deploy.lock").read_text() == ""


def test_durations() -> None:
    spans = (-1, 59.9, 119, 120, 7199, 7200, 172800)
    assert [duration(span) for span in spans] == ["0 s", "59 s", "119 s", "2 min", "119 min", "2 h", "2 d"]


def test_a_worker_of_a_run_that_was_killed_begins_nothing(tmp_path: Path) -> None:
    told = tmp_path / "told"
    worker = os.fork()
    if not worker:
        os.setsid()
        multiprocessing.get_context("fork").Process(target=begin_without_a_controller, args=[told]).start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(worker, 0)
    for _ in range(100):
        if told.exists() and told.read_text():
            break
        time.sleep(0.1)
    assert told.read_text() == "ansible-playbook has been killed; nothing more of it is begun"


def begin_without_a_controller(told: Path) -> None:
    while os.getppid() == controller():
        time.sleep(0.01)
    try:
        found = this_run()
    except AnsibleActionFail as error:
        found = str(error)
    told.write_text(found)


def test_a_run_of_this_machine_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # a minimal machine has no ps
    assert re.fullmatch(r"\S+ \d+ .+", this_run())
    assert not has_ended(this_run())
    assert has_ended(
        f"{machine()} {os.getppid()} Mon Jan  1 00:00:00 2001"
    )  # the number is another process's now
    assert has_ended(f"{machine()} 4194304 Mon Jan  1 00:00:00 2001")
    assert not has_ended(f"elsewhere/1 4194304 {start_of(os.getpid())}")
    assert not has_ended("")


def test_when_the_host_was_started(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1795400000\n")
    (tmp_path / "1/stat").write_text(f"1 (a) b) S {' '.join(['0'] * 18)} {50 * os.sysconf('SC_CLK_TCK')} 0\n")
    assert booted(str(tmp_path)) == 1795400050
    assert booted(str(tmp_path / "1")) == 0
