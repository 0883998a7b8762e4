# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What root has an app's user do: commands and functions, with an end, and with limits to what root takes from them.

Root itself opens, changes and follows nothing in a folder where the app can write (docs/decisions/0025).
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.host.transcript import Transcript

GRACE = 5.0  # seconds that a command has to end by itself
LEFT_OVER = 2.0  # seconds in which what a command has printed is read once it has ended
MOST_OUTPUT = 8 << 20  # bytes of each stream of a command, of which the end is kept
MOST_ANSWER = 16 << 20  # bytes of what a function returns
SMALLEST_FREE = 128 << 20  # bytes on the disk below which a command is ended
CONTROL_GROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd")
SLICE = "homeport.slice"
MOST_TASKS = 4096  # processes and threads of a command, where the app has no limit of its own

numbers = itertools.count(1)


class Ended:
    """What became of a command. ``stopped`` says why it was ended: ``time``, ``silence``, ``disk`` or nothing."""

    def __init__(self, status: int, stdout: bytes, stderr: bytes, seconds: float, stopped: str) -> None:
        self.status = status
        self.stdout = stdout.decode(errors="replace")
        self.stderr = stderr.decode(errors="replace")
        self.seconds = round(seconds, 2)
        self.stopped = stopped


class Scope:
    """A scope of systemd for one command: its limits, and all that belongs to it, however it was started."""

    def __init__(self, app: str, tasks: int = MOST_TASKS) -> None:
        self.unit = f"homeport-{app}-{os.getpid()}-{next(numbers)}.scope"
        self.tasks = tasks

    def words(self) -> list[str]:
        """What comes before the command; nothing where systemd does not run."""
        if not os.path.isdir("/run/systemd/system"):
            return []
        limits = ["-p", f"TasksMax={self.tasks}", "-p", "MemoryMax=90%"]
        options = ["--scope", "--quiet", "--collect", f"--slice={SLICE}", f"--unit={self.unit}", *limits]
        return ["systemd-run", *options, "--"]

    def members(self) -> list[int]:
        return members(self.unit)

    def kill(self) -> None:
        """Ends whatever is left of it. What is being killed may just have started another."""
        end = time.monotonic() + GRACE
        while (found := self.members()) and time.monotonic() < end:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def members(pattern: str) -> list[int]:
    """The processes of scopes, by their names."""
    found = []
    for root in CONTROL_GROUPS:
        for path in glob.glob(f"{root}/{SLICE}/{pattern}/cgroup.procs"):
            with contextlib.suppress(OSError), open(path) as stream:
                found += [int(line) for line in stream]
    return list(dict.fromkeys(found))


def commands_of(app: str, pid: int) -> str:
    """The names of the scopes of an app's commands that a process has started."""
    return f"homeport-{app}-{pid}-*.scope"


def nothing() -> None:
    """Nobody has to be asked whether the command may go on."""


def watched(
    argv: list[str],
    env: dict[str, str],
    seconds: float = 0,
    check: Callable[[], None] = nothing,
    *,
    silence: float = 0,
    disks: tuple[str, ...] = (),
    scope: Scope | None = None,
    stdout: IO[bytes] | None = None,
    transcript: Transcript | None = None,
    **options: Any,
) -> Ended:
    """Runs ``argv`` until it ends, its ``seconds`` are over, or ``check`` raises; leaves nothing of it behind.

    It is ended, too, when ``stdout``, a file, has not grown for ``silence`` seconds, and when one of ``disks`` is
    almost full. 0 is no limit. ``transcript`` gets all that it prints.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [*(scope.words() if scope else []), *argv],
        env=env,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )
    output: dict[Any, bytearray] = {
        stream: bytearray() for stream in (process.stdout, process.stderr) if stream
    }
    watch = Watch(seconds, silence, disks, stdout)
    stopped = ""
    with selectors.DefaultSelector() as selector:
        for stream in output:
            selector.register(stream, selectors.EVENT_READ)
        try:
            # for its end, not for that of its pipes: something in the background may hold them open
            while process.poll() is None and not stopped:
                if selector.get_map():
                    collect(selector, output, 0.2, transcript)
                else:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.2)
                check()
                stopped = watch.problem()
        finally:
            end(process)
            if scope:
                scope.kill()
        # a live process of the app's may have got hold of its pipes, and write for ever
        until = time.monotonic() + LEFT_OVER
        while selector.get_map() and time.monotonic() < until and collect(selector, output, 0.1, transcript):
            pass
    for stream in output:
        stream.close()
    streams = [bytes(output.get(stream, b"")) for stream in (process.stdout, process.stderr)]
    return Ended(process.returncode, streams[0], streams[1], time.monotonic() - started, stopped)


class Watch:
    """Why a command has to end, if it has to."""

    def __init__(
        self, seconds: float, silence: float, disks: tuple[str, ...], stdout: IO[bytes] | None
    ) -> None:
        self.end = time.monotonic() + seconds if seconds else 0.0
        self.silence = silence
        self.disks = disks
        self.stdout = stdout
        self.size = -1
        self.grown = self.looked = time.monotonic()

    def problem(self) -> str:
        now = time.monotonic()
        if self.end and now > self.end:
            return "time"
        if now < self.looked + 1:
            return ""
        self.looked = now
        if self.stdout and self.silence:
            size = os.fstat(self.stdout.fileno()).st_size
            if size != self.size:
                self.size, self.grown = size, now
            elif now > self.grown + self.silence:
                return "silence"
        return "disk" if any(shutil.disk_usage(path).free < SMALLEST_FREE for path in self.disks) else ""


def collect(
    selector: selectors.BaseSelector,
    output: dict[Any, bytearray],
    timeout: float,
    transcript: Transcript | None = None,
) -> bool:
    """Takes what there is to be read; whether there was something."""
    ready = selector.select(timeout)
    for key, _events in ready:
        block = os.read(key.fd, 1 << 16)
        kept = output[key.fileobj]
        kept += block
        if transcript:
            transcript.add(key.fd, block)
        if len(kept) > 2 * MOST_OUTPUT:
            del kept[:-MOST_OUTPUT]
        if not block:
            selector.unregister(key.fileobj)
    return bool(ready)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and everything that it started in its session."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def given(text: str) -> IO[bytes]:
    """``text`` as the standard input of a command that may not read all of it."""
    stream = tempfile.TemporaryFile()  # noqa: SIM115
    stream.write(text.encode())
    stream.seek(0)
    return stream


class Refused(Exception):
    """A function that an app's user was to call has failed, or did not end."""


def forked(identity: dict[str, Any], seconds: float, work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` returns, called in a process of another user; JSON, of which nothing is trusted.

    The process is not one that this user can trace, and open files go with it: root can hand on a file that the user
    may not open.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer_as(identity, writing, work, *arguments)
    os.close(writing)
    try:
        text = read_all(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):  # it may not have a group of its own yet
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if text is None:
        raise Refused(f"it did not end within {seconds:g} s")
    try:
        answer = json.loads(text)
        problem = answer["error"]
    except (ValueError, KeyError, TypeError):
        raise Refused("it was ended") from None
    if problem:
        raise Refused(str(problem))
    return answer["value"]


def answer_as(identity: dict[str, Any], writing: int, work: Callable[..., Any], *arguments: Any) -> None:
    """The child's part of ``forked``; it never returns."""
    try:
        os.setsid()
        # what the function starts can be traced by the app: it gets nothing of what this user reads or answers
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.setgroups(identity["extra_groups"])
        os.setgid(identity["group"])
        os.setuid(identity["user"])
        os.umask(identity["umask"])
        os.chdir("/")
        answer = {"error": "", "value": work(*arguments)}
    except BaseException as error:
        text = str(error) if type(error).__name__ == "DeployError" else f"{type(error).__name__}: {error}"
        answer = {"error": text[:4000] or "it failed"}
    try:
        with os.fdopen(writing, "wb") as stream:
            stream.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def read_all(descriptor: int, end_time: float) -> bytes | None:
    """Everything until the other end is closed; nothing when that takes too long or there is too much."""
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while len(text) <= MOST_ANSWER:
            left = end_time - time.monotonic()
            if left <= 0 or not selector.select(left):
                return None
            block = os.read(descriptor, 1 << 16)
            if not block:
                return text
            text += block
    return None
