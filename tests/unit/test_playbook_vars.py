# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Each play loads the files of playbooks/vars that it needs, and no others."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
VARS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((PLAYBOOKS / "vars").glob("*.yml"))}
DEFINED = {name: file for file, values in VARS.items() for name in values}
PLAYS = [
    pytest.param(path, play, id=f"{path.stem}: {play['name']}")
    for path in sorted([*PLAYBOOKS.glob("*.yml"), *PLAYBOOKS.glob("components/*.yml")])
    for play in yaml.safe_load(path.read_text())
    if "hosts" in play
]


def names(value: Any) -> set[str]:
    """The variables of playbooks/vars that a text mentions."""
    return set(re.findall(r"\w+", yaml.safe_dump(value, width=10_000))) & set(DEFINED)


def needed(play: dict[str, Any]) -> set[str]:
    """The files whose variables a play uses, and the variables of those."""
    found: set[str] = set()
    own = {key: value for key, value in play.items() if key != "vars_files"}
    included = re.findall(r"include_tasks: \.\./tasks/(\S+)", yaml.safe_dump(own, width=10_000))
    waiting = names([own, *(yaml.safe_load((PLAYBOOKS / "tasks" / file).read_text()) for file in included)])
    while waiting:
        found |= waiting
        waiting = set().union(*(names(VARS[DEFINED[name]][name]) for name in waiting)) - found
    return {DEFINED[name] for name in found}


def loaded(path: Path, play: dict[str, Any]) -> set[str]:
    files = [path.parent.joinpath(file).resolve() for file in play.get("vars_files", [])]
    return {file.name for file in files if file.parent == PLAYBOOKS / "vars"}


@pytest.mark.parametrize(("path", "play"), PLAYS)
def test_a_play_loads_the_variables_that_it_uses(path: Path, play: dict[str, Any]) -> None:
    assert loaded(path, play) == needed(play)


def test_each_variable_is_defined_once() -> None:
    assert len(DEFINED) == sum(len(values) for values in VARS.values())
