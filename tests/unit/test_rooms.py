# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which package of module_utils may import which: ARCHITECTURE.md has the drawing."""

import ast
import re
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.homeport.django.plugins."
ROOMS = {
    "common": {"common"},
    "validation": {"validation", "common"},
    "engines": {"engines", "validation", "common"},
    "queues": {"queues", "engines", "validation", "common"},
    "app": {"app", "queues", "engines", "validation", "common"},
    "wiring": {"wiring", "app", "queues", "engines", "validation", "common"},
    "reports": {"reports", "engines", "common"},
    "host": {"host", "common"},
    "modules": {"host", "common"},  # those that run on the controller have their code in actions
}
CONTROLLER = {"reports", "wiring", "app", "queues", "engines", "validation", "common"}
ALLOWED = {**ROOMS, **dict.fromkeys(("action", "filter", "callback", "plugin_utils"), CONTROLLER)}


def room(path: Path) -> str:
    parts = path.relative_to(PLUGINS).parts
    return parts[1] if parts[0] == "module_utils" else parts[0]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, as their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in PLUGINS.rglob("*.py") if room(path) in ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_room_imports_the_rooms_that_it_may(path: Path) -> None:
    utils = f"{PREFIX}module_utils."
    rooms = {name[len(utils) :].partition(".")[0] for name in imported(path) if name.startswith(utils)}
    assert rooms <= ALLOWED[room(path)]


def test_every_module_is_in_a_room() -> None:
    folders = {path.name for path in (PLUGINS / "module_utils").iterdir() if path.name != "__pycache__"}
    assert folders == set(ROOMS) - {"modules"}
    assert {room(path) for path in FILES} == set(ALLOWED)


def test_what_the_hosts_programs_import_knows_nothing_of_ansible() -> None:
    """The timers' programs run without it (decision 19)."""
    for path in FILES:
        if room(path) in ("host", "common") and path.name != "module.py":
            assert not any(re.match(r"ansible\b", name) for name in imported(path)), path
