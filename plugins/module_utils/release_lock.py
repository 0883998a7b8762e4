# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One run at a time on an app, from its build to its switch."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.release_layout import DeployError, Layout

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
    that are known to be dead; ``force`` takes the app from any run that is not at work this moment.
    """

    def __init__(
        self, layout: Layout, run: str, holder: str, take: tuple[str, ...] = (), force: bool = False
    ) -> None:
        self.path = f"{layout.home}/deploy.lock"
        self.name = layout.name
        self.run = run
        self.holder = holder
        self.take = take
        self.force = force
        self.finished = False
        self.started = time.time()
        self.memo: dict[str, Any] = {}  # what a step leaves for the run's later ones
        self.stream: Any = None

    def __enter__(self) -> Lock:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.stream = os.fdopen(descriptor, "r+", encoding="utf-8")
        try:
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = found_in(self.stream)
            self.stream.close()
            raise Locked(f"{told(self.name, found)}; wait for it to end", found.get("run", "")) from None
        found = found_in(self.stream)
        idle = time.time() - os.fstat(self.stream.fileno()).st_mtime
        if found.get("run") == self.run:
            self.started, self.memo = found["started"], found.get("memo", {})
        elif found and not (self.force or found.get("run") in self.take or idle > IDLE):
            self.stream.close()
            raise Locked(
                f"{told(self.name, found)}, and that run has not ended; it was last seen {duration(idle)} ago. If it "
                "is dead, -e unlock=true takes over",
                found.get("run", ""),
            )
        self.keep()
        return self

    def keep(self) -> None:
        self.write({"run": self.run, "holder": self.holder, "started": self.started, "memo": self.memo})

    def __exit__(self, kind: object, *_rest: object) -> None:
        if self.finished or kind:
            self.write(None)
        else:
            self.keep()
        self.stream.close()

    def finish(self) -> None:
        """Frees the app for other runs when this step ends."""
        self.finished = True

    def write(self, value: dict[str, Any] | None) -> None:
        self.stream.seek(0)
        self.stream.truncate()
        if value:
            self.stream.write(json.dumps(value) + "\n")
        self.stream.flush()


def found_in(stream: Any) -> dict[str, Any]:
    """What a lock's file says; nothing when no run has the app."""
    stream.seek(0)
    try:
        found = json.loads(stream.read() or "{}")
    except ValueError:  # the step died while it wrote
        return {}
    return found if isinstance(found, dict) and "started" in found else {}


def told(name: str, found: dict[str, Any]) -> str:
    """Who has the app ``name``, and since when."""
    since = found.get("started", time.time())
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(since))
    who = found.get("holder") or "another run"
    return f"{name} is being deployed by {who} since {stamp} ({duration(time.time() - since)} ago)"


def duration(seconds: float) -> str:
    """A span of time in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{max(0, int(seconds))} s"
