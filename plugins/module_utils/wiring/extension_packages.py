# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which packages the extensions of the apps' databases need, and which extensions no package brings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.extension_packages import (
    BROUGHT,
    CONTRIB,
    FIRST,
    VERSION,
    package_of,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    field_names,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def extension_packages(databases: Iterable[Mapping[str, Any]], named: Mapping[str, str]) -> list[str]:
    """What the extensions of databases need beside the server. ``named`` are the user's own packages by extension."""
    found = {
        package_of(extension, named) for database in databases for extension in database.get("extensions", [])
    }
    return sorted(found - {""})


def extension_problems(
    apps: Apps, own: Iterable[Mapping[str, Any]], named: Mapping[str, str], facts: Mapping[str, Any]
) -> list[str]:
    """Extensions that no package brings: a line for each. ``own`` are databases of the role's own variable."""
    fields: dict[str, list[Any]] = {"postgres_databases": list(own)}
    for name, app in apps.items():
        names = field_names(app)
        fields.update(
            {
                f"django_apps.{name}.{names[database['name']]}": [database]
                for database in postgres_databases({name: app})
            }
        )
    problems = []
    for field, databases in fields.items():
        wanted = [extension for database in databases for extension in database.get("extensions", [])]
        told = [problem_of(extension, named, facts) for extension in dict.fromkeys(wanted)]
        problems += [f"{field}: extensions: {problem}" for problem in told if problem]
    return problems


def problem_of(extension: str, named: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    system = f"{facts.get('distribution', '')} {facts.get('version', '')}".strip()
    version = tuple(int(part) for part in re.findall(r"\d+", str(facts.get("version", ""))))
    if extension in named or extension in (facts.get("postgres_extensions") or []):
        return ""
    if extension in BROUGHT:
        first = FIRST.get(extension, {}).get(str(facts.get("distribution", "")), (0,))
        if version >= first:
            return ""
        return (
            f"{system} has no package that brings {extension} ({BROUGHT[extension].replace(VERSION, 'NN')})"
        )
    if extension in CONTRIB and not facts.get("postgres"):
        return ""
    return (
        f"no package is known that brings {extension}; name it in postgres_extension_packages "
        f"({{{extension}: 'postgresql-{VERSION}-NAME'}}), or install it on the host first"
    )
