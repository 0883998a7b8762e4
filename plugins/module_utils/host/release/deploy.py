# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The deploy of an app on a host: STEPS, at the end of this file, lists its steps in order.

Before them the controller checks definitions and inventory (action/preflight.py), and whether the hosts can fetch the
code (action/reachability.py). After them nginx gets the sites, and the verdict asks for the pages as visitors do.
docs/deploying.md describes the same list.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import interruption
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.release import history
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import Build, fingerprint
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Databases, Held
from ansible_collections.homeport.django.plugins.module_utils.host.release.hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.host.release.plan import Plan
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import (
    actionable,
    undeclared_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.prune import prune
from ansible_collections.homeport.django.plugins.module_utils.host.release.source import Source
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack, Switch
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import refused
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import SOCKET, Supervisor
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of

OUTCOMES = ((Held, "held"), (RolledBack, "rolled back"))


@dataclass(frozen=True)
class Request:
    """What a run asks of every app: the options of the module release, which documents them."""

    phase: str
    warn: Callable[[str], None]
    run: str = ""
    holder: str = ""
    dead_runs: tuple[str, ...] = ()
    unlock: bool = False
    failed: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, str] = field(default_factory=dict)
    allow_unsafe_migrations: bool = False
    again: bool = False
    to: str = ""
    restore: str = ""
    restored_elsewhere: bool = False
    dry: bool = False
    diff: bool = False
    through: bool = False  # build, migrate and activate after each other

    @property
    def planning(self) -> bool:
        return self.dry and self.diff and self.phase == "build"


class Deploy:
    """One phase of the deploy of one app. ``result`` is what the module reports of it; empty where it was left out."""

    def __init__(self, request: Request, layout: Layout) -> None:
        self.request = request
        self.layout = layout
        self.spec = layout.spec
        # check mode; or the app has no folders yet, as on a bare host
        self.dry = request.dry or not os.path.isdir(layout.home)
        self.result: dict[str, Any] = {}
        self.outcome: dict[str, Any] = {}  # the line in the app's record
        self.ended = False  # nothing is left to do in this phase
        self.held: Lock | None = None
        self.stack = contextlib.ExitStack()
        self.release = ""  # the release that is to be live
        self.before = layout.current or ""
        self.revision = self.mark = ""
        self.databases: Databases | None = None  # where they are migrated

    def work(self) -> None:
        """Does the steps of the phase; a failure is written to the app's record before the lock is released."""
        with self.stack:
            try:
                for step in self.steps():
                    if not self.ended:
                        step(self)
            except Locked:
                raise
            except Exception as error:
                outcome = next((name for kind, name in OUTCOMES if isinstance(error, kind)), "failed")
                self.write_record(outcome, str(error))
                raise
            if self.request.phase in ("activate", "rollback") and self.held and not self.held.finished:
                self.held.finish()
                self.write_record("live", "")

    def steps(self) -> list[Callable[[Deploy], None]]:
        return [step.function for step in STEPS if self.request.phase in step.phases]

    def write_record(self, outcome: str, message: str) -> None:
        if self.held:
            memo = self.held.started, self.held.memo.get("migrations", []), self.held.holder
            line = history.line_of(self.layout, self.release, self.before, *memo)
            verb = "rollback" if self.request.phase == "rollback" else "deploy"
            line.update(verb=verb, outcome=outcome, step=self.request.phase, message=message)
            written = history.append(self.layout.name, line)
            self.outcome = {**written, "message": message.partition("\n")[0]}

    def choose(self, release: str, done: bool = False) -> None:
        """Names the release that the later phases go on with; ``done`` where they have nothing to do."""
        self.release = release
        if self.held:
            self.layout.point(self.layout.next_link, release)
            if done:
                self.held.finish()

    # The steps

    def lock(self) -> None:
        if self.dry:
            return
        asked = self.request
        words = self.layout, asked.run, asked.holder, asked.dead_runs, asked.unlock
        # a restore is never interrupted: the database would be in neither state
        self.held = self.stack.enter_context(Lock(*words, ends=not asked.restore))
        self.layout.doing = self.held.tell
        self.stack.enter_context(interruption.step())
        self.before = self.layout.current or ""  # a run that was ended for this one may have switched
        if self.layout.name in asked.failed and asked.phase != "withdraw":
            self.held.finish()
            self.ended = True

    def check(self) -> None:
        """Compares the release that is wanted with those that are there; ends where none has to be built."""
        layout = self.layout
        self.result = {"pending": True, "changed": True}
        if not os.path.isdir(layout.releases):  # check mode on a bare host
            self.end(action="first release")
            return
        self.revision = self.result["revision"] = Source(layout, Runner(layout)).revision()
        self.mark = fingerprint(layout, self.revision)
        live = layout.record(layout.current)
        replanned = self.settings_are_planned()
        if layout.current and live.get("fingerprint") == self.mark and not replanned:
            self.keep_live(layout.current)
            return
        self.result["live"] = live.get("revision", "")
        if not self.dry:
            check_logins(layout, layout.config)
        ready = [
            path for path in layout.known_releases() if layout.record(path).get("fingerprint") == self.mark
        ]
        if ready and not replanned:
            self.choose_kept(ready[-1], live)
            return
        self.check_gone_back()
        uploaded = self.request.uploads.get(layout.name)
        if "digest" in self.spec["source"] and not uploaded and (self.request.planning or not self.dry):
            self.end(action="build", wanting=True)
        elif self.dry:
            if self.request.planning:
                plan = Plan(layout, self.revision, self.mark, uploaded).show()
                self.result["plan"] = {
                    **plan,
                    "left": history.revision_gone_back_from(layout.name, self.revision),
                }
            self.end(action="build")

    def fetch(self) -> None:
        self.building = Build(
            self.layout, self.revision, self.mark, self.request.uploads.get(self.layout.name)
        )
        self.building.fetch()

    def build(self) -> None:
        record = self.building.build()
        self.choose(f"{self.layout.releases}/{record['id']}")
        warnings = actionable(record["warnings"], self.spec["site_url"])
        if warnings:
            self.request.warn(f"{self.layout.name}: manage.py check --deploy: {'; '.join(warnings)}")
        for doubt in record["doubts"]:
            self.request.warn(f"{self.layout.name}: {doubt}")
        undeclared = undeclared_databases(record, self.spec["databases"])
        if undeclared:
            self.request.warn(f"{self.layout.name}: {undeclared}")
        for differing in record["celery_settings"]:
            self.request.warn(f"{self.layout.name}: {differing}")
        self.result.update(action="build", release=record["id"], seconds=record["seconds"])

    def gate(self) -> None:
        self.release = chosen(self.layout)
        self.result = {"changed": False, "action": "none"}
        if self.spec["migrate"]["run"]:
            self.databases = Databases(self.layout, self.release)
            self.databases.gate(self.before, self.request.allow_unsafe_migrations)
            self.result.update(action="migrate", applied=[], unsafe={})

    def dump(self) -> None:
        if self.databases and self.databases.pending():
            self.result["dump"] = self.databases.save(self.before)

    def migrate(self) -> None:
        """Also the hook after_migrate."""
        if self.databases and self.databases.pending():
            applied, noted = self.databases.migrate(), self.databases.notes()
            self.result.update(applied=applied, changed=bool(applied), notes=noted)
            for name, notes in noted.items():
                self.request.warn(f"{self.layout.name}: {name}: {'; '.join(notes)}")
        if self.held and self.databases:
            self.held.memo["migrations"] = self.result["applied"]
        if self.release != self.layout.current and self.spec["hooks"]["after_migrate"]:
            run_hooks(self.layout, self.release, "after_migrate")
            self.result["changed"] = True

    def try_out(self) -> None:
        """Also the hook before_switch."""
        self.release = self.release or chosen(self.layout)
        self.switching = Switch(self.layout, Supervisor(), interruption.hold)
        self.switching.prepare(self.release)
        self.switching.try_out()

    def switch(self) -> None:
        self.switching.hand_over()

    def watch(self) -> None:
        """Also the hook after_switch, and the way back where one of them fails."""
        self.switching.renew_and_watch()

    def prune(self) -> None:
        prune(self.switching)
        live = os.path.basename(self.release)
        self.result = {"changed": True, "action": "live", "release": live, "seconds": self.switching.seconds}

    # What ``check`` finds

    def end(self, **result: Any) -> None:
        self.result.update(result)
        self.ended = True

    def settings_are_planned(self) -> bool:
        """Whether a plan finds settings changed that check mode has not written."""
        return self.request.planning and bool(Plan(self.layout, "", "", None).settings_changed())

    def keep_live(self, release: str) -> None:
        """What is wanted is live; its processes may not all run it yet."""
        layout = self.layout
        settled = os.path.exists(SOCKET) and Switch(layout, Supervisor()).is_settled()
        self.choose(release, done=settled)
        if not settled:
            self.end(action="finish")
            return
        visit = self.spec["visit"]
        asks = visit and not self.dry and (visit["first"] or layout.has_followed())
        problem = problem_of(visit, layout.home) if asks else ""
        self.end(pending=False, changed=False, action="none", visit=problem, unasked=bool(visit) and not asks)

    def check_gone_back(self) -> None:
        """Raises where a rollback left the code that is wanted, with whatever settings."""
        left = history.revision_gone_back_from(self.layout.name, self.revision)
        if left and not self.dry and not self.request.again:
            raise DeployError(
                f"{left['before']} was rolled back ({left['time']}, {left['by']}), and this deploy would make its code "
                f"live again ({self.revision}). -e again=true makes it live"
            )

    def choose_kept(self, release: str, live: Mapping[str, Any]) -> None:
        """A release that is wanted has been built before."""
        name = os.path.basename(release)
        left = history.gone_back_from(self.layout.name, name)
        if self.request.planning:
            self.result["plan"] = {"live": live.get("id", ""), "kept": name, "left": left}
        if left and not self.dry and not self.request.again:
            raise DeployError(
                f"{name} was rolled back ({left['time']}, {left['by']}), and this deploy would make it live again: "
                "its code and settings have not changed. -e again=true makes it live"
            )
        self.choose(release)
        self.end(action="put live", release=name)


def chosen(layout: Layout) -> str:
    """The release that the build phase chose."""
    release = layout.resolve_link(layout.next_link)
    if not release:
        raise DeployError("No release was built for this deploy: run the build phase first")
    return release


def check_logins(layout: Layout, config: str) -> None:
    """Raises when a service rejects the password in the configuration of a release."""
    known = exports(f"{layout.current}/config/env") if layout.current else {}
    refusals = refused(exports(f"{config}/env"), known)
    if refusals:
        lines = "\n".join(refusals)
        raise DeployError(
            f"Services reject the passwords of this release:\n{lines}\nRun the setup playbook, which sets passwords in "
            "the services; deploy alone does not. An earlier release may have a revoked password (docs/secrets.md)"
        )


class Step(NamedTuple):
    name: str
    phases: tuple[str, ...]  # each is one call of the module, which all hosts finish before the next begins
    function: Callable[[Deploy], None]


STEPS = (
    Step("lock", ("build", "migrate", "activate"), Deploy.lock),
    Step("check", ("build",), Deploy.check),
    Step("fetch", ("build",), Deploy.fetch),
    Step("build", ("build",), Deploy.build),
    Step("gate", ("migrate",), Deploy.gate),
    Step("dump", ("migrate",), Deploy.dump),
    Step("migrate", ("migrate",), Deploy.migrate),
    Step("try", ("activate",), Deploy.try_out),
    Step("switch", ("activate",), Deploy.switch),
    Step("watch", ("activate",), Deploy.watch),
    Step("prune", ("activate",), Deploy.prune),
)
