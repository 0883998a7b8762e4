from typing import Any

import pytest

from tests.acceptance.album import Album


@pytest.fixture(scope="module")
def apps(host: Any) -> dict[str, dict[str, Any]]:
    """As Ansible sees them: the inventory computes where their sources are."""
    found: dict[str, Any] = host.ansible("ansible.builtin.debug", 'msg="{{ django_apps }}"')["msg"]
    return found


@pytest.fixture
def notes(host: Any) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], "notes.example")
