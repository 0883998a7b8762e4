"""What the tests of this scenario share: the apps as the inventory declares them."""

from typing import Any

import pytest

from tests.acceptance.album import Album


@pytest.fixture
def apps(host: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = host.ansible.get_variables()["django_apps"]
    return found


@pytest.fixture
def notes(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "notes.example")
