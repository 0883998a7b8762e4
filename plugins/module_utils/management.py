# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A command of the operator's in an app's live release: it ends at the latest with the run that asked for it."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.release_layout import LIBRARY, Runner

HEARTBEAT = 5.0  # seconds
GRACE = 5.0  # seconds that a command has to end by itself
# The release's own environment is read first. Handed over as a variable, since what stands on a command line
# can be read by every user of the host.
OVERRIDE = 'eval "$HOMEPORT_OVERRIDE"; unset HOMEPORT_OVERRIDE; exec "$@"'


class Gone(Exception):
    """Nobody waits for the command's output any more."""


class Ended:
    """What became of a command."""

    def __init__(self, status: int, stdout: bytes, stderr: bytes, seconds: float, stopped: bool) -> None:
        self.status = status
        self.stdout = stdout.decode(errors="replace")
        self.stderr = stderr.decode(errors="replace")
        self.seconds = round(seconds, 2)
        self.stopped = stopped  # because its time was over


def in_release(
    runner: Runner,
    release: str,
    argv: list[str],
    environment: Mapping[str, str],
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    seconds: float = 0,
) -> Ended:
    """Runs ``argv`` as the app's user in the environment of ``release``, with ``environment`` over it."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return watched(
        [f"{LIBRARY}/run", release, "sh", "-c", OVERRIDE, "sh", *argv],
        {**runner.base, "HOMEPORT_OVERRIDE": exports},
        seconds,
        Listener().check,
        stdin=stdin,
        cwd="/",
        **runner.identity(),
    )


class Listener:
    """Whoever reads this process's standard output.

    Across ssh it is gone when its end of the pipe is closed. A controller that was killed leaves an ssh that
    notices only when it has something to hand on, hence an empty line now and then.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.next_beat = time.monotonic() + HEARTBEAT

    def check(self) -> None:
        if time.monotonic() < self.next_beat:
            return
        self.next_beat = time.monotonic() + HEARTBEAT
        try:
            os.write(self.descriptor, b"\n")
        except OSError as error:
            raise Gone(str(error)) from error


def watched(
    argv: list[str], env: dict[str, str], seconds: float, check: Callable[[], None], **options: Any
) -> Ended:
    """Runs ``argv`` until it ends, its time is over, or ``check`` raises; leaves nothing of it behind."""
    started = time.monotonic()
    process = subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options
    )
    output: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    stopped = False
    with selectors.DefaultSelector() as selector:
        for stream in output:
            selector.register(stream, selectors.EVENT_READ)
        try:
            # for its end, not for that of its pipes: something in the background may hold them open
            while process.poll() is None and not stopped:
                collect(selector, output, 0.2)
                check()
                stopped = bool(seconds) and time.monotonic() - started > seconds
        finally:
            end(process)
        while selector.get_map() and collect(selector, output, 0.1):
            pass
    for stream in output:
        stream.close()
    return Ended(
        process.returncode,
        bytes(output[process.stdout]),
        bytes(output[process.stderr]),
        time.monotonic() - started,
        stopped,
    )


def collect(selector: selectors.BaseSelector, output: dict[Any, bytearray], patience: float) -> bool:
    """Takes what there is to be read; whether there was something."""
    ready = selector.select(patience)
    for key, _events in ready:
        block = os.read(key.fd, 1 << 16)
        output[key.fileobj] += block
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
