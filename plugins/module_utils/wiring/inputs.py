# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is wrong with the variables of the roles, as far as a host's own say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentTypeError, ArgumentValueError
from ansible_collections.homeport.django.plugins.module_utils.validation import sandboxed
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import problems_of

ROLES_FOLDER = Path(__file__).parents[3] / "roles"
ROLES = tuple(f"{path.name}_" for path in sorted(ROLES_FOLDER.iterdir()) if path.is_dir())
TYPES = {
    "bool": "true or false",
    "dict": "a dictionary",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "a text",
}


def input_problems(known: Mapping[str, Any], apps: Mapping[str, Any]) -> list[str]:
    """What is wrong with those of a host's variables that are inputs of roles, and with the apps by these."""
    problems = problems_of(known)
    # with no value the role would switch off what protects the host
    problems += [
        f"{name}: has no value; leave it out for the default"
        for name, value in known.items()
        if name.startswith("host_") and value is None
    ]
    problems += sandboxed.problems(apps, known)
    named = {re.split(r"[.:\[]", problem, maxsplit=1)[0] for problem in problems}
    return problems + other_types({name: value for name, value in known.items() if name not in named})


def other_types(known: Mapping[str, Any]) -> list[str]:
    """Inputs of roles that are of other types than their argument specs say. A role looks at them itself only where it
    is used alone."""
    problems = []
    for role in sorted(path.parents[1].name for path in ROLES_FOLDER.glob("*/meta/argument_specs.yml")):
        given = [name for name in known if name.startswith(f"{role}_") and known[name] is not None]
        spec = argument_spec(role) if given else {}
        for name in given:
            problems += other_type(name, spec[name], known[name], role) if name in spec else []
    return problems


def other_type(name: str, spec: dict[str, Any], value: Any, role: str) -> list[str]:
    """What Ansible has against a value, without the value."""
    told = []
    for error in ArgumentSpecValidator({name: spec}).validate({name: value}).errors.errors:
        if isinstance(error, ArgumentTypeError):
            told.append(f"{name}: must be {TYPES[spec.get('type', 'str')]}")
        elif isinstance(error, ArgumentValueError) and "choices" in spec:
            told.append(f"{name}: must be one of {', '.join(map(str, spec['choices']))}")
        else:
            told.append(f"{name}: has an entry that is not as roles/{role}/README.md describes it")
    return told[:1]


def argument_spec(role: str) -> dict[str, Any]:
    text = (ROLES_FOLDER / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    spec: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"].get("options", {})
    return spec
