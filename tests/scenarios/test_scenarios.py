"""Every folder molecule/<name> with a molecule.yml, from nothing to nothing, on each of its images.

The images of a scenario are the lines of molecule/<name>/images, else one Debian 13; IMAGE=... in the
environment replaces them. A scenario that has a file molecule/<name>/weekly runs with WEEKLY=1 only.
"""

import os
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from tests.scenarios.runs import ROOT, Key

LINES = 200  # of a log at -vvv, which has some twenty thousand


def keys() -> list[Key]:
    found = []
    for folder in sorted(path.parent for path in (ROOT / "molecule").glob("*/molecule.yml")):
        if (folder / "weekly").exists() and not os.environ.get("WEEKLY"):
            continue
        listed = folder / "images"
        images = [os.environ["IMAGE"]] if os.environ.get("IMAGE") else ["debian:13"]
        if listed.exists() and not os.environ.get("IMAGE"):
            images = listed.read_text().split()
        found += [Key(folder.name, image) for image in images]
    return found


def failures(cases: list[ElementTree.Element]) -> str:
    """What each failed check of the servers says, which the log has long before its end."""
    return "\n\n".join(
        f"{case.get('classname')}.{case.get('name')}:\n{(problem.text or problem.get('message') or '').strip()}"
        for case in cases
        for problem in [*case.findall("failure"), *case.findall("error")]
    )


@pytest.mark.parametrize(("scenario", "image"), keys(), ids=lambda value: value)
def test_scenario(scenario: str, image: str, status: Callable[[Key], int], subtests: pytest.Subtests) -> None:
    key = Key(scenario, image)
    ended = status(key)
    cases = list(ElementTree.parse(key.checks).iter("testcase")) if key.checks.exists() else []
    if ended:
        last = failures(cases) or "\n".join(key.log.read_text().splitlines()[-LINES:])
        pytest.fail(f"{scenario} on {image} ended with {ended}, see {key.log}:\n\n{last}", pytrace=False)
    # Each check of the servers counts.
    for case in cases:
        with subtests.test(f"{case.get('classname')}.{case.get('name')}"):
            skipped = case.find("skipped")
            if skipped is not None:
                pytest.skip(skipped.get("message") or "")
