# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The playbooks write out what the tables of engines and queues have: no line of it is forgotten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES

ROOT = Path(__file__).resolve().parents[2]
ROLES = {path.name for path in (ROOT / "roles").iterdir() if path.is_dir()}
# By role, with what apps use it for.
SERVICES = {
    engine.facts.role: engine for engine in ENGINES.values() if {"cache", "broker"} & set(engine.uses)
}


def play(component: str) -> Any:
    """The one play of a component, whatever other playbooks it imports."""
    [found] = [
        each
        for each in yaml.safe_load((ROOT / f"playbooks/components/{component}.yml").read_text())
        if "hosts" in each
    ]
    return found


def called(file: str) -> set[str]:
    tasks = (ROOT / f"playbooks/{file}.yml").read_text()
    return set(re.findall(r"name: homeport\.django\.(\w+)\n", tasks))


def test_the_packages_of_every_role_are_installed_with_those_of_the_host() -> None:
    read = {file for file in play("host")["vars_files"] if "/roles/" in file}
    packages = {path.parts[-4] for path in ROOT.glob("roles/*/vars/main/packages.yml")} - {"host"}
    assert read == {f"../../roles/{role}/vars/main/packages.yml" for role in packages}
    wired = "".join((ROOT / f"playbooks/vars/{name}.yml").read_text() for name in ("host", "services"))
    assert {role for role in packages if f"{role}_packages" not in wired} == set()


def test_every_cache_and_broker_is_run() -> None:
    assert called("components/cache_and_broker") == set(SERVICES) & ROLES


def test_instances_that_users_declare_are_known_as_declared() -> None:
    variables = yaml.safe_load((ROOT / "playbooks/vars/services.yml").read_text())
    declared = {role for role, engine in SERVICES.items() if engine.facts.instances}
    assert set(variables["homeport_instances"]) == declared


@pytest.mark.parametrize("kind", sorted(set(QUEUES) & ROLES))
def test_every_queue_with_a_role_is_configured(kind: str) -> None:
    assert kind in called("tasks/queues")
    [block] = play("django")["tasks"]
    [included] = [task for task in block["block"] if "ansible.builtin.include_tasks" in task]
    assert kind in included["vars"]["__queues"]


def test_every_role_is_in_the_drawing() -> None:
    drawing = (ROOT / "ARCHITECTURE.md").read_text().partition("## The rooms")[0]
    assert ROLES - {"preflight"} <= set(re.findall(r"\w+", drawing))
