"""Where things of an app are, and what its releases are built for."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.homeport.django.plugins.module_utils.release_layout import interpreter, is_gone

from tests.unit.releases import write


def test_the_python_that_a_release_is_built_for(tmp_path: Path) -> None:
    folder = str(tmp_path)
    write(tmp_path / "python3.11")
    (tmp_path / "python3").symlink_to("python3.11")
    assert interpreter("", folder) == f"{folder}/python3.11"
    assert interpreter("3.11", folder) == f"{folder}/python3.11"
    assert interpreter("3.12", folder) == "uv 3.12"
    assert interpreter("3.11.4", folder) == "uv 3.11.4"
    # an upgrade of the system
    write(tmp_path / "python3.13")
    (tmp_path / "python3").unlink()
    (tmp_path / "python3").symlink_to("python3.13")
    (tmp_path / "python3.11").unlink()
    assert interpreter("", folder) == f"{folder}/python3.13"
    assert interpreter("3.11", folder) == "uv 3.11"
    assert is_gone(f"{folder}/python3.11")
    assert not is_gone(f"{folder}/python3.13")
    assert not is_gone("uv 3.12")
    assert not is_gone("")
