"""simple: what the operator does while visitors are there."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance import operations
from tests.acceptance.album import Album
from tests.acceptance.operator import Operator


@pytest.fixture(autouse=True)
def opened(host: Any) -> Iterator[None]:
    """A test that fails while the app is closed does not take the others along."""
    yield
    host.check_output(f"rm -f {operations.FLAG}")


def test_maintenance(album: Album, operator: Operator, host: Any) -> None:
    operations.check_maintenance(album, operator, host)


def test_who_is_let_in_during_maintenance(album: Album, operator: Operator, host: Any) -> None:
    operations.check_who_is_let_in(album, operator, host)


def test_requests_under_way_finish(album: Album, operator: Operator) -> None:
    operations.check_requests_under_way_finish(album, operator)


def test_static_files_of_all_kept_releases(album: Album, operator: Operator, host: Any) -> None:
    operations.check_generations(album, operator, host)
