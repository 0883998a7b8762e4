"""What is used is required, nothing else is, and pins are hashed."""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# What an operator runs or reads. A decision may name what it decided against.
SHIPPED = (
    "README.md",
    "ansible.cfg",
    "docs",
    "group_vars",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "roles",
)
DECISIONS = ROOT / "docs" / "decisions"


def collections() -> set[str]:
    """Those of the package ansible. ansible-lint refuses the modules of any other."""
    site = Path(str(importlib.metadata.distribution("ansible").locate_file("ansible_collections")))
    return {f"{path.parts[-3]}.{path.parts[-2]}" for path in site.glob("*/*/MANIFEST.json")}


NAMES = re.compile(
    # ansible-core has packages of its own that are called as a collection is: ansible.utils
    rf"(?<!from )(?<!import )\b({'|'.join(sorted(map(re.escape, collections())))})\.\w"
)


def uses(text: str) -> set[str]:
    return set(NAMES.findall(text))


def shipped() -> Iterator[Path]:
    for name in SHIPPED:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc" and DECISIONS not in file.parents:
                yield file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- name: Open\n  community.general.ufw:\n", {"community.general"}),
        ("callbacks_enabled = ansible.posix.profile_tasks", {"ansible.posix"}),
        (
            "{{ lookup('community.general.dig', x) | ansible.utils.ipaddr }}",
            {"community.general", "ansible.utils"},
        ),
        ("from ansible_collections.community.docker.plugins import x", {"community.docker"}),
        ("from ansible.utils.display import Display", set()),
        ("ansible.builtin.copy: homeport.django.packages: see community.general", set()),
    ],
)
def test_a_use_is_seen(text: str, found: set[str]) -> None:
    assert uses(text) == found


def test_required_is_what_is_used() -> None:
    found: dict[str, list[str]] = {}
    for path in shipped():
        for name in uses(path.read_text(errors="replace")):
            found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    required = yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]
    assert found.keys() == required.keys(), found
    listed = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    assert {entry["name"]: entry["version"] for entry in listed} == required


def pinned_ansible() -> str:
    marker = ">=" if sys.version_info >= (3, 11) else "<"
    lines = (ROOT / "requirements" / "dev.in").read_text().splitlines()
    line = next(line for line in lines if re.match(r"ansible==", line) and f"python_version {marker}" in line)
    return line.split(";")[0].strip().removeprefix("ansible==")


def test_the_pinned_ansible_is_installed() -> None:
    assert importlib.metadata.version("ansible") == pinned_ansible()


@pytest.mark.parametrize("name", ["dev", "oldest", "run"])
def test_pins_are_hashed_and_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    pins = re.findall(r"^\S+==", text, re.MULTILINE)
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    assert len(pins) == len(entries) > 5
    assert all("--hash=sha256:" in entry for entry in entries)
