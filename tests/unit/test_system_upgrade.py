"""What the upgrade of a system to the next release would do, and what stands in its way."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.action.system_upgrade import (
    ActionModule,
    confirmed,
    described,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade import system as system_upgrade
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.system import (
    NEXT,
    System,
    UpgradeError,
    lacking_space,
    missing_after,
    moved,
    other_sources,
    read_simulation,
)

from tests.unit.releases import write

ROOT = Path(__file__).parents[2]

LISTED = """\
# Debian bookworm
deb http://one.example/debian bookworm main contrib
deb-src [arch=amd64 signed-by=/etc/apt/bookworm.gpg] http://one.example/debian bookworm-updates main
deb http://one.example/debian-security bookworm-security main
deb http://two.example/bookworm stable main
deb http://three.example/debian bookworm-pgdg main
deb http://four.example/debian bookworms main
"""
LISTED_AFTER = """\
# Debian bookworm
deb http://one.example/debian trixie main contrib
deb-src [arch=amd64 signed-by=/etc/apt/bookworm.gpg] http://one.example/debian trixie-updates main
deb http://one.example/debian-security trixie-security main
deb http://two.example/bookworm stable main
deb http://three.example/debian trixie-pgdg main
deb http://four.example/debian bookworms main
"""
DEB822 = """\
Types: deb
URIs: http://one.example/bookworm
Suites: bookworm bookworm-updates
 bookworm-backports
Components: main
# bookworm

types: deb
suites: bookworm-security
Signed-By: /usr/share/keyrings/bookworm.gpg
"""
DEB822_AFTER = """\
Types: deb
URIs: http://one.example/bookworm
Suites: trixie trixie-updates
 trixie-backports
Components: main
# bookworm

types: deb
suites: trixie-security
Signed-By: /usr/share/keyrings/bookworm.gpg
"""
SIMULATED = """\
Remv libssl3 [3.0.22] [postgresql-15:amd64 ]
Inst base-files [12.4] (13.8 Debian:13.8/stable [amd64]) []
Inst python3.13 (3.13.5-2 Debian:13.8/stable [amd64])
Conf base-files (13.8 Debian:13.8/stable [amd64])
"""


def host(folder: Path, codename: str = "bookworm", name: str = "debian") -> System:
    write(folder / "etc/os-release", f'ID={name}\nVERSION_ID="12"\nVERSION_CODENAME={codename}\n')
    return System(str(folder))


def test_the_ways_are_those_of_supported_releases() -> None:
    supported = yaml.safe_load((ROOT / "meta/supported.yml").read_text())["servers"]["Debian"].values()
    assert list(pairwise(supported)) == list(NEXT.items())


@pytest.mark.parametrize(
    ("before", "after", "deb822"), [(LISTED, LISTED_AFTER, False), (DEB822, DEB822_AFTER, True)]
)
def test_sources_are_moved_by_their_suites_alone(before: str, after: str, deb822: bool) -> None:
    assert moved(before, "bookworm", "trixie", deb822) == after


def test_the_files_of_sources_are_moved_in_place(tmp_path: Path) -> None:
    system = host(tmp_path)
    write(tmp_path / "etc/apt/sources.list.d/one.list", LISTED)
    write(tmp_path / "etc/apt/sources.list.d/two.sources", DEB822)
    write(tmp_path / "etc/apt/sources.list.d/three.list.bak", LISTED)
    system.move_sources("bookworm", "trixie")
    folder = tmp_path / "etc/apt/sources.list.d"
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "one.list": LISTED_AFTER, "two.sources": DEB822_AFTER, "three.list.bak": LISTED,
    }  # fmt: skip


def test_the_stage_follows_from_the_host(tmp_path: Path) -> None:
    system = host(tmp_path)
    assert system.stage("trixie") == "ready"
    system.note(**{"from": "bookworm", "to": "trixie"})
    host(tmp_path, "trixie")  # what apt brings in between
    assert system.stage("trixie") == "begun"
    with pytest.raises(UpgradeError, match="the upgrade to trixie has begun; finish it first: -e to=trixie"):
        system.stage("forky")
    system.note(installed=True)
    assert system.stage("trixie") == "installed"
    assert json.loads(Path(system.state).read_text())["from"] == "bookworm"
    system.note()
    assert system.stage("trixie") == "done"


@pytest.mark.parametrize(
    ("codename", "name", "message"),
    [
        ("noble", "ubuntu", "do-release-upgrade"),
        ("bullseye", "debian", "its release is bullseye; this verb upgrades from bookworm to trixie"),
        ("forky", "debian", "its release is forky"),
    ],
)
def test_other_releases_are_refused(tmp_path: Path, codename: str, name: str, message: str) -> None:
    with pytest.raises(UpgradeError, match=message):
        host(tmp_path, codename, name).stage("trixie")


def test_what_apt_would_do() -> None:
    changes = read_simulation(SIMULATED)
    assert changes == {"upgraded": ["base-files"], "new": ["python3.13"], "removed": ["libssl3"]}


def test_what_the_apps_need_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"packages": {"found": {"packages": {"nginx-light|nginx": True, "supervisor": True}}}, "uv": {}}
    monkeypatch.setattr(system_upgrade, "all_records", lambda: records)
    monkeypatch.setattr("glob.glob", lambda _pattern: ["/etc/postgresql/15/main"])
    removed = ["libssl3", "postgresql-15", "supervisor"]
    assert missing_after(removed) == ["postgresql-15", "supervisor"]
    assert missing_after(["libssl3"]) == []


def test_nobody_is_asked_about_a_changed_file() -> None:
    for command in system_upgrade.SCRIPT.format(keep=system_upgrade.KEEP).split("; "):
        if "configure" in command or "install" in command or "full-upgrade" in command:
            assert command.count("--force-confdef") == command.count("--force-confold") == 1, command


def test_sources_of_others() -> None:
    targets = (
        "Debian|http://one trixie|/etc/apt/sources.list:1\n"
        "Vendor|http://two stable|/etc/apt/sources.list.d/two.list:1\n"
        "|http://three ./|/etc/apt/sources.list:3\n"
    )
    assert other_sources(targets) == [
        "http://three ./ in /etc/apt/sources.list:3 (from an unknown origin)",
        "http://two stable in /etc/apt/sources.list.d/two.list:1 (from Vendor)",
    ]


def test_a_disk_has_space_for_all_that_goes_there(tmp_path: Path) -> None:
    one, two = str(tmp_path), str(tmp_path.parent)
    assert lacking_space({one: 1}) == []
    (problem,) = lacking_space({one: 1 << 30, two: 1 << 30})
    assert problem.startswith(f"{one} and {two} have ")
    assert problem.endswith(f"the upgrade needs {(1 << 31) + 500} MiB")


def test_what_the_operator_is_shown() -> None:
    ready = {
        "stage": "ready", "from": "bookworm", "problems": [], "upgraded": ["a", "b"], "new": ["c"],
        "removed": [f"p{number}" for number in range(14)], "others": ["http://two stable"], "download_mb": 155,
    }  # fmt: skip
    lines = described("trixie", {"web1": ready}, "/var/backups")
    assert lines[:4] == [
        "web1: is upgraded from bookworm to trixie",
        "  packages      2 upgraded, 1 new, 14 removed; 155 MiB to download",
        "  removed       p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11 and 2 more",
        "  third party   http://two stable",
    ]
    assert "A backup to /var/backups comes first." in lines
    begun = {"stage": "begun", "from": "bookworm", "problems": []}
    assert "backup" not in "\n".join(described("trixie", {"web1": begun}, ""))
    assert described("trixie", {"web1": {"stage": "done", "from": "trixie", "problems": []}}, "") == [
        "web1: runs trixie; nothing to do"
    ]
    assert described("trixie", {"web1": {"stage": "refused", "from": "", "problems": ["no"]}}, "") == [
        "web1: cannot be upgraded to trixie"
    ]


@pytest.mark.parametrize(
    ("stages", "backup", "check", "backs_up"),
    [
        (("done", "ready"), "/backups", False, True),  # the app server was upgraded before
        (("done", "begun"), "/backups", False, False),
        (("ready", "ready"), "", False, False),
        (("ready", "ready"), "/backups", True, False),
    ],
)
def test_the_backup_that_is_shown_is_made(
    stages: tuple[str, ...], backup: str, check: bool, backs_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})
    action: Any = ActionModule.__new__(ActionModule)
    found = {
        name: {"stage": stage, "from": "", "problems": []}
        for name, stage in zip(("web1", "db1"), stages, strict=True)
    }
    arguments = {"phase": "ask", "to": "trixie", "found": found, "backup": backup, "confirm": "trixie"}
    action._task = SimpleNamespace(args=arguments, check_mode=check)
    assert action.run(task_vars={})["backs_up"] is backs_up


def test_the_answer_is_the_name_of_the_release() -> None:
    confirmed("trixie", "trixie ")
    with pytest.raises(Exception, match="That is not the name of the release"):
        confirmed("trixie", "yes")
