"""CONTRIBUTING.md says what each scenario is for, so that no promise is lost when tests move."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_every_scenario_is_in_the_table_with_what_it_proves() -> None:
    lines = re.findall(
        r"^\| `(\w+)` \| (.+) \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    assert [name for name, _converges, _proves in lines] == scenarios


def test_every_scenario_has_its_place_in_the_order() -> None:
    """Otherwise a long one may begin last."""
    text = (ROOT / "tests/scenarios/runs.py").read_text()
    listed = re.search(r"LONGEST_FIRST = \((.*?)\)", text, re.DOTALL)
    assert listed
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    assert set(re.findall(r'"(\w+)"', listed[1])) == scenarios


def test_a_new_site_has_every_playbook() -> None:
    """But for those that are run without a site."""
    variables = yaml.safe_load((ROOT / "playbooks/new_site.yml").read_text())[0]["vars"]
    written = {*variables["__verb_titles"], *(f"{name}.yml" for name in variables["__setups"]), "deploy.yml"}
    assert written == {path.name for path in (ROOT / "playbooks").glob("*.yml")} - {
        "new_site.yml",
        "local.yml",
    }
