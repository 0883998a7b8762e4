# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Putting a release live: trying it on a private socket, handing the public one over, renewing the workers.

The app has one public socket, which supervisord holds, and two slots that may serve it. One slot serves;
the other sleeps and keeps the socket open. The new release is started in the sleeping slot. The old
one is asked to finish only when the new one serves, so that one of them always listens.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.app_process import nothing
from ansible_collections.homeport.django.plugins.module_utils.host.closed import close, reopen
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.log_files import end_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    Page,
    health_page,
    healthy,
    refuses_on_purpose,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.host.release.loading import has_settled
from ansible_collections.homeport.django.plugins.module_utils.host.release.private_try import (
    MOST_PRINTED,
    PrivateTry,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.serving import release_of
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import (
    Supervisor,
    wait_until,
)

SLOTS = ("0", "1")
STOP_WEB = 100  # seconds: a little over supervisord's own patience with a web process
STRIKES = 3  # answers in a row that are not healthy: one may be a visitor's fault, who uses up the workers
FAILED = ("(backoff)", "(fatal)", "(exited)")
ENDED = ("BACKOFF", "FATAL", "EXITED")
SETTLE = 3  # seconds that a worker has to stay up at least
LONGEST_LOAD = 20  # seconds after which one has loaded that is busy all the time
OFTEN = 5  # in a row


class RolledBack(DeployError):
    """The release failed once it was live, and the previous one is live again."""


class Switch:
    """Moves one app to a release that has been built."""

    def __init__(self, layout: Layout, supervisor: Supervisor, begins: Callable[[], None] = nothing) -> None:
        self.layout = layout
        self.begins = begins  # called before anything that is live changes
        self.supervisor = supervisor
        self.group = f"{layout.name}.web"
        self.web = bool(layout.spec["socket"])  # else the host has the app's workers alone
        self.live_since = 0.0  # when a slot began to serve the new release
        self.renewed: dict[str, int] = {}  # the workers that were started for it, with their process numbers
        self.waiting: dict[str, int] = {}  # how often in a row each was found waiting for something to do
        # a project that its first visitor sets up is not asked for pages before
        elsewhere = layout.current or layout.spec.get("live_elsewhere")
        self.asked = self.web and bool(layout.spec["health"]["first"] or elsewhere)
        self.seconds: dict[str, float] = {}  # of each step
        # set by ``prepare``: what is to serve, what serves, what served before, and the slot that serves
        self.release = self.before = ""
        self.earlier: str | None = None
        self.old_slot: str | None = None
        self.needed = True
        self.private_try: PrivateTry | None = None

    def slot_release(self, slot: str) -> str | None:
        return self.layout.resolve_link(f"{self.layout.slots}/{slot}")

    def running(self) -> dict[str, str]:
        """Release (its id, or empty for an idle process) of every running process of the app."""
        found = {}
        for name, info in self.supervisor.processes(f"{self.layout.name}.").items():
            if info["statename"] in ("RUNNING", "STARTING"):
                found[name] = release_of(info["pid"])
            else:
                found[name] = f"({info['statename'].lower()})"
        return found

    def is_settled(self) -> bool:
        """Whether exactly one slot serves the live release, and every worker runs it."""
        current = self.layout.current
        if not current:
            return False
        live = os.path.basename(current)
        linked = [slot for slot in SLOTS if self.slot_release(slot)]
        if self.web and (len(linked) != 1 or self.slot_release(linked[0]) != current):
            return False
        for name, release in self.running().items():
            if name.startswith(f"{self.group}:"):
                expected = live if name.endswith(f":{linked[0]}") else ""
            else:
                expected = self.expected(name, live)
            if release != expected:
                return False
        return True

    def prepare(self, release: str) -> None:
        """What ``release`` is to replace. Nothing changes."""
        processes = self.supervisor.processes(f"{self.layout.name}.")
        if self.web and f"{self.group}:{SLOTS[0]}" not in processes:
            raise DeployError(f"supervisord has no program {self.group}: run the setup playbook once")
        self.release = release
        self.before = self.layout.current or ""
        self.earlier = self.layout.resolve_link(f"{self.layout.home}/previous")
        self.old_slot = next(
            (slot for slot in SLOTS if self.before and self.slot_release(slot) == self.before), None
        )
        serves = self.old_slot is not None and self.serves(self.old_slot, release)
        self.needed = self.before != release or (self.web and not serves)

    def try_out(self) -> None:
        """The new release answers on a private socket; then the hook before_switch runs."""
        if not self.needed:
            return
        with self.timed("try"):
            if self.asked:
                self.private_try = PrivateTry(self.layout, self.release)
                self.private_try.run()
            run_hooks(self.layout, self.release, "before_switch")

    def hand_over(self) -> None:
        """The new release takes over the public socket; where it serves already, nothing else does afterwards."""
        with self.timed("switch"):
            if self.needed:
                self.begins()
                self.switch(self.release, self.before, self.old_slot)
            elif self.old_slot:
                # a switch that ended with its host has left the previous release in its slot
                self.stop_slot(other(self.old_slot))

    def renew_and_watch(self) -> None:
        """Renews the workers and watches all of it; on failure the previous release is live again."""
        try:
            with self.timed("workers"):
                self.watch(0)  # before the workers, which may take long to stop
                self.renew_workers(os.path.basename(self.release))
                self.watch(self.layout.spec["health"]["watch"])
                if self.needed:
                    run_hooks(self.layout, self.release, "after_switch")
        except DeployError as error:
            if not self.needed or self.before in ("", self.release):
                raise
            raise self.go_back(error) from error

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)

    def switch(self, release: str, before: str, old_slot: str | None) -> None:
        """Has the free slot serve ``release``, then the other one finish. Without a web there is no slot."""
        new_slot = other(old_slot)
        if self.web:
            self.start_slot(new_slot, release)
        self.live_since = time.monotonic()
        if before and before != release:
            self.layout.point(f"{self.layout.home}/previous", before)
        self.layout.point(f"{self.layout.home}/current", release)
        if self.private_try:
            self.private_try.join()
        if self.web:
            self.stop_slot(old_slot or other(new_slot))

    @contextlib.contextmanager
    def paused(self, command: str) -> Iterator[None]:
        """No worker runs, and visitors are told to wait, while ``command`` exchanges the database."""
        workers = [
            name
            for name, state in self.running().items()
            if not name.startswith(f"{self.group}:") and not state.startswith("(")
        ]
        ours = close(self.layout.home, command)
        try:
            self.supervisor.stop(workers, self.layout.spec["stop_timeout"] + 10)
            yield
        finally:
            for name in workers:
                self.supervisor.start(name)  # those that a switch has started already stay as they are
            if ours:
                reopen(self.layout.home)

    def go_back(self, why: DeployError) -> DeployError:
        """Makes the previous release live again; returns the error that reports it."""
        previous = f"{self.layout.home}/previous"
        new_slot = next((slot for slot in SLOTS if self.slot_release(slot) == self.release), None)
        new, old = os.path.basename(self.release), os.path.basename(self.before)
        try:
            self.switch(self.before, self.release, new_slot)
            self.layout.point(self.layout.next_link, self.before)
            if self.earlier:
                self.layout.point(previous, self.earlier)
            else:
                os.unlink(previous)
            self.renew_workers(old)
        except DeployError as error:
            return DeployError(f"{why}\n{new} was live, and the rollback to {old} failed, too: {error}")
        return RolledBack(f"{why}\nThis was after the switch: rolled back, {old} is live again")

    def watch(self, seconds: float) -> None:
        """Asks for the health page where visitors do; with some seconds, until it has been live for so long, and
        good, and all processes have settled; workers until they have loaded. A slot that sleeps has nothing to settle.
        """
        end_time = (self.live_since or time.monotonic()) + seconds
        asleep = [f"{self.group}:{slot}" for slot in SLOTS if not self.slot_release(slot)]
        failures = 0
        while True:
            found = self.found() if seconds or self.renewed else {}
            states = {name: info["statename"] for name, info in found.items()}
            again = [name for name, pid in self.renewed.items() if found[name]["pid"] not in (0, pid)]
            ended = [name for name, state in states.items() if state in ENDED or name in again]
            if ended:
                printed = self.printed(ended[0])
                raise DeployError(f"The new release is live, but {', '.join(ended)} exited{printed}")
            problem = self.problem(min(10, self.layout.spec["health"]["timeout"]))
            failures = failures + 1 if problem else 0
            if failures >= STRIKES:
                raise DeployError(f"The new release is live, but {problem}")
            starting = [name for name, state in states.items() if state == "STARTING" and name not in asleep]
            loading = [name for name in self.renewed if not self.has_loaded(name, found[name])]
            left = end_time - time.monotonic()
            if not failures and not starting and not loading and left <= 0:
                return
            time.sleep(0.2 if loading else min(0.2, max(0.02, left)))

    def found(self) -> dict[str, dict[str, Any]]:
        return self.supervisor.processes(f"{self.layout.name}.")

    def has_loaded(self, name: str, info: dict[str, Any]) -> bool:
        """Whether a worker has stayed up while it loads, however slow the machine is: what still does is hardly ever
        found waiting. ``info`` is supervisord's, whose process is the launcher."""
        age = info["now"] - info["start"]
        waits = age >= SETTLE and has_settled(info["pid"])
        self.waiting[name] = self.waiting.get(name, 0) + 1 if waits else 0
        return self.waiting[name] >= OFTEN or age >= LONGEST_LOAD

    def printed(self, name: str) -> str:
        """The end of what a process printed."""
        text = end_of(self.supervisor.info(name)["stdout_logfile"], 50, MOST_PRINTED)
        return f":\n{tail(text.decode(errors='replace'))}"

    def problem(self, timeout: float) -> str:
        """What is wrong with the answer of the release that is live; empty when nothing is."""
        if not self.asked:
            return ""
        health = self.layout.spec["health"]
        try:
            status = self.health_page(self.layout.spec["socket"], timeout).status
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer {health['path']}: {error}"
        if healthy(status, health["status"]) or refuses_on_purpose(status, self.layout.home):
            return ""
        return f"answers {health['path']} with status {status}"

    def health_page(self, address: str, timeout: float) -> Page:
        return health_page(self.layout.spec, address, timeout)

    def serves(self, slot: str, release: str) -> bool:
        return self.running().get(f"{self.group}:{slot}") == os.path.basename(release)

    def start_slot(self, slot: str, release: str) -> None:
        """Starts the release in a slot and waits until its workers serve."""
        name = f"{self.group}:{slot}"
        ready = f"{self.layout.runtime}/{slot}.ready"
        if os.path.lexists(ready):
            os.unlink(ready)
        self.layout.point(f"{self.layout.slots}/{slot}", release)
        self.supervisor.restart([name], STOP_WEB)

        def settled() -> bool:
            return os.path.exists(ready) or self.supervisor.info(name)["statename"] in (
                "BACKOFF",
                "FATAL",
                "EXITED",
            )

        wait_until(settled, self.layout.spec["health"]["timeout"])
        if not os.path.exists(ready):
            printed = self.printed(name)
            self.stop_slot(slot)
            raise DeployError(f"The new release did not start in {name}{printed}")

    def stop_slot(self, slot: str) -> None:
        """Lets the slot's requests finish, and puts it back to sleep."""
        link = f"{self.layout.slots}/{slot}"
        if os.path.lexists(link):
            os.unlink(link)
        if self.running().get(f"{self.group}:{slot}") != "":
            self.supervisor.restart([f"{self.group}:{slot}"], STOP_WEB)

    def expected(self, name: str, live: str) -> str:
        """The release that a worker should run: none where the release knows no such process, and it sleeps."""
        process = name.removeprefix(f"{self.layout.name}.").rpartition(":")[0]
        known = os.path.isfile(f"{self.layout.releases}/{live}/config/processes/{process}")
        return live if known else ""

    def renew_workers(self, live: str) -> None:
        """Restarts every worker that does not run the live release."""
        wanted = {
            name: self.expected(name, live)
            for name in self.running()
            if not name.startswith(f"{self.group}:")
        }
        old = [name for name, release in self.running().items() if release != wanted.get(name, release)]
        if not old:
            return
        self.supervisor.restart(old, self.layout.spec["stop_timeout"] + 10)
        ended: list[str] = []

        def renewed() -> bool:
            running = self.running()
            ended[:] = [name for name in old if running.get(name) in FAILED]
            return bool(ended) or all(running.get(name) == wanted[name] for name in old)

        done = wait_until(renewed, 10)
        found = self.found()
        self.renewed = {name: found[name]["pid"] for name in old if wanted[name] and not ended}
        if not done or ended:
            left = ended or [name for name in old if self.running().get(name) != wanted[name]]
            raise DeployError(
                f"The new release is live, but these processes do not run it: {', '.join(left)}{self.printed(left[0])}"
            )


def other(slot: str | None) -> str:
    return SLOTS[1] if slot == SLOTS[0] else SLOTS[0]
