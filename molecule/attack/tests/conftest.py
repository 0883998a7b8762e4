from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.attacker import PROGRAMS, Evil
from tests.acceptance.operator import Operator


@pytest.fixture
def evil(host: Any, tmp_path: Path) -> Iterator[Evil]:
    """The attacker; whatever a test is about, nothing of anybody else's has become its own in the end."""
    operator = Operator(host.backend.ansible_runner.inventory_file, tmp_path, {})
    found = Evil(host, operator, Path(__file__).parents[1] / "files")
    compiled = f"test -x {PROGRAMS}/exchange || gcc -O2 -static -o {PROGRAMS}/exchange {PROGRAMS}/exchange.c"
    host.check_output(compiled)
    try:
        yield found
        assert found.gained() == []
    finally:
        found.end()
