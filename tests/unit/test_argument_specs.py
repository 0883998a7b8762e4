"""What the roles' argument specs say of an input is what the field says that checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import INPUTS, WIRED
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    MISSING,
    Bool,
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
)

ALL = {**INPUTS, **WIRED}
ROLES = Path(__file__).parents[2] / "roles"
SPECS: dict[str, dict[str, Any]] = {}
for path in ROLES.glob("*/meta/argument_specs.yml"):
    for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
        SPECS.update(entry["options"])


def type_of(field: Field) -> str:
    if isinstance(field, Int):
        return "str" if field.words else "int"
    kinds = {Bool: "bool", List: "list", Map: "dict", Object: "dict"}
    return next((kind for cls, kind in kinds.items() if isinstance(field, cls)), "str")


def differences(name: str, field: Field, spec: dict[str, Any]) -> list[str]:
    found = []
    if spec["type"] != type_of(field):
        found.append(f"{name}: is {spec['type']} in the spec, and {type_of(field)} in the fields")
    if field.default is not MISSING and field.default != spec.get("default"):
        found.append(f"{name}: has another default")
    if isinstance(field, Choice) and spec.get("choices") != field.choices:
        found.append(f"{name}: has other choices")
    if isinstance(field, List):
        if spec.get("elements") != type_of(field.item):
            found.append(f"{name}: has other elements")
        field = field.item
    if isinstance(field, Object):
        options = spec.get("options", {})
        if not field.others and set(options) != set(field.fields):
            found.append(f"{name}: differs in {sorted(set(options) ^ set(field.fields))}")
        for part in options.keys() & field.fields.keys():
            inner = field.fields[part]
            if inner.default is MISSING and "default" in options[part]:
                found.append(f"{name}.{part}: has a default in the spec alone")
            if bool(options[part].get("required")) != inner.required:
                found.append(f"{name}.{part}: is required in one of both")
            found += differences(f"{name}.{part}", inner, options[part])
    return found


@pytest.mark.parametrize("name", ALL)
def test_specs_and_fields_agree(name: str) -> None:
    assert differences(name, ALL[name], SPECS[name]) == []


# What has its description elsewhere: the apps in docs/apps.md; and texts by name.
OTHER_DICTIONARIES = {
    "django_app_apps",
    "django_app_failed",
    "django_app_other_failures",
    "django_app_unbuildable",
    "host_wired_of_apps",
    "preflight_distributions",
}


def test_the_fields_of_every_dictionary_are_described() -> None:
    """As sub-options, or by what docs/generate.py makes of the fields where entries have names."""
    for name, spec in SPECS.items():
        if spec["type"] != "dict" or spec.get("options") or name in OTHER_DICTIONARIES:
            continue
        field = ALL.get(name)
        if field is None:
            assert spec["description"] == "The same, from the apps. Set by the playbooks.", name
        else:
            assert isinstance(field, Map), name
            assert isinstance(spec["description"], list) == isinstance(field.value, Object), name


def shape(options: dict[str, Any]) -> dict[str, Any]:
    """Types, defaults and choices, without descriptions."""
    keys = ("type", "elements", "default", "choices", "required")
    return {
        name: (
            {key: option[key] for key in keys if key in option},
            shape(option.get("suboptions") or option.get("options") or {}),
        )
        for name, option in options.items()
    }


@pytest.mark.parametrize(
    ("module", "option"), [("postgres_databases", "databases"), ("rabbitmq_vhosts", "vhosts")]
)
def test_a_module_takes_what_its_role_takes(module: str, option: str) -> None:
    text = (ROLES.parent / f"plugins/modules/{module}.py").read_text()
    documentation = yaml.safe_load(text.partition('DOCUMENTATION = r"""')[2].partition('"""')[0])
    assert shape(documentation["options"][option]["suboptions"]) == shape(SPECS[module]["options"])


def test_a_difference_is_found() -> None:
    field = Object({"port": Int(required=True), "kind": Choice(["a", "b"])})
    spec = {"type": "dict", "options": {"port": {"type": "str"}, "kind": {"type": "str", "choices": ["a"]}}}
    assert len(differences("x", field, spec)) == 3
    assert differences("x", field, {"type": "dict", "options": {}})
    assert differences("x", List(Int()), {"type": "list", "elements": "str"})
    assert differences("x", Int(default=64), {"type": "int", "default": 32})


def test_preflight_knows_every_setup() -> None:
    assert set(SPECS["preflight_setup"]["choices"]) == set(SETUPS)
