# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Shows the operator what removing an app means, asks, and says afterwards what is left to do."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME, RESERVED_NAMES
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LAST_DUMPS
from ansible_collections.homeport.django.plugins.module_utils.common.removal import is_there
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import size
from ansible_collections.homeport.django.plugins.plugin_utils.operator import confirmed, operator
from ansible_collections.homeport.django.plugins.plugin_utils.origin import place
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import has_ended, this_run

MODULE = "homeport.django.app_removal"
Found = Mapping[str, Mapping[str, Any]]

display = Display()


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = plain(dict(self._task.args))
        declared = [str(name) for name in self._templar.template(task_vars.get("django_apps")) or {}]
        app = checked(arguments.get("app"), declared)
        phase = arguments["phase"]
        if phase == "ask":
            # one name for the dump on all hosts
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            go = self._ask(app, declared, {**arguments, "stamp": stamp})
            return {**result, "changed": False, "go": go, "stamp": stamp}
        if phase == "report":
            told = closing(
                app, arguments["found"], place(f"django_apps.{app}", task_vars) if app in declared else None
            )
            display.display("\n".join(told))
            return {**result, "changed": False}
        sent = {**arguments, "holder": operator(), "run": this_run()}
        answer = self._execute_module(module_name=MODULE, module_args=sent, task_vars=task_vars)
        if has_ended(answer.get("locked", "")):
            sent["dead_runs"] = [answer["locked"]]
            answer = self._execute_module(module_name=MODULE, module_args=sent, task_vars=task_vars)
        result.update(answer)
        return result

    def _ask(self, app: str, declared: list[str], arguments: Mapping[str, Any]) -> bool:
        found = arguments["found"]
        if app not in declared and not known(found):
            raise AnsibleActionFail(
                f"app: there is no {printable(app)} in django_apps, and nothing of it on "
                f"{', '.join(found)}{closest(app, declared)}; nothing was changed"
            )
        dump = f"{LAST_DUMPS}/{app}-{arguments['stamp']}" if boolean(arguments["dump"]) else ""
        display.display("\n".join(described(app, found, arguments.get("missing") or [], dump)))
        if not any(is_there(entry) for entry in found.values()):
            return False
        if not self._task.check_mode:
            confirmed(app, str(arguments.get("confirm") or ""), "the app's name", "remove all of this")
        return True


def checked(app: Any, declared: list[str]) -> str:
    name = str(app or "")
    if not name:
        raise AnsibleActionFail(f"Say which app: -e app=NAME, one of {', '.join(declared) or 'none'}")
    if not re.fullmatch(APP_NAME, name) or name in RESERVED_NAMES:
        raise AnsibleActionFail(
            f"app: {printable(name)} cannot be the name of an app{closest(name, declared)}"
        )
    return name


def known(found: Found) -> bool:
    """Whether a host has something that Homeport made for the app, or had it. A database alone is not enough."""
    keys = ("paths", "files", "programs", "stores", "user", "removed")
    return any(entry.get(key) for entry in found.values() for key in keys)


def described(app: str, found: Found, missing: list[str], dump: str) -> list[str]:
    """What is going to be removed, where the last dump goes, and what is left as it is."""
    lines = []
    for host, entry in found.items():
        if not is_there(entry):
            lines.append(f"{host}: nothing of {app}{earlier(entry)}")
            continue
        lines.append(f"{host}: all of this is removed")
        rows = {
            "site": entry["domains"],
            "processes": entry["programs"]
            or ([f"{entry['processes']} running"] if entry["processes"] else []),
            "timers": entry["timers"],
            "cache, broker": [unit.removesuffix(".service") for unit in entry["stores"]],
            "RabbitMQ": [f"the virtual host and the user {entry['vhost']}"] if entry["vhost"] else [],
            "folders": [f"{path['path']} ({size(path['bytes'])})" for path in entry["paths"]],
            "files": entry["files"],
            "user": [entry["user"]] if entry["user"] else [],
            "database": [
                f"{database['name']} ({size(database['bytes'])})" for database in entry["databases"]
            ],
            "database role": [app] if entry["role"] else [],
        }
        for title, values in rows.items():
            several = values if title in ("folders", "files") else [", ".join(values)] * bool(values)
            lines += [f"  {'' if number else title:14}{value}" for number, value in enumerate(several)]
    lines += [f"Left as it is: {thing}" for thing in left_alone(app, found)]
    if missing:
        lines.append(f"Not inspected, because of --limit: {', '.join(missing)}")
    if any(is_there(entry) for entry in found.values()):
        lines.append(f"A last dump goes to {dump} first." if dump else "There is no dump first (dump=false).")
    return lines


def earlier(entry: Mapping[str, Any]) -> str:
    removed = entry.get("removed") or {}
    return (
        f" (removed {removed.get('time')} by {removed.get('by')}, {removed.get('message')})"
        if removed
        else ""
    )


def left_alone(app: str, found: Found) -> list[str]:
    """Databases that Homeport did not make."""
    result = [f"the database {name} on {host}" for host, entry in found.items() for name in entry["kept"]]
    dropped = {database["name"] for entry in found.values() for database in entry["databases"]}
    pairs = [(host, each) for host in found.values() for each in (host["database"], *host.get("further", []))]
    for entry, database in pairs:
        name = database.get("name", "")
        if not database or name in dropped or name.startswith(f"/srv/{app}/"):
            continue
        text = (
            f"the {database['engine']} database {name}{' at ' + database['host'] if database['host'] else ''}"
        )
        if name not in entry["kept"]:
            result.append(text)
    return list(dict.fromkeys(result))


def closing(app: str, folders: Mapping[str, str], declared: str | None) -> list[str]:
    """What the operator has to know once it is done. ``declared`` says where the app still stands."""
    lines = [f"{app} is removed."]
    lines += [f"Its last dump is in {folder} on {host}." for host, folder in folders.items() if folder]
    if declared is not None:
        where = declared.strip().removeprefix("in ") or "django_apps"
        lines.append(
            f"Now remove {app} from {where}; otherwise the next run of a setup playbook creates it again."
        )
    return lines
