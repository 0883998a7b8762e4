"""Runs of molecule beside pytest's own tests, with a program in molecule's place."""

import re
import sys
import time
from pathlib import Path

import pytest

from tests.scenarios import runs
from tests.scenarios.runs import Key, Runs

PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from tests.scenarios import runs

def molecule(pool, key):
    time.sleep(60 if key.scenario == "long" else 0)
    return 3 if key.scenario == "faults" else 0

runs.Pool.molecule = molecule
runs.Pool().all(map(runs.Key.of, sys.argv[1:]))
"""


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    (tmp_path / "program.py").write_text(PROGRAM.format(root=str(runs.ROOT)))
    monkeypatch.setattr(runs, "PROGRAM", [sys.executable, str(tmp_path / "program.py")])
    return Runs()


def test_each_that_ends_says_how(found: Runs) -> None:
    keys = [Key("typical", "debian:13-as-ubuntu-24.04"), Key("faults", "debian:13"), Key("new", "a/b:1")]
    found.start(keys)
    lines: list[str] = []
    while None in found.statuses.values():
        lines += found.ended(30)
    assert found.statuses == {keys[0]: 0, keys[1]: 3, keys[2]: 0}
    assert sorted(re.sub(r"in \d+ min \d\d s", "in TIME", line) for line in lines) == [
        "scenario faults-debian:13: failed in TIME",
        "scenario new-a/b:1: passed in TIME",
        "scenario typical-debian:13-as-ubuntu-24.04: passed in TIME",
    ]


def test_what_is_stopped_does_not_count_as_passed(found: Runs) -> None:
    found.start([Key("long", "debian:13")])
    started = time.monotonic()
    found.programs[0].kill()
    with pytest.raises(RuntimeError, match="without a word of long-debian:13"):
        found.ended(30)
    found.stop()
    assert time.monotonic() - started < 30
