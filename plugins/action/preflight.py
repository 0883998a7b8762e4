# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Checks everything that can be known on the controller, before any host is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.homeport.django.plugins.filter.apps import SERVED, plain
from ansible_collections.homeport.django.plugins.module_utils.app.check import parse
from ansible_collections.homeport.django.plugins.module_utils.app.local_files import local_files
from ansible_collections.homeport.django.plugins.module_utils.app.services import unencrypted
from ansible_collections.homeport.django.plugins.module_utils.app.shell_syntax import shell_syntax
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems
from ansible_collections.homeport.django.plugins.module_utils.validation.values import Timestamp
from ansible_collections.homeport.django.plugins.module_utils.wiring.authority import (
    AUTHORITY,
    AUTHORITY_KEY,
    unfit_authority,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.inputs import ROLES, input_problems
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import (
    certificates,
    nameless,
    topology,
)
from ansible_collections.homeport.django.plugins.plugin_utils.command_line import (
    REMOVED_IN,
    deprecations,
    left_out,
    no_inventory,
    unread,
    useless_tags,
)
from ansible_collections.homeport.django.plugins.plugin_utils.host_variables import known_variables
from ansible_collections.homeport.django.plugins.plugin_utils.origin import exposed_secrets, place

# What a run does not do where --limit leaves out all hosts of a group.
LEFT = {
    "app_servers": "no app is deployed, and none is asked for its pages",
    "worker_servers": "workers and schedules go on with the release that they have",
}


class ActionModule(ActionBase):
    """Arguments: setup, base, deploys and several_apps. Everything else is read from the variables of the inventory."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        base = str(self._task.args.get("base") or task_vars.get("inventory_dir") or os.getcwd())
        typed = load_extra_vars(self._loader)
        for message in deprecations(typed):
            self._display.deprecated(message, version=REMOVED_IN, collection_name="homeport.django")
        told = unread_variables(task_vars, base)
        if str(task_vars.get("restart", "later")) not in ("now", "later"):
            told.append("restart: is now or later (-e restart=now)")
        told += typed_times(typed)
        told += useless_tags(context.CLIARGS.get("tags") or [], self._task.tags)
        told += self._limited(task_vars)
        if boolean(self._task.args.get("definitions", True)):
            told += self._definitions(task_vars, base)
        if told:
            lines = [f"- {problem}" for problem in told]
            count = "1 problem" if len(told) == 1 else f"{len(told)} problems"
            text = "\n".join([f"{count} found before anything was changed on any host:", *lines])
            result.update(failed=True, msg=text)
        return result

    def _limited(self, task_vars: dict[str, Any]) -> list[str]:
        """Refuses what --limit would make a run do nothing of; of a run that does a part the rest is named."""
        if not context.CLIARGS.get("subset") or boolean(self._task.args.get("reads", False)):
            return []
        groups, hosts = task_vars.get("groups") or {}, task_vars.get("ansible_play_hosts_all") or []
        needs = self._task.args.get("needs") or []
        if needs:
            found = left_out(groups, hosts, needs)
            if found or all("[" in need for need in needs):
                return [f"--limit: leaves out {name}, without which there is nothing to do" for name in found]
        # what needs the apps' hosts does nothing on the others
        others = [name for name in (LEFT if needs else SERVED) if name not in needs]
        for name in left_out(groups, hosts, others):
            what = LEFT.get(name.partition(" ")[0], "what the apps need there is as it was")
            self._display.warning(f"--limit leaves out {name}: {what}")
        return []

    def _definitions(self, task_vars: dict[str, Any], base: str) -> list[str]:
        """What is wrong with the apps and what they need, with the place."""
        setup = str(self._task.args.get("setup", "site"))
        reads = boolean(self._task.args.get("reads", False))
        values, undefined = {}, list[str]()
        secrets = "vault_django_apps", "homeport_secret", "homeport_secret_previous"
        for name in ("django_apps", *secrets, AUTHORITY, AUTHORITY_KEY):
            try:
                values[name] = plain(self._templar.template(task_vars.get(name)))
            except AnsibleError as error:
                found = unrendered(task_vars[name], name, self._templar)
                undefined += found or [f"{name}: {error.message}"]
        if undefined:
            return [f"{problem}{place(problem, task_vars)}" for problem in undefined]
        problems: list[str] = []
        told: list[str] = []  # with the place
        apps = values["django_apps"]
        if apps is None:
            nowhere = no_inventory(task_vars.get("groups") or {}, "app_servers")
            if nowhere:
                return [nowhere]
            apps = {}
            problems.append(
                "django_apps: is not set; describe your apps in group_vars/all/apps.yml beside the inventory"
            )
        previous = () if values["homeport_secret_previous"] is None else values["homeport_secret_previous"]
        # whatever the servers have, on the operator's machine it is SQLite and runserver
        checked_for = "site" if setup == "local" else setup
        parsed = parse(apps, values["vault_django_apps"], values["homeport_secret"], checked_for, previous)
        problems += parsed.problems
        if setup != "local" and not reads:
            groups, hosts = task_vars.get("groups", {}), task_vars.get("hostvars", {})
            problems += topology(parsed, groups, setup)
            problems += nameless(groups, hosts)
            settings = {
                name: str(plain(self._templar.template(task_vars.get(name, ""))) or "")
                for name in ("certificates_email", "certificates_dns_server", "certificates_dns_auth_hook")
            }
            problems += certificates(parsed, settings, groups, setup)
        if setup != "local":
            problems += unfit_authority(values[AUTHORITY], values[AUTHORITY_KEY])
            told += inputs(task_vars, self._templar, parsed.apps)
        deploys = boolean(self._task.args.get("deploys", True)) and not reads
        if deploys:
            problems += local_files(parsed, base)
            problems += shell_syntax(parsed.apps)
            if not problems:
                for warning in unencrypted(parsed.apps, parsed.secrets):
                    self._display.warning(f"{warning}{place(warning, task_vars)}")
        if deploys or reads:
            chosen = plain(self._templar.template(task_vars.get("app")))
            several = boolean(self._task.args.get("several_apps", False))
            problems += unknown_apps(chosen, apps, several, restored="as" in task_vars)
        for path in exposed_secrets(task_vars):
            self._display.warning(
                f"{path} holds secrets in plain text and is not ignored by git: ansible-vault encrypt {path}"
            )
        return [f"{problem}{place(problem, task_vars)}" for problem in problems] + told


def unrendered(value: Any, path: str, templar: Any) -> list[str]:
    """Each template in a variable that cannot be rendered, and why."""
    if isinstance(value, Mapping):
        return [line for key in value for line in unrendered(value[key], f"{path}.{key}", templar)]
    if isinstance(value, list):
        return [
            line for index, item in enumerate(value) for line in unrendered(item, f"{path}[{index}]", templar)
        ]
    try:
        templar.template(value)
    except AnsibleError as error:
        return [f"{path}: {error.message}"]
    return []


def inputs(variables: Mapping[str, Any], templar: Any, apps: Mapping[str, Any]) -> list[str]:
    """What is wrong with the variables of the roles on any of the hosts of the play; each problem once."""
    return list(
        dict.fromkeys(
            f"{problem}{place(problem, host)}"
            for known, host in known_variables(variables, ROLES, templar)
            for problem in input_problems(known, apps)
        )
    )


def typed_times(typed: Mapping[str, Any]) -> list[str]:
    """What is wrong with the points in time that are typed after -e."""
    problems = Problems()
    for name in ("target_time", "point"):
        text = str(typed.get(name) or "")
        if "{{" not in text:
            Timestamp().check(text, name, problems)
    return problems


def unread_variables(variables: Mapping[str, Any], base: str) -> list[str]:
    """Variables that were typed after -e and do nothing."""
    hosts: Any = variables.get("hostvars") or {}
    known = [hosts.raw_get(host) for host in hosts]
    return unread(known, [str(variables.get("inventory_dir") or base), base], ROLES)


def unknown_apps(chosen: Any, apps: Any, several: bool, restored: bool = False) -> list[str]:
    """What is wrong with the apps that `-e app=` names. A backup is restored (`-e as=`) that was made under an earlier
    name, too."""
    if chosen is None or not isinstance(apps, Mapping):
        return []
    known = [str(name) for name in apps]
    now = {was: name for name, app in apps.items() if isinstance(app, Mapping) for was in earlier_names(app)}
    if not several:
        names = [chosen]
    elif isinstance(chosen, str):
        names = [] if chosen == "all" else [name.strip() for name in chosen.split(",")]
    elif isinstance(chosen, (list, tuple)) and chosen:
        names = list(chosen)
    else:
        return ["app: must be the name of an app, several with commas between them, or all"]
    return [
        f"app: there is no {printable(name)} in django_apps"
        + (f"; it is called {now[str(name)]} now" if str(name) in now else closest(str(name), known))
        for name in names
        if name not in known and not (restored and str(name) in now)
    ]


def earlier_names(app: Mapping[str, Any]) -> list[str]:
    was = app.get("was") or []
    return [str(name) for name in (was if isinstance(was, (list, tuple)) else [was])]
