"""A default of a role that the playbooks have to know before the role runs is the role's own."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.homeport.django.plugins.module_utils.validation import sandboxed

ROOT = Path(__file__).parents[2]
DEFAULTS: dict[str, Any] = {}
for path in ROOT.glob("roles/*/defaults/main.yml"):
    DEFAULTS.update(yaml.safe_load(path.read_text()) or {})
PATTERN = re.compile(rf"\b({'|'.join(DEFAULTS)})\s*\|\s*default\(([^()]*)\)")


def stated(text: str) -> list[tuple[str, Any]]:
    """Variables of roles with what a template takes in their place."""
    words = {"true": True, "false": False}
    found = [(name, value.partition(", true")[0]) for name, value in PATTERN.findall(text)]
    return [(name, words[value] if value in words else ast.literal_eval(value)) for name, value in found]


def test_playbooks_take_the_defaults_of_the_roles() -> None:
    found = [
        (path.name, name, value)
        for folder in ("playbooks", "roles", "group_vars")
        for path in sorted(ROOT.glob(f"{folder}/**/*.yml"))
        for name, value in stated(path.read_text())
    ]
    assert len(found) > 30
    assert [(file, name) for file, name, value in found if value != DEFAULTS[name]] == []


def test_another_default_is_found() -> None:
    assert stated("{{ postgres_max_connections | default(300) }} {{ host_firewall | default(true) }}") == [
        ("postgres_max_connections", 300),
        ("host_firewall", True),
    ]


def test_a_sandbox_is_on_where_nobody_says() -> None:
    for name in re.findall(r'is_on\("(\w+)"', Path(sandboxed.__file__).read_text()):
        assert DEFAULTS[name] is sandboxed.is_on(name, {}), name
