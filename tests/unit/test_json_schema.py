"""docs/schema/apps.json, by which editors check: it refuses nothing that Homeport accepts."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.validation.json_schema import whole
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import INPUTS
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Object

from tests.hostile import KEYS, NASTY, ODD, WRONG, Author, leaves, place, takes, text
from tests.unit.support import SECRET, app
from tests.unit.test_docs import definitions, generator

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/schema/apps.json"
VALIDATOR = jsonschema.Draft7Validator(json.loads(FILE.read_text()))


def as_json(value: Any) -> Any:
    """What an editor sees: keys are texts, and a tuple is a list."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def refusals(variables: dict[str, Any]) -> list[str]:
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in VALIDATOR.iter_errors(as_json(variables))
    ]


def test_the_file_is_fresh() -> None:
    assert generator().apps_schema() == FILE.read_text(), "stale: run make docs"
    jsonschema.Draft7Validator.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("inventories/*/group_vars/all/apps.yml")), ids=lambda path: path.parts[-4]
)
def test_the_inventories(path: Path) -> None:
    assert refusals(yaml.safe_load(path.read_text())) == []


def test_every_example_of_the_documentation() -> None:
    for key, apps, vault in definitions():
        assert refusals({"django_apps": apps, "vault_django_apps": vault}) == [], key


@pytest.mark.parametrize("carelessness", [0.0, 0.03, 0.15, 0.5])
def test_hostile_definitions(carelessness: float) -> None:
    refused = 0
    for seed in range(100):
        author = Author(seed, carelessness)
        fields, secrets = author.definition("blog")
        apps, vault = {"blog": fields}, {"blog": secrets}
        found = check(apps, vault, SECRET, author.rng.choice(list(SETUPS)))
        told = refusals({"django_apps": apps, "vault_django_apps": vault})
        refused += bool(told)
        assert found or not told, (fields, secrets, told)
    assert refused > 10


def hostile_values(rng: random.Random) -> list[Any]:
    return [*WRONG, *rng.sample(ODD, 30), *rng.sample(NASTY, 10), text(rng)]


@pytest.mark.parametrize(("root", "shape"), [("django_apps", APP), ("vault_django_apps", SECRETS)])
def test_hostile_values_of_every_field_of_an_app(root: str, shape: Object) -> None:
    rng, refused = random.Random(3), 0
    for path, field in leaves(shape):
        for value in hostile_values(rng) if path else []:
            fields: dict[str, Any] = app() if root == "django_apps" else {}
            fields[path[0]] = place(value, path[1:])
            told = refusals({root: {"blog": fields}})
            refused += bool(told)
            if told:
                apps, vault = (
                    ({"blog": fields}, {}) if root == "django_apps" else ({"blog": app()}, {"blog": fields})
                )
                assert check(apps, vault, SECRET, "site"), (path, field, value, told)
    assert refused > 1000


@pytest.mark.parametrize("name", INPUTS)
def test_hostile_inputs_of_roles(name: str) -> None:
    rng = random.Random(4)
    for path, _field in leaves(INPUTS[name]):
        for value in hostile_values(rng):
            given = place(value, path)
            if given is not None and takes(INPUTS[name], given):
                assert refusals({name: given}) == [], (path, value)


@pytest.mark.parametrize("apps", [None, "x", [], {"Blog": app()}, {"blog": None}])
def test_what_are_no_apps_is_refused(apps: Any) -> None:
    assert refusals({"django_apps": apps})


@pytest.mark.parametrize(
    "fields",
    [
        {"databse": "postgres"},
        {"database": "postgresql"},
        {"web": {"workers": "many"}},
        {"web": {"workers": 0}},
        {"overlay": "perhaps"},
        {"domains": ["https://blog.example.org"]},
        {"domains": []},
        {"processes": {"web": "x"}},
        {"processes": {"x": {"kind": "celry"}}},
        {"env": {"A B": "x"}},
    ],
)
def test_slips_are_refused(fields: dict[str, Any]) -> None:
    assert refusals({"django_apps": {"blog": app(**fields)}})
    assert check({"blog": app(**fields)}, {}, SECRET, "site")


def test_a_template_may_stand_for_any_value() -> None:
    for root, shape in (("django_apps", APP), ("vault_django_apps", SECRETS)):
        for path, _field in leaves(shape):
            fields = app() if root == "django_apps" else {}
            if path:
                fields[path[0]] = place("{{ mine }}", path[1:])
            told = refusals({root: {"blog": fields}})
            # what has to stand beside it
            assert [line for line in told if not line.endswith("is a required property")] == [], path


def test_patterns_mean_the_same_where_an_editor_reads_them() -> None:
    for shape in (APP, SECRETS, *INPUTS.values()):
        for _path, field in leaves(shape):
            for pattern in filter(None, [getattr(field, "pattern", None), getattr(field, "key", None)]):
                for value in [*ODD, *KEYS]:
                    if pattern.fullmatch(value):
                        assert re.search(whole(pattern.pattern), value), (pattern.pattern, value)
