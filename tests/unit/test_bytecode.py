"""What Python has compiled for the live release serves the next one."""

from __future__ import annotations

import os
import py_compile
from pathlib import Path

from ansible_collections.homeport.django.plugins.module_utils.host.release.project import link_bytecode

PACKAGES = "lib/python3/site-packages"


def compiled(venv: Path, name: str) -> Path:
    return next((venv / PACKAGES).glob(f"__pycache__/{name}.*.pyc"), Path("none"))


def test_what_both_share_is_not_compiled_again(tmp_path: Path) -> None:
    before, after = tmp_path / "1", tmp_path / "2"
    for venv in (before, after):
        (venv / PACKAGES).mkdir(parents=True)
    for name in ("same", "changed", "removed"):
        (before / PACKAGES / f"{name}.py").write_text("x = 1\n")
        py_compile.compile(str(before / PACKAGES / f"{name}.py"))
    os.link(before / PACKAGES / "same.py", after / PACKAGES / "same.py")
    (after / PACKAGES / "changed.py").write_text("x = 2\n")
    link_bytecode(str(before), str(after))
    assert compiled(after, "same").samefile(compiled(before, "same"))
    assert not compiled(after, "changed").exists()
    assert not compiled(after, "removed").exists()


def test_the_first_environment_has_nothing_to_link(tmp_path: Path) -> None:
    link_bytecode(str(tmp_path / "none"), str(tmp_path / "1"))
    assert not (tmp_path / "1").exists()
