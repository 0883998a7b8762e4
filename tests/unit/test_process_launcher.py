"""The launcher of processes, started as supervisord starts it: the leader of a group, in supervisord's session."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.release.loading import below, has_settled

# Its own, since what is left of an app's process is looked for on the whole machine, where other tests may run, too.
APP = f"blog{os.getpid()}"
LAUNCHER = Path(__file__).parents[2] / "roles/django_app/files/usr/local/lib/homeport/process"

# Starts what it is told to in a session of its own, so that no launcher takes something of ours for a leftover.
SUPERVISORD = """
import json, os, signal, subprocess, sys
for name in ("HUP", "INT", "QUIT"):  # as systemd starts it, even where nohup or a shell has started the tests
    signal.signal(signal.Signals["SIG" + name], signal.SIG_DFL)
started = {}
for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "start":
        process = subprocess.Popen(
            order["words"], preexec_fn=os.setpgrp, env={**os.environ, **order["env"]},
            stdin=subprocess.DEVNULL, stdout=open(order["log"], "ab"), stderr=subprocess.STDOUT,
        )
        started[process.pid] = process
        print(process.pid, flush=True)
    else:
        print(started[order["pid"]].wait(), flush=True)
"""

# Says what reaches it, and has children: in its own group, and in one of their own.
MAIN = """
import os, signal, subprocess, sys, time
def told(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        time.sleep(float(os.environ.get("WORK", 0)))
        sys.exit(7)
for name in ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2"):
    assert signal.getsignal(signal.Signals["SIG" + name]) != signal.SIG_IGN, name
    signal.signal(signal.Signals["SIG" + name], told)
child = "import signal, time; signal.signal(15, lambda *a: print('child told', flush=True)); time.sleep(300)"
one = subprocess.Popen([sys.executable, "-c", child])
two = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
print("up", os.getpid(), one.pid, two.pid, flush=True)
while True:
    time.sleep(300)
"""


class Supervisord:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISORD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def order(self, **order: Any) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(self, name: str, code: str = MAIN, **env: str) -> tuple[int, list[int]]:
        """The launcher's pid, and those of the command and its children."""
        processes = self.folder / "config" / "processes"
        processes.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{name}.py").write_text(textwrap.dedent(code))
        (processes / name).write_text(f"exec {sys.executable} {self.folder}/{name}.py\n")
        words = ["sh", str(LAUNCHER), APP, name, str(self.folder)]
        before = self.log(name).count("up ") if (self.folder / f"{name}.log").exists() else 0
        log = str(self.folder / f"{name}.log")
        pid = self.order(do="start", words=words, log=log, env={"SUPERVISOR_PROCESS_NAME": "0", **env})
        within(lambda: self.log(name).count("up ") > before)
        line = [line for line in self.log(name).splitlines() if line.startswith("up ")][-1]
        return pid, [int(word) for word in line.split()[1:]]

    def status(self, pid: int) -> int:
        return self.order(do="wait", pid=pid)


def within(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def supervisord(tmp_path: Path) -> Iterator[Supervisord]:
    found = Supervisord(tmp_path)
    yield found
    found.process.kill()
    found.process.communicate()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rsplit(")", 1)[1].split()
            marked = f"HOMEPORT_PROCESS={APP}.".encode() in (stat.parent / "environ").read_bytes()
        except OSError:
            continue
        if marked or words[3] == str(found.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(stat.parent.name), signal.SIGKILL)


# What the launcher calls its own variables, and what it might.
NAMES = {
    *re.findall(r"\b([a-z]\w*)=", LAUNCHER.read_text()),
    "command",
    "main",
    "release",
    "signal",
    "status",
    "PS4",
}
TOLD = """
import json, os
print(json.dumps({key: os.environ[key] for key in %r}), flush=True)
print("up", os.getpid(), flush=True)
"""


def test_the_command_gets_the_variables_of_the_app(supervisord: Supervisord) -> None:
    given = {name: f'it\'s "{name}" $HOME 100%\n#é ' for name in NAMES if not name.startswith("homeport_")}
    launcher, _family = supervisord.start("queue", TOLD % list(given), **given)
    assert supervisord.status(launcher) == 0
    assert json.loads(supervisord.log("queue").splitlines()[0]) == given


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT"])
def test_a_stop_reaches_the_command_alone_and_nothing_stays(name: str, supervisord: Supervisord) -> None:
    launcher, (main, *children) = supervisord.start("queue", WORK="0.3")
    started = time.monotonic()
    os.kill(launcher, signal.Signals[f"SIG{name}"])
    assert supervisord.status(launcher) == 7
    assert time.monotonic() - started >= 0.3  # it was given its time
    assert not any(runs(pid) for pid in (main, *children))
    assert f"got SIG{name}" in supervisord.log("queue")
    assert "by itself" not in supervisord.log("queue")
    assert "child told" not in supervisord.log("queue")


def test_other_signals_are_passed_on_and_end_nothing(supervisord: Supervisord) -> None:
    launcher, (main, *children) = supervisord.start("queue")
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
        os.kill(launcher, signal.Signals[name])
        within(lambda name=name: f"got {name}" in supervisord.log("queue"))  # type: ignore[misc]
    assert all(runs(pid) for pid in (launcher, main, *children))


def test_a_killed_command_takes_everything_with_it(supervisord: Supervisord) -> None:
    launcher, (main, *children) = supervisord.start("queue")
    os.kill(main, signal.SIGKILL)
    assert supervisord.status(launcher) == 128 + signal.SIGKILL
    assert not any(runs(pid) for pid in children)
    assert f"{APP}.queue:0 left processes behind, which are killed: " in supervisord.log("queue")


def test_a_command_that_leaves_nothing_says_nothing(supervisord: Supervisord) -> None:
    launcher, _ = supervisord.start("short", "import os; print('up', os.getpid(), flush=True)")
    assert supervisord.status(launcher) == 0
    assert "left processes behind" not in supervisord.log("short")
    ended = rf"homeport: {APP}\.short:0 ended by itself with status 0 at \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
    assert re.search(ended, supervisord.log("short"))


def test_the_next_launcher_kills_what_a_killed_one_could_not(supervisord: Supervisord) -> None:
    other, others = supervisord.start("other")
    launcher, family = supervisord.start("queue")
    os.kill(launcher, signal.SIGKILL)
    assert supervisord.status(launcher) == -signal.SIGKILL
    assert all(runs(pid) for pid in family)
    again, _ = supervisord.start("queue")
    assert not any(runs(pid) for pid in family)
    assert all(runs(pid) for pid in (again, other, *others))  # and nothing else


# Grows beyond its limit, in a child as much as in itself, and then says how it ends.
GROWS = """
import os, signal, subprocess, sys, time
def told(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    if not os.environ.get("DEAF"):
        sys.exit(0)
signal.signal(signal.SIGINT, told)
code = "import time; kept = bytearray(30 << 20); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
kept = bytearray(30 << 20)
print("up", os.getpid(), child.pid, flush=True)
while True:
    time.sleep(300)
"""


def limit(supervisord: Supervisord, memory: str, config: str = "") -> None:
    folder = supervisord.folder / "config"
    (folder / "memory").mkdir(parents=True)
    (folder / "memory/queue").write_text(memory)
    (folder / "limits").write_text(config)


def test_one_that_has_grown_too_large_is_asked_to_stop(supervisord: Supervisord) -> None:
    limit(supervisord, "50 INT 60\n")
    launcher, family = supervisord.start("queue", GROWS)
    assert supervisord.status(launcher) == 0
    log = supervisord.log("queue")
    assert re.search(
        rf"homeport: {APP}.queue:0 uses \d+ MiB, more than its 50: it is asked to stop \(INT\)\n", log
    )
    assert "got SIGINT" in log
    assert "killed: " in log  # the child that it did not end itself, and nothing of the launcher's own
    assert set(re.findall(r"killed: (.*)", log)) == {str(family[1])}
    assert not any(runs(pid) for pid in family)


def test_one_that_does_not_stop_is_killed(supervisord: Supervisord) -> None:
    limit(supervisord, "50 INT 1\n")
    launcher, family = supervisord.start("queue", GROWS, DEAF="1")
    assert supervisord.status(launcher) == 128 + signal.SIGKILL
    assert "has not stopped within 1 seconds and is killed" in supervisord.log("queue")
    assert not any(runs(pid) for pid in family)


def test_one_within_its_limit_is_left_alone_and_so_is_its_end(supervisord: Supervisord) -> None:
    limit(supervisord, "500 INT 60\n")
    launcher, family = supervisord.start("queue", GROWS)
    time.sleep(7)
    assert all(runs(pid) for pid in family)
    os.kill(family[1], signal.SIGKILL)
    within(lambda: not runs(family[1]))
    os.kill(launcher, signal.SIGINT)
    assert supervisord.status(launcher) == 0
    assert "homeport:" not in supervisord.log("queue")


def test_the_limits_are_those_of_the_command_alone(supervisord: Supervisord) -> None:
    """The launcher has to start what clears up after a command that has used up all processes of its user."""
    limit(supervisord, "500 INT 60\n", "ulimit -p 3333\n")
    launcher, family = supervisord.start("queue")
    for pid, limited in ((launcher, False), (family[0], True), (family[1], True)):
        assert ("3333" in Path(f"/proc/{pid}/limits").read_text()) is limited, pid


def test_what_an_operator_left_running_is_not_touched(supervisord: Supervisord) -> None:
    """A group without a leader in another session."""
    shell = subprocess.Popen(
        ["sh", "-c", "sleep 300 & echo $!"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert shell.stdout
    left = int(shell.stdout.readline())
    shell.wait()
    try:
        supervisord.start("queue")
        assert runs(left)
    finally:
        os.kill(left, signal.SIGKILL)
        shell.stdout.close()


# Loads for as long as it is told: computes, or connects to who never answers; then waits for something to do.
LOADS = """
import os, signal, socket, sys, time
loaded = []
signal.signal(signal.SIGUSR1, lambda *_: loaded.append(True))
print("up", os.getpid(), flush=True)
if port := os.environ.get("CONNECTS"):
    socket.create_connection(("127.0.0.1", int(port)), timeout=300)
while not loaded:
    pass
time.sleep(300)
"""


def test_a_command_that_computes_is_loading_although_its_launcher_waits(supervisord: Supervisord) -> None:
    limit(supervisord, "500 INT 60\n")  # with the shell that looks at its memory
    launcher, (main,) = supervisord.start("queue", LOADS)
    assert not any(has_settled(launcher) for _time in range(20))
    os.kill(main, signal.SIGUSR1)
    within(lambda: has_settled(launcher))
    os.kill(main, signal.SIGKILL)
    supervisord.status(launcher)
    assert not has_settled(launcher)


def test_a_command_that_connects_is_loading(supervisord: Supervisord) -> None:
    with socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _place in range(2):  # takes up what the kernel accepts for it
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        port = silent.getsockname()[1]
        launcher, (main,) = supervisord.start("queue", LOADS, CONNECTS=str(port))
        within(lambda: below(launcher).get(main) == "S")
        assert set(below(launcher).values()) == {"S"}
        assert not has_settled(launcher)


def test_what_is_scheduled_does_not_wait_for_a_release() -> None:
    """A timer may be due before the first release is there; while it waited, it would miss all that follow."""
    environment = {key: value for key, value in os.environ.items() if key != "SUPERVISOR_GROUP_NAME"}
    done = subprocess.run(
        ["sh", str(LAUNCHER), "no-such-app", "digest"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "homeport: the live release of no-such-app has no digest yet\n"
