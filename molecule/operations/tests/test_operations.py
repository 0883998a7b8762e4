"""typical: what the operator does while visitors are there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.reports.status_page import page

from tests.acceptance import operations
from tests.acceptance.album import Album
from tests.acceptance.browser import Browser, check_page_fits
from tests.acceptance.operator import Operator
from tests.unit import statuses


@pytest.fixture(autouse=True)
def opened(host: Any) -> Iterator[None]:
    """A test that fails while the app is closed does not take the others along."""
    yield
    host.check_output(f"rm -f {operations.FLAG}")


def test_maintenance(album: Album, operator: Operator, host: Any) -> None:
    operations.check_maintenance(album, operator, host)


def test_who_is_let_in_during_maintenance(album: Album, operator: Operator, host: Any) -> None:
    operations.check_who_is_let_in(album, operator, host)


def test_a_closed_app_stays_closed(album: Album, operator: Operator) -> None:
    operations.check_a_closed_app_stays_closed(album, operator, "typical")


def test_requests_under_way_finish(album: Album, operator: Operator) -> None:
    operations.check_requests_under_way_finish(album, operator)


def test_wrong_commands_change_nothing(album: Album, operator: Operator, host: Any) -> None:
    operations.check_wrong_commands(album, operator, host)


def test_static_files_of_all_kept_releases(album: Album, operator: Operator, host: Any) -> None:
    first, *_others = operations.check_generations(album, operator, host)
    operations.check_files_go_with_the_last_release_that_has_them(album, operator, host, first)


def test_the_page_of_status_in_a_browser(operator: Operator, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    run = operator.run("status", "-e", f"html={file}", "-e", "fail=false")
    assert run.status == 0, run.output
    check_page_fits(browser, "status", file.read_text(), least=40)
    # What this server does not show: every kind of problem, and texts that are too long.
    check_page_fits(browser, "status of a bad day", page(statuses.bad()), least=100)
