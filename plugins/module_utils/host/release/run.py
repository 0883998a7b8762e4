# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One phase of a deploy, all of them, or a rollback, for all apps of a host."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import Deploy, Request
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Locked
from ansible_collections.homeport.django.plugins.module_utils.host.release.rollback import (
    Rollback,
    Withdrawal,
)
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of

VERBS: dict[str, type[Deploy]] = {"rollback": Rollback, "withdraw": Withdrawal}


class Run:
    """What came of it for each app."""

    def __init__(self, request: Request, debug: Callable[[str], None]) -> None:
        self.request = request
        self.debug = debug
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.locked: dict[str, str] = {}

    def handle(
        self, apps: list[dict[str, Any]], only: list[str], secrets: Mapping[str, dict[str, Any]]
    ) -> None:
        if self.request.dry and self.request.phase not in ("build", "rollback"):
            return
        names = only or [spec["name"] for spec in apps]
        if self.request.phase == "build":  # what an app cannot be built from was found before
            self.failed = {name: reason for name, reason in self.request.failed.items() if name in names}
            names = [name for name in names if name not in self.failed]
        self.handle_phase(apps, names, secrets)
        if self.request.through and self.request.phase == "build" and not self.request.dry:
            for phase in ("migrate", "activate"):
                self.request = replace(self.request, phase=phase)
                self.handle_phase(apps, [name for name in names if self.goes_on(name)], secrets)
            for name in self.failed:
                self.results.get(name, {}).pop("pending", None)  # no later step takes it up
        self.visit(apps)

    def goes_on(self, name: str) -> bool:
        found = self.results.get(name, {})
        return bool(found.get("pending") and not found.get("wanting") and name not in self.failed)

    def handle_phase(
        self, apps: list[dict[str, Any]], names: Sequence[str], secrets: Mapping[str, dict[str, Any]]
    ) -> None:
        for spec in apps:
            if spec["name"] in names:
                self.handle_app(Layout(spec, secrets.get(spec["name"])))

    def visit(self, apps: list[dict[str, Any]]) -> None:
        """Asks the apps that went live for their pages; the web server of a first release comes after it."""
        for spec in apps:
            line, visit = self.outcomes.get(spec["name"], {}), spec.get("visit")
            if line.get("outcome") == "live" and line["before"] and visit:
                self.results[spec["name"]]["visit"] = problem_of(visit, spec["home"])

    def keep(self, name: str, found: Mapping[str, Any]) -> None:
        """Adds what a phase has done to what those before it have."""
        before = self.results.get(name, {})
        whole = {**before, **found, "changed": found["changed"] or before.get("changed", False)}
        if "seconds" in before and "seconds" in found:
            whole["seconds"] = {**before["seconds"], **found["seconds"]}
        self.results[name] = whole

    def handle_app(self, layout: Layout) -> None:
        """What fails for an app concerns no other app."""
        name = layout.name
        deploy = VERBS.get(self.request.phase, Deploy)(self.request, layout)
        try:
            deploy.work()
        except Locked as error:
            self.locked[name] = error.run
            self.failed[name] = str(error)
        except DeployError as error:
            self.failed[name] = str(error)
        except Exception as error:
            self.debug(traceback.format_exc())
            self.failed[name] = f"{type(error).__name__}: {error}"
        else:
            if deploy.result:
                self.keep(name, deploy.result)
        if deploy.outcome:
            self.outcomes[name] = deploy.outcome
            if deploy.outcome["outcome"] == "live":
                self.results[name]["pending"] = False
