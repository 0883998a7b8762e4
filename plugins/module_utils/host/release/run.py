# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One phase of a deploy, or a rollback, for all apps of a host."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import Deploy, Request
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Locked
from ansible_collections.homeport.django.plugins.module_utils.host.release.rollback import Rollback


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
        for spec in apps:
            if not only or spec["name"] in only:
                self.handle_app(Layout(spec, secrets.get(spec["name"])))

    def handle_app(self, layout: Layout) -> None:
        """What fails for an app concerns no other app."""
        name = layout.name
        deploy = (Rollback if self.request.phase == "rollback" else Deploy)(self.request, layout)
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
                self.results[name] = deploy.result
        if deploy.outcome:
            self.outcomes[name] = deploy.outcome
