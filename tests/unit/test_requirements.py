"""requirements.yml, galaxy.yml and the pinned ansible package name the same collections."""

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REQUIRED = {
    entry["name"]: entry["version"]
    for entry in yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
}


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def pinned_ansible() -> str:
    marker = ">=" if sys.version_info >= (3, 11) else "<"
    lines = (ROOT / "requirements" / "dev.in").read_text().splitlines()
    line = next(line for line in lines if re.match(r"ansible==", line) and f"python_version {marker}" in line)
    return line.split(";")[0].strip().removeprefix("ansible==")


def installed(collection: str) -> dict[str, Any]:
    site = Path(str(importlib.metadata.distribution("ansible").locate_file("ansible_collections")))
    manifest = site.joinpath(*collection.split("."), "MANIFEST.json")
    return json.loads(manifest.read_text())["collection_info"]


def test_galaxy_names_the_same() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"] == REQUIRED


def test_the_pinned_ansible_is_installed() -> None:
    assert importlib.metadata.version("ansible") == pinned_ansible()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the older package only runs playbooks")
@pytest.mark.parametrize("collection", REQUIRED)
def test_the_lower_bound_is_what_is_tested(collection: str) -> None:
    lower, upper = re.fullmatch(r">=([\d.]+),<([\d.]+)", REQUIRED[collection]).groups()  # type: ignore[union-attr]
    assert installed(collection)["version"] == lower
    assert number(upper) == (number(lower)[0] + 1, 0, 0)


@pytest.mark.parametrize("name", ["dev", "run"])
def test_pins_are_hashed_and_name_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    pins = re.findall(r"^\S+==", text, re.MULTILINE)
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    assert len(pins) == len(entries) > 5
    assert all("--hash=sha256:" in entry for entry in entries)
