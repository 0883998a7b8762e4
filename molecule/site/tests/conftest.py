from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.operator import Operator


@pytest.fixture(scope="module")
def apps(host: Any) -> dict[str, Any]:
    """As Ansible sees them: the inventory puts them together from those of others."""
    found: dict[str, Any] = host.ansible("ansible.builtin.debug", 'msg="{{ django_apps }}"')["msg"]
    return found


@pytest.fixture
def operator(host: Any, apps: dict[str, Any], tmp_path: Path) -> Operator:
    return Operator(host.backend.ansible_runner.inventory_file, tmp_path, apps["memories"])
