# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One run at a time on an app, from its build to its switch."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import signal
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.app_process import (
    commands_of,
    members,
    nothing,
)
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import interruption
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout
from ansible_collections.homeport.django.plugins.module_utils.host.size import booted

GRACE = 10.0  # seconds that a step has to end
IDLE = 3600  # seconds between two steps of a run, after which it counts as dead


class Locked(DeployError):
    """Somebody else has the app; ``run`` names that run."""

    def __init__(self, message: str, run: str) -> None:
        super().__init__(message)
        self.run = run


class Lock:
    """The app for one step of a run.

    While a step works, the kernel keeps the lock, and frees it should the step die. Between the steps of a
    run, the file says whose the app is: nobody builds between another's build and switch. ``take`` names runs
    that are known to be dead, as is one that was last seen before the host was started; ``force`` takes the app from
    any run. What such a run still does on the host is ended, where it is a step that can be (``ends``).
    """

    def __init__(
        self,
        layout: Layout,
        run: str,
        holder: str,
        take: tuple[str, ...] = (),
        force: bool = False,
        ends: bool = False,
    ) -> None:
        self.path = f"{layout.home}/deploy.lock"
        self.name = layout.name
        self.run = run
        self.holder = holder
        self.take = take
        self.force = force
        self.ends = ends
        self.finished = False
        self.started = time.time()
        self.memo: dict[str, Any] = {}  # what a step leaves for the run's later ones
        self.doing = ""
        self.stream: Any = None

    def __enter__(self) -> Lock:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.stream = os.fdopen(descriptor, "r+", encoding="utf-8")
        if not self.locked():
            found = self.found()
            pid = found.get("pid", 0)
            free = self.locked() or (pid and (self.force or found.get("run") in self.take) and self.free(pid))
            if not free:
                self.stream.close()
                remedy = ", or interrupt it with -e unlock=true" if pid and not self.force else ""
                raise Locked(
                    f"{holder_of(self.name, found)}: wait until that run ends{remedy}", found.get("run", "")
                )
        found = found_in(self.stream)
        seen = os.fstat(self.stream.fileno()).st_mtime
        idle = time.time() - seen
        if found.get("run") == self.run:
            self.started, self.memo = found["started"], found.get("memo", {})
        elif found and not (self.force or found.get("run") in self.take or idle > IDLE or seen < booted()):
            self.stream.close()
            raise Locked(
                f"{holder_of(self.name, found)}, and that run has not ended; its last step ended {duration(idle)} ago. "
                "If it is dead, -e unlock=true takes over",
                found.get("run", ""),
            )
        self.keep()
        if self.ends:
            interruption.first = self.release
        return self

    def locked(self) -> bool:
        try:
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def found(self) -> dict[str, Any]:
        """Who has the lock. A step that ends frees the app in the file first, and the lock a moment later."""
        end = time.monotonic() + GRACE
        while not (found := found_in(self.stream)) and not self.locked() and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def free(self, pid: int) -> bool:
        """Ends the step that has the lock; it has some time for what it would not leave half-done."""
        commands = commands_of(self.name, pid)
        for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 10.0)):
            found = holders(self.path)
            # processes that it has forked have the lock as well
            ending = (
                [*found, *members(commands)] if number == signal.SIGKILL else [pid] if pid in found else []
            )
            for process in ending:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            end = time.monotonic() + seconds
            while ending and time.monotonic() < end:
                if self.locked():
                    return True
                time.sleep(0.1)
        return self.locked()

    def tell(self, doing: str) -> None:
        """Lets whoever waits know what a step does."""
        self.doing = doing
        self.keep()

    def keep(self) -> None:
        who = {"run": self.run, "holder": self.holder, "pid": os.getpid() if self.ends else 0}
        self.write({**who, "started": self.started, "memo": self.memo, "doing": self.doing})

    def __exit__(self, kind: object, *_rest: object) -> None:
        interruption.first = nothing
        self.doing = ""
        if self.finished or kind:
            self.release()
        else:
            self.keep()
        self.stream.close()

    def release(self) -> None:
        """Nobody has to ask whose the app is, once this step has ended."""
        self.write(None)

    def finish(self) -> None:
        """Frees the app for other runs when this step ends."""
        self.finished = True

    def write(self, value: dict[str, Any] | None) -> None:
        # in one go, for those who read meanwhile: they take the first line
        text = f"{json.dumps(value)}\n".encode() if value else b""
        os.pwrite(self.stream.fileno(), text, 0)
        os.ftruncate(self.stream.fileno(), len(text))


def holders(path: str) -> list[int]:
    """Processes other than this one that have a file open."""
    found = []
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == path:
                found.append(int(link.split("/")[2]))
    return sorted({*found} - {os.getpid()})


def found_in(stream: Any) -> dict[str, Any]:
    """What a lock's file says; nothing when no run has the app."""
    stream.seek(0)
    try:
        found = json.loads(stream.readline() or "{}")
    except ValueError:  # the step died while it wrote
        return {}
    return found if isinstance(found, dict) and "started" in found else {}


def holder_of(name: str, found: dict[str, Any]) -> str:
    """Who has the app ``name``, and since when."""
    since = found.get("started", time.time())
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(since))
    who = found.get("holder") or "another run"
    doing = f", which is busy with {found['doing']}" if found.get("doing") else ""
    return f"{name} is locked by {who} since {stamp} ({duration(time.time() - since)} ago){doing}"


def duration(seconds: float) -> str:
    """A span of time in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{max(0, int(seconds))} s"
