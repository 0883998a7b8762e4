"""An older Homeport than the one that has set a server up."""

from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import (
    COLLECTION,
    is_newer,
    own_version,
)


@pytest.mark.parametrize(
    ("recorded", "own", "newer"),
    [
        ("", "0.1.0", False),
        ("0.1.0", "0.1.0", False),
        ("0.2.0", "0.10.0", False),
        ("0.10.0", "0.2.0", True),
        ("1.0.0-rc.2", "1.0.0", False),
        ("1.0.0", "1.0.0-rc.2", True),
        ("1.0.0-rc.10", "1.0.0-rc.2", True),
    ],
)
def test_versions_of_homeport(recorded: str, own: str, newer: bool) -> None:
    assert is_newer(recorded, own) == newer


def test_the_version_of_a_clone_and_of_an_installed_collection(tmp_path: Path) -> None:
    assert f"version: {own_version()}\n" in (COLLECTION / "galaxy.yml").read_text()
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "1.2.3"}}')
    assert own_version(tmp_path) == "1.2.3"
