#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Builds releases of apps, migrates their databases and puts them live."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build releases of Django apps and put them live without losing a request
description:
  - One call handles all apps of a host. The three phases are separate tasks, so that a set of hosts
    builds everywhere, migrates once and then switches.
  - It ends within seconds of the run that asked for it. A migration or a switch that has begun is finished before.
  - A phase that fails leaves the release that is live serving. V(build) and V(migrate) tell in RV(failed_apps)
    what failed, so that the other apps go on and no host switches to what failed on another; so does V(activate), and
    M(homeport.django.verdict) tells all of it at the end. V(rollback) fails itself.
  - What is done follows from the state of the host alone, so that a run that was cut off is finished by
    the next one.
options:
  phase:
    description:
      - V(build) makes a release of every app whose code or configuration is not that of its live release.
        In check mode with diff it shows what that release would bring.
      - V(migrate) runs C(migrate) in the newest release of the apps, after a dump, and then their hook
        C(after_migrate).
      - V(activate) puts the newest release of the apps live and renews their processes. Where it fails once it
        is live, the release before is put live again.
      - V(rollback) puts an earlier release that was kept live again. The database stays as it is unless
        O(restore) is set.
    type: str
    choices: [build, migrate, activate, rollback]
    required: true
  apps:
    description: The apps, as the filter P(homeport.django.release_specs#filter) gives them.
    type: list
    elements: dict
    required: true
  only:
    description: Names of the apps to handle. Empty handles all.
    type: list
    elements: str
    default: []
  through:
    description:
      - For V(build), go on with V(migrate) and V(activate) for what was built, as where no other host has to be waited
        for. Each start of this module takes half a second of the host.
    type: bool
    default: false
  secrets:
    description:
      - What only an app's own code may see, by app. Keys of each - C(deploy_key), C(git), and in check mode
        C(environment) and C(processes).
    type: dict
    default: {}
  failed:
    description: Apps that failed on any host of the run, with the reason. They are left as they are.
    type: dict
    default: {}
  allow_unsafe_migrations:
    description: Run migrations that break the code which is still running.
    type: bool
    default: false
  to:
    description: For V(rollback), the release by its name. By default the one that was live before.
    type: str
    default: ""
  restore:
    description:
      - For V(rollback), put the database back as it was dumped before the releases that are gone back from.
        What was written since is lost; a dump of the present state is made first.
      - V(true), or the name of a dump.
    type: str
    default: ""
  again:
    description: Put a release live again that was gone back from, when nothing has changed since.
    type: bool
    default: false
  unlock:
    description: Take the app from another run, and end what it still does on the host.
    type: bool
    default: false
  holder:
    description: Who deploys, for the message that somebody else gets who tries at the same time. Set by the
      action plugin.
    type: str
    default: ""
  run:
    description: What tells this run from others. Set by the action plugin.
    type: str
    default: ""
  dead_runs:
    description: Runs of this controller that have ended. Set by the action plugin.
    type: list
    elements: str
    default: []
  base:
    description: Folder on the controller that C(source.path) and C(source.archive) are relative to. Read
      by the action plugin.
    type: str
    default: ""
  uploads:
    description: Archives that the controller has put on the host, by app. Set by the action plugin.
    type: dict
    default: {}
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Build the releases
  homeport.django.release:
    phase: build
    apps: "{{ homeport_apps | homeport.django.release_specs }}"
"""

RETURN = r"""
pending:
  description: Names of the apps that have a release to be put live, or processes that do not run it.
  returned: always
  type: list
  elements: str
releases:
  description: What was done for each app.
  returned: always
  type: dict
failed_apps:
  description: Apps for which it failed, with the reason.
  returned: always
  type: dict
wanting:
  description: Names of the apps whose code is on the controller, and is not among O(uploads) although a release has to
    be built of it. Nothing was done for them.
  returned: always
  type: list
  elements: str
visits:
  description:
    - What is wrong with the answers that visitors get of apps that have gone live and of those with nothing to do,
      empty where nothing is.
  returned: always
  type: dict
outcomes:
  description: For apps with which the run has ended, the line that was added to their record, with the first
    line of its message.
  returned: always
  type: dict
locked:
  description: Apps that another run has, and that run.
  returned: always
  type: dict
"""

import contextlib
import os
import sys
import time
import traceback
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import (
    Interrupted,
    interruption,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    is_gone,
)
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import Build, fingerprint
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import (
    Database,
    Held,
    dump_before,
    migrations_between,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock, Locked
from ansible_collections.homeport.django.plugins.module_utils.host.release.plan import Plan, shown
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import told_warnings
from ansible_collections.homeport.django.plugins.module_utils.host.release.source import Source
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack, Switch
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import missing, refused
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import SOCKET, Supervisor
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of

BOOLEANS_TRUE, BOOLEANS_FALSE = ("true", "yes", "1", "on"), ("", "false", "no", "0", "off")


class Step:
    """One phase of a run for one app."""

    def __init__(self, module: Module, layout: Layout, lock: Lock | None) -> None:
        self.module = module
        self.layout = layout
        self.lock = lock
        self.dry = lock is None
        self.release = ""  # what this run wants to be live

    def build(self) -> dict[str, Any]:
        """The newest wanted release, built if need be; pending unless it is live on every process."""
        layout = self.layout
        if not os.path.isdir(layout.releases):  # check mode on a bare host
            return {"pending": True, "changed": True, "action": "first release"}
        revision = Source(layout, Runner(layout)).revision()
        mark = fingerprint(layout, revision)
        live = layout.record(layout.current)
        result: dict[str, Any] = {"pending": True, "changed": True, "revision": revision}
        if layout.current and live.get("fingerprint") == mark and not self.replanned():
            settled = os.path.exists(SOCKET) and Switch(layout, Supervisor()).is_settled()
            self.choose(layout.current, done=settled)
            if settled:
                visit = layout.spec["visit"]
                asks = visit and not self.dry and (visit["first"] or layout.has_followed())
                problem = problem_of(visit, layout.home) if asks else ""
                answer = {"visit": problem, "unasked": bool(visit) and not asks}
                return {**result, "pending": False, "changed": False, "action": "none", **answer}
            return {**result, "action": "finish"}
        result["live"] = live.get("revision", "")
        self.check_logins(layout.config)
        ready = [path for path in layout.known_releases() if layout.record(path).get("fingerprint") == mark]
        if ready and not self.replanned():
            name = os.path.basename(ready[-1])
            left = release_history.gone_back_from(layout.name, name)
            if self.planning:
                result["plan"] = {"live": live.get("id", ""), "kept": name, "left": left}
            if left and not self.dry and not self.module.params["again"]:
                raise DeployError(
                    f"{name} was gone back from ({left['time']}, {left['by']}), and is what would go live again: "
                    "nothing of its code and settings has changed since. -e again=true puts it live"
                )
            self.choose(ready[-1])
            return {**result, "action": "put live", "release": name}
        upload = self.module.params["uploads"].get(layout.name)
        if "digest" in layout.spec["source"] and not upload and (self.planning or not self.dry):
            return {**result, "action": "build", "wanting": True}
        if self.dry:
            if self.planning:
                result["plan"] = Plan(layout, revision, mark, upload).show()
            return {**result, "action": "build"}
        record = Build(layout, revision, mark, upload).run()
        self.choose(f"{layout.releases}/{record['id']}")
        warnings = told_warnings(record["warnings"], layout.spec["site_url"])
        if warnings:
            self.module.warn(f"{layout.name}: manage.py check --deploy: {'; '.join(warnings)}")
        return {**result, "action": "build", "release": record["id"], "seconds": record["seconds"]}

    def check_logins(self, config: str) -> None:
        """Raises when a service refuses the password that a release with this configuration would come with."""
        if self.dry:
            return
        current = self.layout.current
        known = exports(f"{current}/config/env") if current else {}
        refusals = refused(exports(f"{config}/env"), known)
        if refusals:
            told = "\n".join(refusals)
            raise DeployError(
                f"its services do not let this release in:\n{told}\nIt is the setup playbook that tells the services "
                "of a new password, not deploy alone; a release from before may have one that is good no more "
                "(docs/secrets.md)"
            )

    def check_services(self, release: str) -> None:
        """Raises when an earlier release needs a service that is not there any more."""
        live = exports(f"{self.layout.current}/config/env")
        found = missing(exports(f"{release}/config/env"), live)
        if found:
            told = ", ".join(f"its {service} ({place})" for service, place in found.items())
            raise DeployError(
                f"{os.path.basename(release)} uses what is not there any more: {told}. Declare it again and run the "
                "setup playbook first, or go back to another release (-e to=NAME)"
            )

    @property
    def planning(self) -> bool:
        return self.dry and self.module._diff and self.module.params["phase"] == "build"

    def replanned(self) -> bool:
        """Whether a plan finds settings changed that check mode has not written."""
        return self.planning and bool(Plan(self.layout, "", "", None).settings_changed())

    def choose(self, release: str, done: bool = False) -> None:
        self.release = release
        if self.lock:
            self.layout.point(self.layout.next_link, release)
            if done:
                self.lock.finish()

    def chosen(self) -> str:
        """The release that the build phase chose."""
        release = self.layout.resolve_link(self.layout.next_link)
        if not release:
            raise DeployError("there is no release to go on with; run the build phase first")
        self.release = release
        return release

    def migrate(self) -> dict[str, Any]:
        release = self.chosen()
        done = self.migrated(release)
        if release != self.layout.current and self.layout.spec["hooks"]["after_migrate"]:
            run_hooks(self.layout, release, "after_migrate")
            done["changed"] = True
        return done

    def migrated(self, release: str) -> dict[str, Any]:
        if not self.layout.spec["migrate"]["run"]:
            return {"changed": False, "action": "none"}
        database = Database(self.layout, release)
        found = database.migrate(self.layout.current or "", self.module.params["allow_unsafe_migrations"])
        for name, notes in found.get("notes", {}).items():
            self.module.warn(f"{self.layout.name}: {name}: {'; '.join(notes)}")
        if self.lock:
            self.lock.memo["migrations"] = found["applied"]
        return {"changed": bool(found["applied"]), "action": "migrate", **found}

    def activate(self) -> dict[str, Any]:
        release = self.chosen()
        seconds = Switch(self.layout, Supervisor(), interruption.hold).activate(release)
        return {"changed": True, "action": "live", "release": os.path.basename(release), "seconds": seconds}

    def rollback(self) -> dict[str, Any]:
        layout, wanted, restore = self.layout, self.module.params["to"], self.module.params["restore"]
        restore = "" if restore.lower() in BOOLEANS_FALSE else restore
        known = {os.path.basename(path): path for path in layout.known_releases()}
        if wanted and wanted not in known:
            raise DeployError(f"there is no release {wanted}; kept are {', '.join(known) or 'none'}")
        target = known[wanted] if wanted else layout.resolve_link(f"{layout.home}/previous")
        if not target or not layout.current:
            raise DeployError("there is no earlier release to go back to")
        program = str(layout.record(target).get("interpreter", ""))
        if is_gone(program):
            raise DeployError(
                f"{os.path.basename(target)} was built for {program}, which this host does not have any more"
            )
        if target == layout.current and not restore:
            raise DeployError(f"{os.path.basename(target)} is the live release already; name another with to")
        name = os.path.basename(target)
        result: dict[str, Any] = {"changed": True, "action": "rollback", "release": name}
        between = migrations_between(layout, layout.current, target)
        if between and not restore:
            self.module.warn(
                f"{layout.name}: {name} does not know these migrations, which stay applied: "
                f"{', '.join(between)}. Where it cannot live with them, roll back with -e restore=true, which puts "
                "back the dump from before them"
            )
        chosen = "" if restore.lower() in BOOLEANS_TRUE else restore
        self.check_services(target)
        self.check_logins(f"{target}/config")
        dump = dump_before(layout, name, chosen) if restore else None
        if dump:
            result["restored"] = {key: dump[key] for key in ("release", "time", "migrations")}
        if not self.dry:
            self.choose(target)
            switch = Switch(layout, Supervisor(), interruption.hold)
            result["seconds"] = self.go_back(switch, dump) if dump else switch.activate(target)
        return result

    def go_back(self, switch: Switch, dump: dict[str, Any]) -> dict[str, Any]:
        """Switches with the database as ``dump`` has it; what the database holds now is kept, too."""
        layout = self.layout
        database = Database(layout, layout.current or "")
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        with switch.paused():
            found = {**database.ask(), "pending": dump["migrations"]}
            kept = database.dump(found, f"{stamp}-restore", "")
            self.module.warn(
                f"{layout.name}: the database goes back to {dump['time']}; what it held until now is kept in {kept}"
            )
            with interruption.held_off():  # the database and the code go back together
                database.restore(dump["path"])
                try:
                    return switch.activate(self.release)
                except DeployError:
                    database.restore(kept)
                    raise


CONSEQUENCE = "The release that was live before goes on serving unless the message says otherwise."
OUTCOMES = ((Held, "held"), (RolledBack, "rolled back"))


class Run:
    """One phase for all apps of the host, or all three after each other."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.phase: str = module.params["phase"]
        self.goes_through: bool = module.params["through"] and self.phase == "build" and not module.check_mode
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.locked: dict[str, str] = {}
        self.dry = module.check_mode

    def run(self) -> None:
        params = self.module.params
        if self.module.check_mode and self.phase not in ("build", "rollback"):
            return
        self.each(params["only"] or [spec["name"] for spec in params["apps"]])
        for phase in ("migrate", "activate") if self.goes_through else ():
            self.phase = phase
            self.each(
                [
                    name
                    for name, found in self.results.items()
                    if found.get("pending") and not found.get("wanting") and name not in self.failed
                ]
            )

        self.visit()

    def visit(self) -> None:
        """Asks the apps that went live for their pages; a first release's web server comes after it."""
        for spec in self.module.params["apps"]:
            line, visit = self.outcomes.get(spec["name"], {}), spec.get("visit")
            if line.get("outcome") == "live" and line["before"] and visit:
                self.results[spec["name"]]["visit"] = problem_of(visit, spec["home"])

    def each(self, names: list[str]) -> None:
        params = self.module.params
        for spec in params["apps"]:
            if spec["name"] in names:
                self.handle(Layout(spec, params["secrets"].get(spec["name"])))

    def keep(self, name: str, found: dict[str, Any]) -> None:
        """Adds what a phase has done to what those before it have."""
        before = self.results.get(name, {})
        whole = {**before, **found, "changed": found["changed"] or before.get("changed", False)}
        if "seconds" in before and "seconds" in found:
            whole["seconds"] = {**before["seconds"], **found["seconds"]}
        self.results[name] = whole

    def handle(self, layout: Layout) -> None:
        try:
            if self.dry or not os.path.isdir(layout.home):
                step = Step(self.module, layout, None)
                self.keep(layout.name, getattr(step, self.phase)())
                return
            params = self.module.params
            words = layout, params["run"], params["holder"], tuple(params["dead_runs"]), params["unlock"]
            # a restore is never ended: the database would be neither the one nor the other
            with Lock(*words, ends=not params["restore"]) as lock, interruption.step():
                self.locked_step(layout, lock)
        except Locked as error:
            self.locked[layout.name] = error.run
            self.failed[layout.name] = str(error)
        except DeployError as error:
            self.failed[layout.name] = str(error)
        except Exception as error:  # whatever an app brings about concerns no other app
            self.module.debug(traceback.format_exc())
            self.failed[layout.name] = f"{type(error).__name__}: {error}"

    def locked_step(self, layout: Layout, lock: Lock) -> None:
        """The step, and the line in the app's record where it ends the run for the app."""
        before = layout.current or ""
        if layout.name in self.module.params["failed"]:
            lock.finish()
            return
        step = Step(self.module, layout, lock)
        try:
            self.keep(layout.name, getattr(step, self.phase)())
        except Exception as error:
            outcome = next((name for kind, name in OUTCOMES if isinstance(error, kind)), "failed")
            self.write_down(step, lock, before, outcome, str(error))
            raise
        if self.phase in ("activate", "rollback"):
            lock.finish()
            self.write_down(step, lock, before, "live", "")
            self.results[layout.name]["pending"] = False

    def write_down(self, step: Step, lock: Lock, before: str, outcome: str, message: str) -> None:
        record, earlier = step.layout.record(step.release), step.layout.record(before)
        line = release_history.append(
            step.layout.name,
            {
                "verb": "rollback" if self.phase == "rollback" else "deploy",
                "outcome": outcome,
                "step": self.phase,
                "release": os.path.basename(step.release),
                "before": os.path.basename(before),
                "revision": record.get("revision", ""),
                "revision_before": earlier.get("revision", ""),
                "subject": record.get("subject", ""),
                "by": self.module.params["holder"],
                "seconds": round(time.time() - lock.started, 1),
                "migrations": lock.memo.get("migrations", []),
                "message": message,
            },
        )
        self.outcomes[step.layout.name] = {**line, "message": message.partition("\n")[0]}


PHASES = ("build", "migrate", "activate", "rollback")


def main() -> None:
    module = Module(
        argument_spec={
            "phase": {"type": "str", "choices": list(PHASES), "required": True},
            "apps": {"type": "list", "elements": "dict", "required": True},
            "through": {"type": "bool", "default": False},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "only": {"type": "list", "elements": "str", "default": []},
            "failed": {"type": "dict", "default": {}},
            "allow_unsafe_migrations": {"type": "bool", "default": False},
            "to": {"type": "str", "default": ""},
            "restore": {"type": "str", "default": ""},
            "again": {"type": "bool", "default": False},
            "unlock": {"type": "bool", "default": False},
            "holder": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "dead_runs": {"type": "list", "elements": "str", "default": []},
            "base": {"type": "str", "default": ""},
            "uploads": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    run = Run(module)
    interruption.watch()
    try:
        run.run()
    except Interrupted:
        with contextlib.suppress(OSError):  # where nobody is there to be told
            module.fail_json(
                msg="this step was ended, by another run with -e unlock=true or with its own run"
            )
        sys.exit(1)
    interruption.unwatch()
    if run.goes_through:
        for name in run.failed:
            run.results.get(name, {}).pop("pending", None)  # nobody goes on with it
    pending = sorted(name for name, found in run.results.items() if found.get("pending"))
    wanting = sorted(name for name, found in run.results.items() if found.pop("wanting", False))
    result: dict[str, Any] = {
        "changed": any(found["changed"] for found in run.results.values()),
        "pending": pending,
        "wanting": wanting,
        "releases": run.results,
        "failed_apps": run.failed,
        "outcomes": run.outcomes,
        "locked": run.locked,
    }
    plans = {name: found.pop("plan") for name, found in run.results.items() if "plan" in found}
    if plans:
        result["diff"] = [{"prepared": shown(name, plan)} for name, plan in plans.items()]
    result["unasked"] = sorted(name for name, found in run.results.items() if found.pop("unasked", False))
    result["visits"] = {name: found.pop("visit") for name, found in run.results.items() if "visit" in found}
    if run.phase == "rollback" and run.failed:
        told = [f"{name}: {message}" for name, message in run.failed.items()]
        module.fail_json(msg="\n\n".join([*told, CONSEQUENCE]), **result)
    # What has failed for one app is told at the end (the module verdict), and concerns no other app.
    for name, message in run.failed.items():
        module.warn(f"{name}: {message.partition(chr(10))[0]}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
