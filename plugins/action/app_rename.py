# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Decides for all hosts together which apps are renamed, and shows the operator what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest
from ansible_collections.homeport.django.plugins.plugin_utils.operator import operator
from ansible_collections.homeport.django.plugins.plugin_utils.origin import place

Found = Mapping[str, Mapping[str, Any]]  # by host
Renames = Mapping[str, Mapping[str, Any]]  # of one app, by host

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        if arguments["phase"] != "judge":
            sent = {**arguments, "holder": operator()}
            result.update(
                self._execute_module(
                    module_name="homeport.django.app_rename", module_args=sent, task_vars=task_vars
                )
            )
            return result
        apps, found, missing = arguments["apps"], arguments["found"], arguments.get("missing") or []
        told = objections(apps, found, missing)
        if told:
            lines = [f"- {problem}{place(problem, task_vars)}" for problem in told]
            raise AnsibleActionFail("\n".join(["Nothing was changed:", *lines]))
        go = [app for app in apps if any(each["old"] for each in of_app(app, found).values())]
        for app in go:
            display.display("\n".join(described(app, of_app(app, found), self._task.check_mode)))
        return {**result, "changed": False, "go": go}


def of_app(app: Mapping[str, Any], found: Found) -> dict[str, Mapping[str, Any]]:
    return {host: entry["renames"][app["was"]] for host, entry in found.items()}


def objections(apps: Sequence[Mapping[str, Any]], found: Found, missing: list[str]) -> list[str]:
    """Why apps cannot be renamed: a line for each reason."""
    told = [problem for app in apps for problem in of_one(app, found, missing)]
    names = dict.fromkeys(app["name"] for app in apps)
    # on hosts without any app, which are made anew, was only says what secrets are derived from
    others = [] if missing else sorted({other for entry in found.values() for other in entry["apps"]})
    for name in names if others else ():
        earlier = [app for app in apps if app["name"] == name]
        if not any(each["old"] or each["new"] for app in earlier for each in of_app(app, found).values()):
            was = " nor ".join(app["was"] for app in earlier)
            problem = f"django_apps.{name}.was: neither {was} nor {name} is on {', '.join(found)}"
            hint = next(filter(None, (closest(app["was"], others) for app in earlier)), "")
            if hint:
                told.append(f"{problem}{hint}; name the app as it was called there")
            else:
                display.warning(f"{problem}: a new app is made, with secrets derived from {was}")
    return told


def of_one(app: Mapping[str, Any], found: Found, missing: list[str]) -> list[str]:
    name, was = app["name"], app["was"]
    path, mine = f"django_apps.{name}.was", of_app(app, found)
    both = [f"{host} ({', '.join(each['both'])})" for host, each in mine.items() if each["both"]]
    if both:
        return [
            f"{path}: both {was} and {name} are on {', '.join(both)}: remove the one that is not wanted "
            f"(remove_app.yml -e app={name}, which makes a last dump), or leave was out"
        ]
    if not any(each["old"] for each in mine.values()):
        return []
    if missing:
        return [
            f"{path}: {was} is renamed on all its hosts at once, and the run leaves out {', '.join(missing)}; "
            "run it without --limit"
        ]
    kept = sorted({database for each in mine.values() for database in each["databases"]})
    if kept and app["database"] not in kept and not (app["database"] == name and was in kept):
        return [
            f"django_apps.{name}.database.name: {app['database']} would be a new database, and {was} has "
            f"{', '.join(kept)}; set name to {kept[0]}"
        ]
    return []


def described(app: Mapping[str, Any], mine: Renames, check_mode: bool) -> list[str]:
    would = "would be" if check_mode else "is"
    lines = [
        f"{app['was']} {would} renamed to {app['name']}. Visitors get the maintenance page until its release is live."
    ]
    lines += [
        f"  {host}: {', '.join(thing if thing[0] == '/' else f'{kind} {thing}' for kind, thing in each['old'].items())}"
        for host, each in mine.items()
        if each["old"]
    ]
    return lines
