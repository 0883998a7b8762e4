"""Where the server is, and whom its visitors believe."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def address(host: Any) -> str:
    found: str = host.ansible.get_variables()["ansible_host"]
    return found


@pytest.fixture
def roots(host: Any, tmp_path: Path) -> str:
    """A file with the root certificate of the authority."""
    path = tmp_path / "roots.pem"
    path.write_text(host.check_output("curl -fsSk https://localhost:15000/roots/0"))
    return str(path)
