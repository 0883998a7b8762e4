# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What each setup of the article has."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.homeport.django.plugins.module_utils.engines.table import used_for


@dataclass(frozen=True)
class Setup:
    """What a setup has; the first of each is what an app gets when it does not say."""

    proxy: bool
    databases: tuple[str, ...]
    static: tuple[str, ...]
    caches: tuple[str, ...] = ("none",)
    # the first that the app's queues can use; an app without queues has none
    brokers: tuple[str, ...] = ("database", "none")


_TYPICAL = Setup(
    proxy=True, databases=(*used_for("database"), "none"), static=("nginx", "whitenoise", "none")
)
_ALL = replace(
    _TYPICAL,
    caches=("none", *used_for("cache")),
    brokers=(*used_for("broker"), "database", "none"),
)
SETUPS = {
    "simple": Setup(proxy=False, databases=("sqlite", "none"), static=("whitenoise", "none")),
    "typical": _TYPICAL,
    "multi_app": _ALL,
    "worker": _ALL,
    "cache": replace(_ALL, caches=(*used_for("cache"), "none")),
    "site": _ALL,
    "external_services": _ALL,
}


def not_part(choice: str, part: str, setup_name: str) -> str:
    """What is said of a choice that a setup does not have: what it has instead, and which setups have it."""
    own = ", ".join(getattr(SETUPS[setup_name], part))
    others = [name for name, setup in SETUPS.items() if choice in getattr(setup, part)]
    told = f"{choice} is not part of the {setup_name} setup, which has {own}"
    if not others:
        return told
    names = f"{', '.join(others[:-1])} and {others[-1]}" if len(others) > 1 else others[0]
    return (
        f"{told}; {names} have it: set homeport_setup to one of them, and run its playbook ({others[0]}.yml)"
    )
