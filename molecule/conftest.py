"""Who the tests of the scenarios are: a visitor of the demo app, and the operator of its servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.album import Album
from tests.acceptance.browser import Browser
from tests.acceptance.operator import Operator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What all scenarios share comes last: it looks at what the others have left."""
    items.sort(key=lambda item: "shared" in item.path.parts)


@pytest.fixture
def album(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "memories.example")


@pytest.fixture
def operator(host: Any, tmp_path: Path) -> Operator:
    app = host.ansible.get_variables()["django_apps"]["memories"]
    return Operator(host.backend.ansible_runner.inventory_file, tmp_path, app)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = Browser()
    try:
        yield found
    finally:
        found.stop()
