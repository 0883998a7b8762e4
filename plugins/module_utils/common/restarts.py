# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Messages on restarts of services that all apps of a host share (decision 31)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS

# By unit: the name of the service, and how long a restart interrupts the apps.
SHARED = [facts for facts in FACTS.values() if facts.restart]
SERVICES = {
    **{facts.unit.partition("@")[0]: (facts.title, facts.restart) for facts in SHARED},
    "supervisor": ("supervisord", "5 s"),
    "nginx": ("nginx", "1 s"),
}
ROLES = (*(facts.role for facts in SHARED), "pgbackrest", "supervisord", "nginx")


def name_of(unit: str) -> str:
    return SERVICES.get(unit.partition("@")[0], (unit, ""))[0]


def duration_of(unit: str) -> str:
    return SERVICES.get(unit.partition("@")[0], ("", "some seconds"))[1]


def messages(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each restart of a run, by host: planned, made, or pending."""
    lines: dict[tuple[str, str, str], set[str]] = {}
    for host, variables in results.items():
        for name in ROLES:
            found = (variables.get(f"__{name}_configured") or {}).get("restart") or {}
            if found:
                lines.setdefault((host, found["unit"], found["when"]), set()).update(found["why"])
    return [message(*key, ", ".join(sorted(why))) for key, why in lines.items()]


def message(host: str, unit: str, when: str, why: str) -> str:
    name, lasts = name_of(unit), duration_of(unit)
    return {
        "now": f"{host}: restarts {name}, about {lasts} for all apps ({why})",
        "done": f"{host}: {name} was restarted ({why})",
        "later": f"{host}: {name} needs a restart for {why}, which interrupts all apps for about {lasts}. "
        "Run the same with -e restart=now when it suits.",
    }[when]
