"""The public workflow tests what is supported, and runs what is there."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SUPPORTED = yaml.safe_load((ROOT / "meta/supported.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
IMAGES = [
    f"{name.lower()}:{version}" for name, versions in SUPPORTED["servers"].items() for version in versions
]


def matrix(job: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKFLOW["jobs"][job]["strategy"]["matrix"]
    return found


def test_each_server_and_each_python() -> None:
    assert sorted(matrix("scenarios")["image"]) == sorted([*IMAGES, *SUPPORTED["images_to_come"]])
    assert matrix("unit")["python"] == SUPPORTED["controller_pythons"]
    pythons = [found["python"] for found in matrix("machine")["include"]]
    assert pythons == [SUPPORTED["controller_pythons"][0], SUPPORTED["controller_pythons"][-1]]


def test_the_named_scenarios_are_there() -> None:
    """An expression of pytest's passes over a name that nothing has."""
    names = WORKFLOW["env"]["MEET_A_DISTRIBUTION"].split(" or ")
    assert all((ROOT / "molecule" / name / "molecule.yml").exists() for name in names), names
    assert WORKFLOW["env"]["ALL_ON"] in IMAGES
