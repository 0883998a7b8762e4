# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a deploy would change: the new release is prepared next to the others, compared, and removed again."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.derive import digests
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    remove,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project
from ansible_collections.homeport.django.plugins.module_utils.host.release.build import Build
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Databases
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import actionable

MOST_LINES = 15  # of any list; the rest is counted

Change = dict[str, Any]


class Plan:
    """The difference between the live release of an app and the one that is wanted."""

    def __init__(self, layout: Layout, revision: str, mark: str, upload: str | None) -> None:
        self.layout = layout
        self.revision = revision
        self.mark = mark
        self.upload = upload
        self.live = layout.current or ""

    def show(self) -> Change:
        """Everything that can be told without touching what is live. Build commands and hooks do not run."""
        record = self.layout.record(self.live)
        plan: Change = {
            "live": record.get("id", ""),
            "revision": [record.get("revision", ""), self.revision],
            "settings": self.settings_changed(),
            "processes": self.processes_changed(),
        }
        build = Build(self.layout, self.revision, self.mark, self.upload)
        build.folder = f"{self.layout.releases}/plan-{build.id}"
        try:
            build.check_space()
            build.fetch_code()
            _project, answer = build.prepare(plan=True)
            build.borrow_databases(answer)
            plan["files"] = self.files_changed(build) if self.live else {}
            plan["commits"] = self.commits(record.get("revision", ""))
            plan["packages"] = changed(record.get("packages", {}), answer["packages"])
            plan["warnings"] = actionable(answer["warnings"], self.layout.spec["site_url"])
            plan["doubts"] = build.doubts(answer)
            if self.layout.spec["migrate"]["run"]:
                plan["migrations"] = Databases(
                    self.layout, build.folder, bool(answer["default"]["vendor"])
                ).look(bool(self.live))
        except DeployError as error:
            # it may need the build commands, or a database that is not there yet
            plan["problem"] = str(error)
        finally:
            remove(build.folder, strict=False)
        return plan

    def files_changed(self, build: Build) -> Change:
        folders = f"{self.live}/src", f"{build.folder}/src"
        found = build.runner.as_app("Comparing the files", app_project.files_changed, *folders)
        return {kind: [str(name) for name in found[kind]] for kind in SIGNS if kind in found}

    def commits(self, before: str) -> list[str]:
        source = Build(self.layout, self.revision, self.mark, None).code
        if "git" not in source.spec or not before or before == self.revision:
            return []
        return source.commits(before, self.revision)

    def settings_changed(self) -> Change:
        """Names of the environment variables that differ; values may be secrets."""
        wanted = self.layout.planned.get("environment")
        if wanted is None or not self.live:
            return {}
        return changed(digests(exports(f"{self.live}/config/env")), wanted, values=False)

    def processes_changed(self) -> Change:
        """Names of the processes and schedules whose commands or variables differ."""
        wanted = self.layout.planned.get("processes")
        if wanted is None or not self.live:
            return {}
        folder = f"{self.live}/config/processes"
        found = {}
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            with open(f"{folder}/{name}", encoding="utf-8") as stream:
                found[name] = stream.read()
        return changed(digests(found), wanted, values=False)


def changed(before: dict[str, str], after: dict[str, str], values: bool = True) -> Change:
    """What two dictionaries differ in; empty when in nothing."""
    found: Change = {
        "added": sorted(set(after) - set(before)),
        "removed": sorted(set(before) - set(after)),
        "changed": sorted(name for name in set(before) & set(after) if before[name] != after[name]),
    }
    if values:
        found["added"] = {name: after[name] for name in found["added"]}
        found["removed"] = {name: before[name] for name in found["removed"]}
        found["changed"] = {name: [before[name], after[name]] for name in found["changed"]}
    return {kind: names for kind, names in found.items() if names}


SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def shown(name: str, plan: Change) -> str:
    """A plan as text."""
    title = f"a new release after {plan['live']}" if plan["live"] else "the first release"
    if "kept" in plan:
        title = f"{plan['kept']}, which is kept, after {plan['live']}"
    left = plan.get("left")
    sections = {
        "rolled back": [f"{left['time']} by {left['by']}: -e again=true makes it live again"] if left else [],
        "code": revision_lines(plan),
        "packages": change_lines(plan.get("packages", {}), " "),
        "migrations": migration_lines(plan.get("migrations", {})),
        "settings": change_lines(plan.get("settings", {}), ""),
        "processes": change_lines(plan.get("processes", {}), ""),
        "check --deploy": plan.get("warnings", []),
        "warnings": plan.get("doubts", []),
        "not known": plan.get("problem", "").splitlines(),
    }
    out = [f"{name}: {title}"]
    for section, lines in sections.items():
        for number, line in enumerate(cut(lines)):
            out.append(f"  {section if not number else '':<15} {line}")
    return "\n".join(out) + "\n"


def cut(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"and {more} more"]


def revision_lines(plan: Change) -> list[str]:
    before, after = plan.get("revision", ("", ""))
    lines = []
    if before != after:
        lines.append(f"{before[:19] or 'nothing'} -> {after[:19]}")
    lines += plan.get("commits", [])
    return lines + change_lines(plan.get("files", {}), " ")


def change_lines(change: Change, between: str) -> list[str]:
    lines = []
    for kind, names in change.items():
        for name in names:
            detail = names[name] if isinstance(names, dict) else ""
            detail = " -> ".join(detail) if isinstance(detail, list) else detail
            lines.append(f"{SIGNS[kind]} {name}{between}{detail}".rstrip())
    return lines


def migration_lines(found: Change) -> list[str]:
    lines = []
    for name in found.get("pending", []):
        lines.append(f"+ {name}")
        lines += [f"    held until allowed: {reason}" for reason in found["unsafe"].get(name, [])]
        lines += [f"    note: {note}" for note in found["notes"].get(name, [])]
    return lines
