# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A step on a host ends with the run that asked for it, at once or as soon as that does no harm."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.app_process import nothing

HEARTBEAT = 3.0  # seconds
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Interrupted(BaseException):
    """Nobody waits for this step any more. No ``except Exception`` goes on after it."""


class Interruption:
    def __init__(self) -> None:
        self.holding = 0
        self.pending = False
        # What must be done at once: sudo allows a program two seconds to clean up.
        self.first: Callable[[], None] = nothing

    def watch(self) -> None:
        """From now on signals end this process, and so does the end of the process that reads its standard output.

        Across ssh the reader has ended when its end of the pipe is closed, as only a write shows: hence an empty line
        now and then. By a timer, since a process with threads should not fork.
        """
        for number in SIGNALS:
            signal.signal(number, self.arrive)
        signal.signal(signal.SIGALRM, self.beat)
        signal.setitimer(signal.ITIMER_REAL, HEARTBEAT, HEARTBEAT)

    def unwatch(self) -> None:
        """Before the answer is written, which nothing may come between."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def beat(self, number: int, frame: Any) -> None:
        try:
            os.write(1, b"\n")
        except OSError:
            self.unwatch()
            self.arrive(number, frame)

    def arrive(self, _number: int, _frame: Any) -> None:
        self.pending = True
        self.end()

    def end(self) -> None:
        if self.pending and not self.holding:
            for number in SIGNALS:  # what follows is cleaning up
                signal.signal(number, signal.SIG_IGN)
            self.unwatch()
            self.pending = False
            self.first()
            raise Interrupted

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """What is done here ends together with what ``hold`` was called in."""
        before = self.holding
        try:
            yield
        finally:
            self.holding = before
            self.end()

    def hold(self) -> None:
        """From here to the end of the step nothing is left half-done."""
        self.holding += 1

    @contextlib.contextmanager
    def held_off(self) -> Iterator[None]:
        """What is done here is not left half-done."""
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1
            self.end()


interruption = Interruption()
