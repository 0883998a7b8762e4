"""Packed modules are kept from one run to the next, as long as nothing that goes into them changes."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.plugin_utils import built_modules

NAME = f"{built_modules.OURS}release-ZIP_DEFLATED-none"


class Controller:
    """Ansible's home, its folder of each run, and a collection."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.home, self.plugins = path, path / "home", path / "plugins"
        for folder in ("modules", "module_utils/host"):
            (self.plugins / folder).mkdir(parents=True)
        (self.plugins / "modules/release.py").write_text("release = 1\n")
        (self.plugins / "module_utils/host/files.py").write_text("files = 1\n")
        self.at_the_end: list[tuple[object, ...]] = []
        monkeypatch.setattr(atexit, "register", lambda *words: self.at_the_end.append(words))

    def run(self, name: str, packs: str = "", upgrade: str = "") -> str:
        """What a run finds packed; it may pack the module, and the collection may be upgraded beside it."""
        (self.path / name).mkdir()
        built_modules.use(self.home, str(self.path / name), self.plugins)
        module = self.path / name / "ansiballz_cache" / NAME
        found = module.read_text() if module.exists() else ""
        if packs:
            module.parent.mkdir(exist_ok=True)
            module.with_name(f"{NAME}.lock").write_text("")
            module.with_name("ansible.modules.command-ZIP_DEFLATED-none").write_text("Ansible's own")
            module.write_text(packs)
        if upgrade:
            (self.plugins / "module_utils/host/files.py").write_text(upgrade)
        while self.at_the_end:
            end, *words = self.at_the_end.pop()
            end(*words)  # type: ignore[operator]
        return found


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    return Controller(tmp_path, monkeypatch)


def test_a_module_is_packed_once(controller: Controller) -> None:
    assert controller.run("first", packs="packed") == ""
    assert controller.run("second") == "packed"
    kept = [path.name for path in controller.home.glob("*/*")]
    assert kept == [NAME]


@pytest.mark.parametrize(
    "changed", ["modules/release.py", "module_utils/host/files.py", "module_utils/new.py"]
)
def test_what_has_changed_is_packed_anew(controller: Controller, changed: str) -> None:
    controller.run("first", packs="packed")
    path = controller.plugins / changed
    before = os.stat(path) if path.exists() else None
    path.write_text("release = 2\n")
    if before:  # as a copy that keeps the time of the file
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert controller.run("second", packs="packed anew") == ""
    assert controller.run("third") == "packed anew"


def test_what_was_packed_while_the_collection_changed_is_not_kept(controller: Controller) -> None:
    controller.run("first", packs="of both", upgrade="files = 2\n")
    assert controller.run("second") == ""
    (controller.plugins / "module_utils/host/files.py").write_text("files = 1\n")
    assert controller.run("third") == ""


def test_another_ansible_packs_its_own(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    controller.run("first", packs="packed")
    monkeypatch.setattr(built_modules, "__version__", "9.9.9")
    assert controller.run("second") == ""


def test_another_users_are_not_taken(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    controller.run("first", packs="packed")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert controller.run("second") == ""


def test_a_child_of_the_run_keeps_nothing(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", iter([1, 2]).__next__)
    controller.run("first", packs="packed")
    assert list(controller.home.glob("*/*")) == []


def test_a_home_that_cannot_be_written_to_stops_no_run(controller: Controller) -> None:
    controller.home.write_text("a file")
    assert controller.run("first", packs="packed") == ""


def test_of_old_versions_the_last_few_are_kept(controller: Controller) -> None:
    for number in range(5):
        (controller.plugins / "modules/release.py").write_text(f"release = {number}\n")
        controller.run(str(number), packs=f"packed {number}")
        os.utime(controller.home / built_modules.digest(controller.plugins), (number, number))
    assert len(list(controller.home.iterdir())) == built_modules.KEPT_VERSIONS
    assert controller.run("last") == "packed 4"
