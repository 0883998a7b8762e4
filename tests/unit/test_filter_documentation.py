"""`ansible-doc -t filter` shows every filter, with the options that it has."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nodes
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "plugins/filter"
PACKAGE = "ansible_collections.homeport.django.plugins.filter"
FILTERS: dict[str, Callable[..., Any]] = {
    name: function
    for path in sorted(FOLDER.glob("*.py"))
    for name, function in importlib.import_module(f"{PACKAGE}.{path.stem}").FilterModule().filters().items()
}


def test_every_filter_has_a_sidecar_and_every_sidecar_a_filter() -> None:
    assert {path.stem for path in FOLDER.glob("*.yml")} == set(FILTERS)


@pytest.mark.parametrize("name", FILTERS)
def test_the_options_are_those_of_the_function(name: str) -> None:
    found = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    options = dict(found["DOCUMENTATION"]["options"])
    assert found["DOCUMENTATION"]["name"] == name
    assert options.pop("_input")["required"]
    _input, *parameters = inspect.signature(FILTERS[name]).parameters.values()
    assert list(options) == [each.name for each in parameters]
    for each in parameters:
        optional = each.default is not each.empty
        assert "default" in options[each.name] or not optional
        if optional and isinstance(each.default, (str, int, bool)):
            assert options[each.name]["default"] == each.default
    called = [
        node.name
        for text in [found["EXAMPLES"]]
        for node in jinja2.Environment()
        .parse(text.replace("homeport.django.", ""))
        .find_all(jinja2.nodes.Filter)
    ]
    assert name in called
    assert {"type", "description"} <= set(found["RETURN"]["_value"])


def test_ansible_doc_lists_them() -> None:
    words = [
        str(Path(sys.executable).parent / "ansible-doc"),
        "-t",
        "filter",
        "--json",
        "-l",
        "homeport.django",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=FOLDER.parents[1])
    listed = json.loads(done.stdout)
    assert set(listed) == {f"homeport.django.{name}" for name in FILTERS}
    for name, text in listed.items():
        assert (
            text
            == yaml.safe_load((FOLDER / f"{name.split('.')[-1]}.yml").read_text())["DOCUMENTATION"][
                "short_description"
            ]
        )
