# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Environment variables of an app and of its processes."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import MODULE
from ansible_collections.homeport.django.plugins.module_utils.common.names import ENV_NAME
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Map,
    Object,
    Problems,
    Scalar,
    Str,
)

SETTINGS = "DJANGO_SETTINGS_MODULE"
# Variables that a shell keeps for itself: there is one between supervisord and each process.
SHELL_VARIABLES = frozenset(("_", "IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD", "SHLVL"))
OWN_VARIABLES = r"(HOMEPORT|homeport)_.*|SUPERVISOR_.*|LISTEN_(FDS|PID|FDNAMES)|VIRTUAL_ENV"


def _env_source_rule(value: dict[str, Any], path: str, problems: Problems) -> None:
    if len(value) != 1:
        problems.add(path, "needs exactly one of from, format")


class EnvValue(Scalar):
    """A literal value, one built from the app's own environment, or null for a variable that is not to be there."""

    kind = "string, number, boolean, null, or {from: NAME}, or {format: '...{NAME}...'}"
    reference = Object(
        {
            "from": Str("the variable of the app's environment whose value this one takes", pattern=ENV_NAME),
            "format": Str("text in which {NAME} stands for that variable's value", multiline=True),
        },
        rule=_env_source_rule,
    )

    def accepts(self, value: object) -> bool:
        return isinstance(value, dict) or super().accepts(value)

    def check(self, value: object, path: str, problems: Problems) -> object:
        if isinstance(value, dict):
            return self.reference.check(value, path, problems)
        return None if value is None else super().check(value, path, problems)


def env_rule(env: dict[str, Any], path: str, problems: Problems) -> None:
    for name in env:
        if name in SHELL_VARIABLES:
            problems.add(
                f"{path}.{name}", "is a variable of the shell's own; the app would not get this value"
            )
        elif name == SETTINGS:
            problems.add(f"{path}.{name}", "is set by the app's field settings")
        elif re.fullmatch(OWN_VARIABLES, name):
            problems.add(f"{path}.{name}", "is a variable that Homeport sets")


def own_env_rule(env: dict[str, Any], path: str, problems: Problems) -> None:
    env_rule({name: value for name, value in env.items() if name != SETTINGS}, path, problems)
    value = env.get(SETTINGS, "settings")
    if not (isinstance(value, str) and re.fullmatch(MODULE, value)):
        problems.add(f"{path}.{SETTINGS}", "must be a module, such as blog.settings.worker")


ENV = Map(
    EnvValue(),
    key=ENV_NAME,
    rule=env_rule,
    key_hint="use letters, digits and '_', not starting with a digit",
    doc="environment variables; null unsets one; secret ones belong in vault_django_apps.<app>.env",
    default={},
)

OWN_ENV = Map(
    EnvValue(),
    key=ENV_NAME,
    rule=own_env_rule,
    key_hint="use letters, digits and '_', not starting with a digit",
    doc="environment variables of this process alone, as in the app's env, whose variables they may refer to",
    default={},
)
