# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a shell can read the commands of the apps."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.schema import unwritable


def shell_syntax(apps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Commands that a shell refuses before it has run anything."""
    problems = []
    for name, app in apps.items():
        for path, command in shell_commands(app):
            # what it says of the error may quote the command
            if subprocess.run(
                ["sh", "-n"], input=command.encode(), capture_output=True, check=False
            ).returncode:
                problems.append(
                    f"django_apps.{name}.{path}: is not a valid shell command: a quote or a bracket is missing, or "
                    "is one too many (sh -n)"
                )
    return problems


def shell_commands(app: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The commands of an app, each with the field that it stands in."""
    lists = {"build": app["build"], **{f"hooks.{name}": hook for name, hook in app["hooks"].items()}}
    found = [(f"{field}[{number}]", one) for field, all_ in lists.items() for number, one in enumerate(all_)]
    for field in ("processes", "schedules"):
        found += [(f"{field}.{name}.command", one.get("command")) for name, one in app[field].items()]
    found.append(("notify.command", app["notify"].get("command")))
    return [(path, one) for path, one in found if isinstance(one, str) and not unwritable(one)]
