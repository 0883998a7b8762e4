# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The transaction: what is declared is written, judged by the service's own parser, and applied; or all is restored."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.given import Given, answers, standing
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.restarts import waiting_elsewhere
from ansible_collections.homeport.django.plugins.module_utils.host.service_config import record as records
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.entries import (
    Entry,
    removals,
)
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.record import Record
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.restart import Restart
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.services import (
    Services,
    apply_masks,
    apply_to_service,
    apply_units,
)
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.undo import Backup

LOCK_TIMEOUT = 600  # seconds
URGENCY = {"": 0, "none": 0, "reload": 1, "restart": 2}


def run(module: Any) -> None:
    with contextlib.nullcontext() if module.check_mode else locked(module):
        Transaction(module).run()


@contextlib.contextmanager
def locked(module: Any) -> Iterator[None]:
    """One transaction on a host at a time, whichever controller it comes from."""
    os.makedirs(records.STATE_FOLDER, mode=0o700, exist_ok=True)
    descriptor = os.open(records.STATE_FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    module.fail_json(
                        msg="Another run has been changing the configuration of this host for "
                        f"{LOCK_TIMEOUT} s. Wait until it has ended, and run this again. Nothing of "
                        f"{module.params['name']} was changed."
                    )
                time.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


class Transaction:
    """One set: what differs from the host, and what follows from that."""

    def __init__(self, module: Any) -> None:
        self.module, self.params = module, module.params
        self.name: str = self.params["name"]
        self.record = Record(self.name)
        self.services = Services(module)
        self.given = Given.told(self.params["given"])
        secrets = self.params["secrets"]
        self.entries = [
            Entry({**spec, "content": secrets.get(spec["path"], spec["content"])})
            for spec in self.params["files"]
        ]
        self.changes = [entry for entry in self.entries if entry.differs()]
        self.units: list[str] = self.params["units"]
        if self.params["partial"]:
            self.units = [*self.record.units, *(unit for unit in self.units if unit not in self.record.units)]
        else:
            self.changes += removals(self.record, self.entries)
        self.going = [unit for unit in self.record.units if unit not in self.units]
        self.restarts = self.wanted(self.record.restarts, [entry.restarts for entry in self.changes])
        self.reloads = self.wanted(self.record.reloads, [entry.reloads for entry in self.changes])
        self.unmasked = self.services.unmasked(self.params["masked"])
        service = self.params["service"]
        self.stopped = bool(service) and not self.services.in_order(service)
        by_hand = "reload" if in_force(module, self.given) else ""
        try:
            self.restart = Restart(self.params, self.record, self.changes, self.stopped)
        except DeployError as error:
            module.fail_json(msg=f"{error}\nNothing of {self.name} was changed.")
        words = [entry.on_change for entry in self.changes if entry.on_change != "restart"]
        needed = max(
            [self.record.pending, by_hand, self.restart.needed, *words], key=lambda word: URGENCY[word]
        )
        self.needed = "" if needed == "none" else needed
        self.result = self.describe()

    def wanted(self, pending: list[str], by_entry: list[list[str]]) -> list[str]:
        named = {*pending, *(unit for units in by_entry for unit in units)}
        return [unit for unit in self.units if unit in named]

    def describe(self) -> dict[str, Any]:
        down = self.services.out_of_order(self.units)
        again = {*down, *self.restarts, *self.reloads}
        touched = [*self.going, *self.unmasked, *(unit for unit in self.units if unit in again)]
        result: dict[str, Any] = {
            "changed": bool(self.changes or self.needed or touched or self.stopped),
            "paths": [entry.path for entry in self.changes],
            "applied": "",
            "restart": self.restart.told(self.module.check_mode),
            "units": touched,
            "refused": {},
        }
        if self.module._diff:
            result["diff"] = [entry.difference() for entry in self.changes]
        return result

    def recorded(self) -> list[str]:
        """The paths of the set once it is applied."""
        kept = (
            set(self.record.paths) - {entry.path for entry in self.entries}
            if self.params["partial"]
            else set()
        )
        kept |= {entry.path for entry in self.entries if entry.state == "kept"} & set(self.record.paths)
        declared = (entry.path for entry in self.entries if entry.state not in ("absent", "kept"))
        return sorted({*kept, *declared})

    def run(self) -> None:
        record, recorded = self.record, self.recorded()
        same_record = (recorded, self.units, self.restart.held) == (
            sorted(record.paths),
            record.units,
            record.held,
        )
        if self.module.check_mode:
            self.module.exit_json(**self.result)
        if same_record and not self.result["changed"]:
            self.given.keep(what_is_there(self.module, self.entries))
            self.module.exit_json(**self.result)
        self.begin(recorded)
        problem = self.apply()
        if problem:
            self.fail(problem)
        self.backup.discard()
        if not record.held:
            self.held.discard()
            record.previous = []
        record.paths, record.units, record.pending = recorded, self.units, ""
        record.restarts, record.reloads = [], []
        record.write()
        self.given.without(self.result["refused"], self.parts_before)
        self.given.keep(what_is_there(self.module, self.entries))
        self.module.exit_json(**self.result)

    def begin(self, recorded: list[str]) -> None:
        """Writes down what is about to be changed: a run that is interrupted is finished by the next one."""
        self.parts_before = self.given.parts_before()
        self.given.forget()
        if self.params["partial"]:  # the component is no longer as its record says
            Given(f"service_config.{self.name}", "").forget()
        record = self.record
        self.earlier = Record(self.name)
        record.paths = sorted({*recorded, *(path for path in record.paths if os.path.lexists(path))})
        record.units = [*self.going, *self.units]
        record.pending, record.restarts, record.reloads = self.needed, self.restarts, self.reloads
        self.held = Backup(os.path.join(records.STATE_FOLDER, f"held.{self.name}"), self.restart.previous)
        for entry in self.restart.waits:
            self.held.save(entry.path)
        record.held, record.previous = self.restart.held, self.held.saved
        record.write()
        self.backup = Backup.of_this_run(records.STATE_FOLDER, self.name)
        self.done: list[str] = []
        # where the service does not start with what waited for its restart: what it has started with
        self.again_with: list[tuple[str, str | None]] = []
        self.others: list[str] = []  # other sets of which the same is true

    def apply(self) -> str:
        """What went wrong."""
        try:
            for entry in self.changes:
                self.backup.save(entry.path)
                entry.apply()
            problem = self.checked_apart()
            if not problem:
                self.result["applied"], problem = apply_to_service(
                    self.module, self.services, self.needed, bool(self.changes)
                )
                if problem and (self.stopped or self.needed == "restart"):
                    self.again_with = self.restart.previous
                    service = self.params["service"] or ""
                    self.others = waiting_elsewhere(service, self.name, records.STATE_FOLDER)
            if not problem:
                problem = apply_masks(self.services, self.unmasked)
            if not problem:
                problem = apply_units(
                    self.module, self.earlier.units, self.units, self.restarts, self.reloads, self.done
                )
        except (OSError, DeployError) as error:
            problem = f"{type(error).__name__}: {error}"
        except KeyError as error:
            problem = f"A user or a group does not exist: {error.args[0]}"
        return problem

    def checked_apart(self) -> str:
        """What the service's own parser says against the files, once the changes of those that it names are
        reverted."""
        problem = checked(self.module)
        while problem:
            of = next((entry.of for entry in self.changes if entry.of and names(problem, entry.path)), "")
            if not of:
                return problem
            self.result["refused"][of] = (
                f"{problem.strip()}\nIts files are as before, and the others are applied."
            )
            going = {entry.path for entry in self.changes if entry.of == of}
            self.backup.restore(going)
            self.changes = [entry for entry in self.changes if entry.of != of]
            self.result["paths"] = [entry.path for entry in self.changes]
            self.result["changed"] = bool(self.changes or self.result["units"] or self.stopped)
            problem = checked(self.module)
        return ""

    def fail(self, problem: str) -> None:
        """Restores every file, and has the service and the units run with them."""
        record, earlier = self.record, self.earlier
        self.backup.restore()
        record.units, record.pending = earlier.units, earlier.pending
        record.restarts, record.reloads = earlier.restarts, earlier.reloads
        record.held, record.previous = earlier.held, self.restart.previous
        self.restore_what_waited()
        # a command that came with this set is missing again
        missing = [
            path for path in self.params["reload"][:1] if path.startswith("/") and not os.path.exists(path)
        ]
        applied = self.result["applied"]
        reloaded = self.done and self.params["daemon_reload"]
        if (applied or self.again_with or self.others or reloaded) and not missing:
            still = apply_to_service(self.module, self.services, self.needed if applied else "", True)[1]
            record.pending = (self.needed if still else "") if applied else record.pending
        again = [unit for unit in earlier.units if unit in self.done and unit not in self.reloads]
        reloads = [unit for unit in earlier.units if unit in self.done and unit in self.reloads]
        if self.done and apply_units(self.module, self.units, earlier.units, again, reloads, []):
            record.restarts, record.reloads = again, reloads
        self.backup.discard()
        record.write()
        if not record.previous:
            self.held.discard()
        self.result["restart"] = {}  # of a change that was restored
        also = ", also what waited for the restart" if self.again_with or self.others else ""
        msg = f"{problem}\nEvery file of {self.name} was restored{also}."
        self.module.fail_json(msg=msg, **self.result)

    def restore_what_waited(self) -> None:
        if self.again_with:
            with contextlib.suppress(OSError):  # a folder that is missing by now
                Backup(self.held.folder, self.again_with).restore()
            self.record.held, self.record.previous = {}, []
        for name in self.others:
            other = Record(name)
            with contextlib.suppress(OSError):
                Backup(os.path.join(records.STATE_FOLDER, f"held.{name}"), other.previous).restore()
            other.held, other.previous = {}, []
            other.write()


def names(problem: str, path: str) -> bool:
    """Whether a message is about a file, and not about one whose name only begins like it."""
    return re.search(rf"{re.escape(path)}(?![\w.-])", problem) is not None


def probed(module: Any) -> dict[str, Any]:
    return answers([json.dumps(words) for words in module.params["probes"]])


def in_force(module: Any, given: Given) -> bool:
    """Whether what is in force was changed by hand since the last run."""
    before = given.found().get("answers", {})
    return any(before.get(command, now) != now for command, now in probed(module).items())


def what_is_there(module: Any, entries: list[Entry]) -> dict[str, Any]:
    """What the next run has to find so that it has nothing to do."""
    params = module.params
    wanted = [*([params["service"]] if params["service"] else []), *params["units"]]
    return {
        "paths": {entry.path: standing(entry.path) for entry in entries},
        "units": {unit: [True, True] for unit in wanted},
        "masks": dict.fromkeys(params["masked"], True),
        "answers": probed(module),
    }


def checked(module: Any) -> str:
    """Empty, or what the service's own parser says against the files."""
    command = module.params["validate"]
    if not command:
        return ""
    code, out, err = module.run_command(command)
    return "" if code == 0 else f"{' '.join(command)} refuses the configuration: {out}{err}"
