"""What the documentation says is what the code does: generated parts are fresh, examples pass the checks."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP

from tests.unit.support import SECRET, app, resolved

ROOT = Path(__file__).parents[2]
APPS = ROOT / "docs/apps.md"
READMES = sorted(ROOT.glob("roles/*/README.md"))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def examples(path: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*READMES, APPS], ids=name)
def test_generated_parts_are_fresh(path: Path) -> None:
    assert generator().rendered(path) == path.read_text(), "stale: run make docs"
    assert "<!-- generated: " in path.read_text()


def test_generated_descriptions_are_fresh() -> None:
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        assert generator().specs(path) == path.read_text(), f"{name(path)} is stale: run make docs"


@pytest.mark.parametrize("path", READMES, ids=name)
def test_a_readme_is_a_paragraph_an_example_and_a_table(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.parent.name}\n\n")
    assert re.findall(r"^#+ .*", text, re.MULTILINE)[1:] == ["## Variables"]
    assert len(examples(path)) == 1


@pytest.mark.parametrize("path", READMES, ids=name)
def test_the_example_of_a_readme_is_a_play_that_the_spec_accepts(path: Path) -> None:
    play = yaml.safe_load(examples(path)[0])[0]
    assert play["name"]
    assert play["hosts"]
    specs = yaml.safe_load((path.parent / "meta/argument_specs.yml").read_text())["argument_specs"]
    used = [role for role in play["roles"] if role["role"] == f"homeport.django.{path.parent.name}"]
    assert used
    for role in used:
        given = {key: value for key, value in role.items() if key != "role" and "{{" not in str(value)}
        result = ArgumentSpecValidator(specs["main"]["options"]).validate(given)
        assert not result.error_messages


def parts() -> Iterator[tuple[str, Any]]:
    """Every example of docs/apps.md as single entries: alternatives of one field stand below each other."""
    for text in examples(APPS):
        for chunk in re.split(r"\n(?=\w)", text):
            yield from (yaml.safe_load(chunk.replace("3f5a...", "f" * 64)) or {}).items()


KEYS = {"s3_access_key": "key", "s3_secret_key": "secret"}


ADDRESSES = {
    "database": "postgres://blog:of-the-provider@db.example.com/blog",
    "cache": "rediss://:of-the-provider@cache.example.com:6380/0",
}


def definitions() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Apps and vaults that the examples stand for."""
    for key, value in parts():
        if key == "django_apps":
            yield key, value, {}
        elif key == "vault_django_apps":
            needs = {
                name: {"media": {"s3": "uploads"}} if "s3_access_key" in value[name] else {} for name in value
            }
            yield key, {name: app(**needs[name]) for name in value}, value
        elif key in APP.fields:
            # what an example refers to or needs beside it
            needed = {"overlay": True} if key == "overlay_settings" else {}
            keys = {"blog": KEYS} if key == "media" and "s3" in value else {}
            if key in ADDRESSES and isinstance(value, dict) and "ca" in value and "url" not in value:
                keys = {"blog": {f"{key}_url": ADDRESSES[key]}}
            yield key, {"blog": {**app(), **needed, key: value}}, keys
        elif key != "homeport_secret":
            yield key, {key: value}, {}


def test_every_example_passes_the_checks() -> None:
    count = 0
    for key, apps, vault in definitions():
        assert check(apps, vault, SECRET, "site") == [], (key, apps)
        count += 1
    assert count > 30


def test_every_field_is_explained() -> None:
    shown = {key for key, _value in parts()}
    text = APPS.read_text().split("## All fields")[0]
    missing = [field for field in APP.fields if field not in shown and f"`{field}" not in text]
    fields_of_apps = {
        field for _key, apps, _vault in definitions() for value in apps.values() for field in value
    }
    assert [field for field in missing if field not in fields_of_apps] == []


def test_every_variable_of_the_environment_is_in_the_table() -> None:
    services: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("simple", {}, {"cache": {"url": "redis://h"}}),
        ("typical", {"database_host": "db"}, {"broker": {"url": "redis://h"}}),
        (
            "site",
            {"cache_host": "c"},
            {"cache": "redis", "broker": "rabbitmq", "rotation": {"secret_key": [2, 1]}},
        ),
    ]
    known: set[str] = set()
    for setup, host, given in services:
        found = resolved(setup=setup, host=host, settings="blog.settings", **given)
        known |= {*found["environment"], *found["release_environment"]}
    bucket = {"bucket": "uploads", "endpoint": "https://s3.example.org", "domain": "cdn.example.org"}
    known |= {*resolved(KEYS, media={"s3": bucket})["environment"]}
    table = APPS.read_text().split("### Environment variables")[1].split("### Files")[0]
    documented = set(
        re.findall(r"`([A-Z0-9_]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    )
    assert documented == known
