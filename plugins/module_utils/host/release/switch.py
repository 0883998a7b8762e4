# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Putting a release live: trying it on a private socket, handing the public one over, renewing the workers.

The app has one public socket, which supervisord holds, and two slots that may serve it. One slot serves;
the other sleeps and keeps the socket open. The new release is started in the sleeping slot, and the old
one is asked to finish only when the new one serves: at no moment does nobody listen.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Scope, end, nothing
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    LIBRARY,
    UMASK,
    DeployError,
    Layout,
    Runner,
    remove_later,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.log_files import end_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import withdraw
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import prune_dumps
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    ask,
    healthy,
    own_socket,
    refuses_on_purpose,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import WHY
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
LONGEST_PATH = 100  # of a unix socket: the kernel takes 107 bytes
MOST_PRINTED = 1 << 18  # bytes of what a process has printed


class RolledBack(DeployError):
    """The release failed once it was live, and the one before serves again."""


class Switch:
    """Moves one app to a release that has been built."""

    def __init__(self, layout: Layout, supervisor: Supervisor, begins: Callable[[], None] = nothing) -> None:
        self.layout = layout
        self.begins = begins  # called before anything that is live changes
        self.supervisor = supervisor
        self.group = f"{layout.name}.web"
        self.runner = Runner(layout)
        self.live_since = 0.0  # when a slot began to serve the new release
        self.renewed: dict[str, int] = {}  # the workers that were started for it, with their process numbers
        self.waiting: dict[str, int] = {}  # how often in a row each was found waiting for something to do
        # a project that its first visitor sets up is not asked for pages before
        elsewhere = layout.current or layout.spec.get("live_elsewhere")
        self.asked = bool(layout.spec["health"]["first"] or elsewhere)
        self.broken = False  # whether the release that was tried answered with an error of its own

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
        if len(linked) != 1 or self.slot_release(linked[0]) != current:
            return False
        for name, release in self.running().items():
            if name.startswith(f"{self.group}:"):
                expected = live if name.endswith(f":{linked[0]}") else ""
            else:
                expected = self.expected(name, live)
            if release != expected:
                return False
        return True

    def activate(self, release: str) -> dict[str, Any]:
        """Makes ``release`` the live one. On failure the release that served before goes on serving."""
        processes = self.supervisor.processes(f"{self.layout.name}.")
        if f"{self.group}:{SLOTS[0]}" not in processes:
            raise DeployError(f"supervisord does not know {self.group}; run the whole playbook once")
        before = self.layout.current
        old_slot = next((slot for slot in SLOTS if before and self.slot_release(slot) == before), None)
        seconds = {}
        switched = not (before == release and old_slot is not None and self.serves(old_slot, release))
        earlier = self.layout.resolve_link(f"{self.layout.home}/previous")
        if switched:
            started = time.monotonic()
            if self.asked:
                self.try_out(release)
            run_hooks(self.layout, release, "before_switch")
            seconds["try"] = round(time.monotonic() - started, 2)
            started = time.monotonic()
            self.begins()
            self.switch(release, before, old_slot)
            seconds["switch"] = round(time.monotonic() - started, 2)
        started = time.monotonic()
        try:
            self.watch(0)  # before the workers, which may take long to stop
            self.renew_workers(os.path.basename(release))
            self.watch(self.layout.spec["health"]["watch"])
            if switched:
                run_hooks(self.layout, release, "after_switch")
        except DeployError as error:
            if not (switched and before and before != release):
                raise
            raise self.go_back(before, release, earlier, error) from error
        seconds["workers"] = round(time.monotonic() - started, 2)
        self.prune()
        return seconds

    def switch(self, release: str, before: str | None, old_slot: str | None) -> None:
        """Has the free slot serve ``release``, then the other one finish."""
        new_slot = SLOTS[1] if old_slot == SLOTS[0] else SLOTS[0]
        self.start_slot(new_slot, release)
        self.live_since = time.monotonic()
        if before and before != release:
            self.layout.point(f"{self.layout.home}/previous", before)
        self.layout.point(f"{self.layout.home}/current", release)
        self.stop_slot(old_slot or (SLOTS[0] if new_slot == SLOTS[1] else SLOTS[1]))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No worker runs, and visitors are told to wait, while the database is exchanged."""
        workers = [
            name
            for name, state in self.running().items()
            if not name.startswith(f"{self.group}:") and not state.startswith("(")
        ]
        flag = f"{self.layout.home}/maintenance/on"
        ours = os.path.isdir(os.path.dirname(flag)) and not os.path.exists(flag)
        if ours:
            os.close(os.open(flag, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        try:
            self.supervisor.stop(workers, self.layout.spec["stop_timeout"] + 10)
            yield
        finally:
            for name in workers:
                self.supervisor.start(name)  # those that a switch has started already stay as they are
            if ours:
                os.unlink(flag)

    def go_back(self, before: str, release: str, earlier: str | None, why: DeployError) -> DeployError:
        """Puts the release that served before live again; returns the error that tells of it."""
        previous = f"{self.layout.home}/previous"
        new_slot = next((slot for slot in SLOTS if self.slot_release(slot) == release), None)
        names = os.path.basename(release), os.path.basename(before)
        try:
            self.switch(before, release, new_slot)
            self.layout.point(self.layout.next_link, before)
            if earlier:
                self.layout.point(previous, earlier)
            else:
                os.unlink(previous)
            self.renew_workers(names[1])
        except DeployError as error:
            return DeployError(
                f"{why}\n{names[0]} was live, and going back to {names[1]} failed as well: {error}"
            )
        return RolledBack(f"{why}\nThat was after the switch: rolled back, {names[1]} serves again")

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
                raise DeployError(f"the new release is live, but {', '.join(ended)} ended{printed}")
            problem = self.problem(min(10, self.layout.spec["health"]["timeout"]))
            failures = failures + 1 if problem else 0
            if failures >= STRIKES:
                raise DeployError(f"the new release is live, but {problem}")
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
        found waiting."""
        age = info["now"] - info["start"]
        waits = age >= SETTLE and waits_for_something(info["pid"])
        self.waiting[name] = self.waiting.get(name, 0) + 1 if waits else 0
        return self.waiting[name] >= OFTEN or age >= LONGEST_LOAD

    def printed(self, name: str) -> str:
        """The end of what a process printed."""
        text = end_of(self.supervisor.info(name)["stdout_logfile"], 50, MOST_PRINTED)
        return f":\n{tail(text.decode(errors='replace'))}"

    def problem(self, patience: float) -> str:
        """What is wrong with the answer of the release that is live; empty when nothing is."""
        if not self.asked:
            return ""
        health = self.layout.spec["health"]
        try:
            status, _body = self.ask(self.layout.spec["socket"], patience)
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer {health['path']}: {error}"
        if healthy(status, health["status"]) or refuses_on_purpose(status, self.layout.home):
            return ""
        return f"answers {health['path']} with status {status}"

    def serves(self, slot: str, release: str) -> bool:
        return self.running().get(f"{self.group}:{slot}") == os.path.basename(release)

    def try_out(self, release: str) -> None:
        """Asks the new release for its health page on a socket that nobody else knows."""
        self.layout.own_folder(self.layout.runtime)
        path = f"{self.layout.runtime}/try.sock"
        if len(path) > LONGEST_PATH:
            path = f"/run/homeport/{self.layout.ids()[0]}.sock"
        if os.path.lexists(path):
            os.unlink(path)
        scope = Scope(self.layout.name, self.layout.spec["most_processes"])
        process = subprocess.Popen(
            [*scope.words(), *self.runner.words([f"{LIBRARY}/gunicorn-try", release, path])],
            cwd="/",
            env=self.runner.base,
            umask=UMASK,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with Printed(process) as printed:
            try:
                self.wait_for_health(process, path)
            except DeployError as error:
                reason = self.reason(release) if self.broken else ""
                raise DeployError(f"{error}\n{tail(printed.text())}{reason}") from error
            finally:
                end(process)
                scope.kill()

    def wait_for_health(self, process: subprocess.Popen[bytes], path: str) -> None:
        health = self.layout.spec["health"]
        end_time = time.monotonic() + health["timeout"]
        problem = "it does not listen"
        while time.monotonic() < end_time:
            if process.poll() is not None:
                raise DeployError(
                    f"the new release does not start (gunicorn ended with status {process.returncode})"
                )
            if os.path.exists(path):
                try:
                    with own_socket(path, self.layout.ids()[0]) as address:
                        status, body = self.ask(address, max(0.1, end_time - time.monotonic()))
                except (OSError, http.client.HTTPException) as error:
                    problem = f"it does not answer: {error}"
                else:
                    if healthy(status, health["status"]):
                        return
                    self.broken = status == 500
                    hint = "; is the host name among the settings' ALLOWED_HOSTS?" if status == 400 else ""
                    raise DeployError(
                        f"the new release answers {health['path']} with status {status}{hint}\n{tail(body, 8, 200)}"
                    )
            time.sleep(0.03)
        raise DeployError(f"the new release is not healthy after {health['timeout']} s: {problem}")

    def reason(self, release: str) -> str:
        """The exception behind a status 500, which many projects log nowhere."""
        scheme, _, host = self.layout.spec["site_url"].partition("://")
        words = ["python", "-c", WHY, release, self.layout.spec["health"]["path"], host, scheme]
        try:
            self.runner.in_release(release, words, "asking once more", timeout=60)
        except DeployError as error:
            return "\n" + str(error).partition("\n")[2]
        return ""

    def ask(self, address: str, timeout: float) -> tuple[int, str]:
        """Status and body of the health page."""
        spec = self.layout.spec
        status, _kind, text = ask(address, spec["health"]["path"], spec["site_url"], timeout, 20000)
        return status, text

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
            raise DeployError(f"the new release did not come up in {name}{printed}")

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
                f"the new release serves, but not all of its processes run: {', '.join(left)}{self.printed(left[0])}"
            )

    def prune(self) -> None:
        """Removes releases beyond keep_releases; never the live one, the one before, or one in use."""
        layout = self.layout
        in_use = {
            layout.current,
            layout.resolve_link(f"{layout.home}/previous"),
            layout.resolve_link(layout.next_link),
            *(self.slot_release(slot) for slot in SLOTS),
        }
        in_use |= {f"{layout.releases}/{release}" for release in self.running().values() if release}
        known = layout.known_releases()
        for release in known[: -layout.spec["keep_releases"]]:
            if release not in in_use:
                os.unlink(f"{release}/release.json")  # from here on it counts as incomplete
                remove_later(release)
        withdraw(layout, layout.known_releases())
        prune_dumps(layout, layout.spec["keep_releases"])


class Printed:
    """The end of what a process prints, which must not wait for anybody to read it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.stream: Any = process.stdout
        self.kept = bytearray()
        self.thread = threading.Thread(target=self.read, daemon=True)

    def __enter__(self) -> Printed:
        self.thread.start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self.thread.join(1)

    def read(self) -> None:
        while block := self.stream.read1(1 << 16):
            self.kept += block
            del self.kept[:-MOST_PRINTED]
        self.stream.close()

    def text(self) -> str:
        self.thread.join(0.2)  # what it has just said may be on its way
        return bytes(self.kept).decode(errors="replace")


def waits_for_something(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "S"
    except (OSError, IndexError):
        return False
