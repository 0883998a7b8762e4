from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import given
from ansible_collections.homeport.django.plugins.module_utils.host.service_config import (
    entries,
    record,
    transaction,
)

from tests.unit.support import CANARY


class Ended(Exception):
    """The module has ended; what it returned."""

    def __init__(self, failed: bool, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", ""))
        self.failed = failed
        self.result = result


class Killed(BaseException):
    """The run was cut off."""


class Host:
    """What stands in for AnsibleModule: systemd's state, and the commands that were run."""

    check_mode = False
    _diff = True

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.active: set[str] = set()
        self.masked: set[str] = set()
        self.commands: list[str] = []
        self.failing: dict[str, str] = {}
        self.on_command: Callable[[str], None] = lambda _words: None

    def run_command(self, words: list[str], check_rc: bool = False) -> tuple[int, str, str]:
        command = " ".join(words)
        if "show" in words:
            return 0, "\n".join(self.state(unit) for unit in words[3:]), ""
        if words[0] == "journalctl":
            return 0, "the log", ""
        self.commands.append(command)
        self.on_command(command)
        for start, message in self.failing.items():
            if command.startswith(start):
                return 1, "", message
        if "enable" in words:
            self.active.add(words[-1])
        if "disable" in words or "mask" in words:
            self.active.discard(words[-1])
        if "mask" in words:
            self.masked.add(words[-1])
        return 0, "", ""

    def state(self, unit: str) -> str:
        if unit in self.masked:
            return "ActiveState=inactive\nUnitFileState=masked\n"
        state = ("active", "enabled") if unit in self.active else ("inactive", "disabled")
        return f"ActiveState={state[0]}\nUnitFileState={state[1]}\n"

    def exit_json(self, **result: Any) -> None:
        raise Ended(False, result)

    def fail_json(self, **result: Any) -> None:
        raise Ended(True, result)


class Set:
    """A set of files in a folder of the test, brought to the host as often as wanted."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder = folder
        self.host = host
        self.service: str | None = "web"

    def path(self, name: str) -> Path:
        return self.folder / name

    def declare(self, *files: dict[str, Any], **options: Any) -> None:
        defaults: dict[str, Any] = {
            "state": "file",
            "content": None,
            "target": None,
            "owner": "root",
            "group": "root",
            "mode": None,
            "secret": False,
            "on_change": "reload",
            "urgent": False,
            "restarts": [],
            "reloads": [],
            "of": "",
        }
        self.host.params = {
            "name": "web",
            "partial": False,
            "files": [{**defaults, **entry, "path": str(self.path(entry["path"]))} for entry in files],
            "secrets": {str(self.path(name)): text for name, text in options.pop("secrets", {}).items()},
            "validate": [],
            "service": self.service,
            "units": [],
            "masked": [],
            "reload": [],
            "daemon_reload": False,
            "restart": "now",
            "settings_of": None,
            "probes": [],
            "given": {},
            **options,
        }

    def run(self, *files: dict[str, Any], **options: Any) -> dict[str, Any]:
        ended = self.end(*files, **options)
        assert not ended.failed, ended
        return ended.result

    def end(self, *files: dict[str, Any], **options: Any) -> Ended:
        self.declare(*files, **options)
        self.host.commands.clear()
        with pytest.raises(Ended) as caught:
            transaction.run(self.host)
        return caught.value


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Set:
    monkeypatch.setattr(record, "STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setattr(entries.Entry, "ids", lambda _entry: (os.getuid(), os.getgid()))
    (tmp_path / "etc").mkdir()
    host = Host()
    host.active.add("web")
    return Set(tmp_path / "etc", host)


A = {"path": "a.conf", "content": "a\n"}


def leftovers(files: Set) -> list[str]:
    """What no run may leave behind."""
    state = files.folder.parent / "state"
    return [
        path.name for path in (*files.folder.rglob(".homeport-*"), *state.glob("undo*"), *state.glob("*.new"))
    ]


def test_the_first_run_writes_and_reloads(files: Set) -> None:
    result = files.run(A)
    assert files.path("a.conf").read_text() == "a\n"
    assert (result["changed"], result["applied"]) == (True, "reload")
    assert files.host.commands == ["systemctl reload web"]
    assert leftovers(files) == []


def test_the_second_run_does_nothing(files: Set) -> None:
    files.run(A)
    result = files.run(A)
    assert (result["changed"], result["paths"], files.host.commands) == (False, [], [])


def test_check_mode_changes_nothing(files: Set) -> None:
    files.host.check_mode = True
    result = files.run(A)
    assert result["changed"]
    assert result["paths"] == [str(files.path("a.conf"))]
    assert not files.path("a.conf").exists()
    assert not (files.folder.parent / "state").exists()


def test_a_run_from_another_controller_waits(files: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "LOCK_TIMEOUT", 0)
    other, seen = Set(files.folder, Host()), []

    def meanwhile(_command: str) -> None:
        seen.append(other.end({"path": "b.conf", "content": "b\n"}))

    files.host.on_command = meanwhile
    files.run(A)
    assert seen[0].failed
    assert "Another run has been changing the configuration" in str(seen[0])
    assert not files.path("b.conf").exists()
    assert files.run(A)["changed"] is False


def test_the_mode_is_the_declared_one(files: Set) -> None:
    files.run({**A, "mode": "0600"}, {"path": "folder", "state": "directory", "mode": "2750"})
    assert files.path("a.conf").stat().st_mode & 0o7777 == 0o600
    assert files.path("folder").stat().st_mode & 0o7777 == 0o2750
    assert (
        files.run({**A, "mode": "0600"}, {"path": "folder", "state": "directory", "mode": "2750"})["changed"]
        is False
    )
    assert files.run({**A, "mode": "0640"}, {"path": "folder", "state": "directory", "mode": "2750"})[
        "paths"
    ] == [str(files.path("a.conf"))]


def test_a_changed_mode_or_content_is_put_right(files: Set) -> None:
    files.run(A)
    files.path("a.conf").chmod(0o600)
    assert files.run(A)["changed"]
    files.path("a.conf").write_text("b\n")
    assert files.run(A)["changed"]
    assert files.path("a.conf").read_text() == "a\n"


GIVEN = {"key": "service_config.web", "digest": "d"}


@pytest.fixture
def records(files: Set, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is left what the set was given."""
    folder = files.folder.parent / "given"
    monkeypatch.setattr(given, "FOLDER", str(folder))
    return folder / "service_config.web.json"


def test_what_was_given_is_left_once_it_is_there(files: Set, records: Path) -> None:
    files.run(A, given=GIVEN)
    found = json.loads(records.read_text())
    assert found["digest"] == "d"
    assert found["found"]["paths"] == {str(files.path("a.conf")): given.standing(str(files.path("a.conf")))}
    assert found["found"]["units"] == {"web": [True, True]}
    records.unlink()
    assert files.run(A, given=GIVEN)["changed"] is False
    assert json.loads(records.read_text()) == found


def test_what_was_given_is_not_left_where_it_is_not_there(files: Set, records: Path) -> None:
    files.host.check_mode = True
    files.run(A, given=GIVEN)
    assert not records.exists()
    files.host.check_mode = False
    files.run(A, given=GIVEN)
    files.host.failing["check"] = "no"
    assert files.end({**A, "content": "b\n"}, given={**GIVEN, "digest": "e"}, validate=["check"]).failed
    assert not records.exists()


def test_a_run_that_is_interrupted_leaves_no_record(files: Set, records: Path) -> None:
    files.run(A, given=GIVEN)

    def kill(_words: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare({**A, "content": "b\n"}, given={**GIVEN, "digest": "e"})
    with pytest.raises(Killed):
        transaction.run(files.host)
    assert not records.exists()


def test_what_is_in_force_is_put_right(files: Set, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"nft": "rules"}
    monkeypatch.setattr(given, "answer", lambda words: said[words[0]])
    options: dict[str, Any] = {"given": GIVEN, "probes": [["nft"]]}
    files.run(A, **options)
    assert files.run(A, **options)["changed"] is False
    said["nft"] = "other rules"
    files.host.on_command = lambda _words: said.update(nft="rules")
    result = files.run(A, **options)
    assert (result["changed"], result["applied"], files.host.commands) == (
        True,
        "reload",
        ["systemctl reload web"],
    )
    assert files.run(A, **options)["changed"] is False


def test_links(files: Set) -> None:
    link = {"path": "link", "state": "link", "target": "/one"}
    files.run(link)
    assert os.readlink(files.path("link")) == "/one"
    assert files.run(link)["changed"] is False
    files.run({**link, "target": "/two"})
    assert os.readlink(files.path("link")) == "/two"


def test_a_file_takes_the_place_of_a_link_and_not_of_its_target(files: Set) -> None:
    files.path("target").write_text("mine\n")
    files.path("a.conf").symlink_to("target")
    files.run(A)
    assert not files.path("a.conf").is_symlink()
    assert files.path("target").read_text() == "mine\n"


def test_a_folder_in_the_way_of_a_file_stays(files: Set) -> None:
    files.path("a.conf").mkdir()
    ended = files.end(A)
    assert ended.failed
    assert "is a folder; move it aside" in str(ended)
    assert files.path("a.conf").is_dir()


def test_what_is_no_longer_declared_goes(files: Set) -> None:
    files.path("foreign.conf").write_text("not ours\n")
    files.run(A, {"path": "b.conf", "content": "b\n"})
    result = files.run(A)
    assert result["paths"] == [str(files.path("b.conf"))]
    assert files.host.commands == ["systemctl reload web"]
    assert sorted(path.name for path in files.folder.iterdir()) == ["a.conf", "foreign.conf"]
    assert files.run(A)["changed"] is False


def test_a_whole_tree_that_is_no_longer_declared_goes(files: Set) -> None:
    tree = [
        {"path": "d", "state": "directory"},
        {"path": "d/e", "state": "directory"},
        {"path": "d/e/f", "content": "f\n"},
    ]
    files.run(A, *tree)
    files.run(A)
    assert not files.path("d").exists()


def test_folders_with_something_else_in_them_stay(files: Set) -> None:
    tree = [
        {"path": "d", "state": "directory"},
        {"path": "d/e", "state": "directory"},
        {"path": "d/f", "content": "f\n"},
    ]
    files.run(A, *tree)
    files.path("d/mine").write_text("data\n")
    files.run(A)
    assert [path.name for path in files.path("d").iterdir()] == ["mine"]


def test_absent_removes_what_others_put_there(files: Set) -> None:
    files.path("default").write_text("x\n")
    absent = {"path": "default", "state": "absent"}
    assert files.run(absent)["changed"]
    assert not files.path("default").exists()
    assert files.run(absent)["changed"] is False


@pytest.mark.parametrize(
    ("kinds", "command"),
    [
        (["none"], []),
        (["reload"], ["systemctl reload web"]),
        (["reload", "restart", "none"], ["systemctl restart web"]),
    ],
)
def test_the_most_urgent_change_decides(files: Set, kinds: list[str], command: list[str]) -> None:
    result = files.run(*({"path": kind, "content": kind, "on_change": kind} for kind in kinds))
    assert files.host.commands == command
    assert result["changed"]


def test_a_command_of_its_own_instead_of_reload(files: Set) -> None:
    files.run(A, reload=["supervisorctl", "update"])
    assert files.host.commands == ["supervisorctl update"]


def test_a_set_without_a_service(files: Set) -> None:
    files.service = None
    assert files.run(A)["applied"] == ""
    assert files.host.commands == []
    assert files.run({**A, "content": "b\n"}, reload=["true"])["applied"] == "reload"


def test_a_service_that_is_stopped_is_started_and_not_reloaded_too(files: Set) -> None:
    files.host.active.clear()
    result = files.run(A)
    assert result["applied"] == "start"
    assert files.host.commands == ["systemctl enable --now web"]
    files.host.active.clear()
    assert files.run(A)["applied"] == "start"


def test_systemd_reads_its_units_again_before_anything_is_started(files: Set) -> None:
    files.host.active.clear()
    files.run(A, daemon_reload=True)
    assert files.host.commands == ["systemctl daemon-reload", "systemctl enable --now web"]
    files.run(A, daemon_reload=True)
    assert files.host.commands == []


def test_units_come_and_go(files: Set) -> None:
    files.run(A, units=["one.timer", "two.timer"])
    assert {"one.timer", "two.timer"} <= files.host.active
    assert files.run(A, units=["one.timer", "two.timer"])["changed"] is False
    assert files.run(A, units=["two.timer"])["changed"]
    assert files.host.commands == [
        "systemctl disable --now one.timer",
        "systemctl reset-failed one.timer",
        "systemctl reset-failed one.service",
    ]
    assert "one.timer" not in files.host.active


def test_a_unit_that_does_not_start_is_tried_again(files: Set) -> None:
    files.host.failing = {"systemctl enable --now one.timer": "bad calendar"}
    ended = files.end(A, units=["one.timer"])
    assert "one.timer does not start: bad calendar" in str(ended)
    files.host.failing = {}
    assert files.run(A, units=["one.timer"])["changed"]
    assert "one.timer" in files.host.active


def instance(name: str, content: str = "one\n") -> dict[str, Any]:
    return {"path": f"{name}.conf", "content": content, "restarts": [f"db@{name}"]}


def test_a_change_restarts_the_units_of_its_file_alone(files: Set) -> None:
    units = ["db@a", "db@b"]
    result = files.run(instance("a"), instance("b"), units=units)
    assert files.host.commands == ["systemctl enable --now db@a", "systemctl enable --now db@b"]
    assert result["units"] == units
    assert files.run(instance("a"), instance("b"), units=units)["changed"] is False
    result = files.run(instance("a"), instance("b", "two\n"), units=units)
    assert files.host.commands == ["systemctl restart db@b"]
    assert (result["changed"], result["applied"], result["units"]) == (True, "", ["db@b"])
    files.run(instance("a"), instance("b", "two\n"), instance("c"), units=[*units, "db@c"])
    assert files.host.commands == ["systemctl enable --now db@c"]


def test_a_file_of_all_units_restarts_all(files: Set) -> None:
    units = ["db@a", "db@b"]
    both = {"path": "all.conf", "content": "x\n", "restarts": units}
    files.run(both, units=units)
    files.run({**both, "content": "y\n"}, units=units)
    assert files.host.commands == ["systemctl restart db@a", "systemctl restart db@b"]


def reloaded(name: str, content: str = "one\n") -> dict[str, Any]:
    return {"path": f"{name}.acl", "content": content, "reloads": [f"db@{name}"]}


def test_a_change_may_reload_a_unit_instead(files: Set) -> None:
    units = ["db@a", "db@b"]
    files.run(reloaded("a"), reloaded("b"), units=units)
    result = files.run(reloaded("a"), reloaded("b", "two\n"), units=units)
    assert files.host.commands == ["systemctl reload db@b"]
    assert (result["changed"], result["units"]) == (True, ["db@b"])
    assert files.run(reloaded("a"), reloaded("b", "two\n"), units=units)["changed"] is False
    # what needs both is restarted
    files.run(instance("a"), reloaded("a", "two\n"), reloaded("b", "two\n"), units=units)
    assert files.host.commands == ["systemctl restart db@a"]


def test_a_unit_that_cannot_be_reloaded_is_restarted(files: Set) -> None:
    files.run(reloaded("a"), units=["db@a"])
    files.host.failing = {"systemctl reload db@a": "no"}
    assert files.run(reloaded("a", "two\n"), units=["db@a"])["units"] == ["db@a"]
    assert files.host.commands == ["systemctl reload db@a", "systemctl restart db@a"]


def test_a_reload_that_was_interrupted_is_made_up_for(files: Set) -> None:
    files.run(reloaded("a"), units=["db@a"])

    def kill(_words: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare(reloaded("a", "two\n"), units=["db@a"])
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _words: None
    files.run(reloaded("a", "two\n"), units=["db@a"])
    assert files.host.commands == ["systemctl reload db@a"]
    assert files.run(reloaded("a", "two\n"), units=["db@a"])["changed"] is False


def test_what_was_reloaded_is_reloaded_again_when_the_old_files_are_back(files: Set) -> None:
    units = ["db@a", "db@b"]
    files.run(reloaded("a"), instance("b"), units=units)
    files.host.failing = {"systemctl restart db@b": "bad port"}
    files.end(reloaded("a", "two\n"), instance("b", "bad\n"), units=units)
    assert files.host.commands == [
        "systemctl reload db@a",
        "systemctl restart db@b",
        "systemctl reload db@a",
        "systemctl restart db@b",
    ]


def test_a_unit_makes_room_before_another_starts(files: Set) -> None:
    files.service = None
    files.run(instance("old"), units=["db@old"])
    result = files.run(instance("new"), units=["db@new"])
    assert files.host.commands == [
        "systemctl disable --now db@old",
        "systemctl reset-failed db@old",
        "systemctl enable --now db@new",
    ]
    assert result["units"] == ["db@old", "db@new"]
    assert not files.path("old.conf").exists()


def of(site: str, content: str, path: str = "") -> dict[str, Any]:
    return {"path": path or f"{site}.conf", "content": content, "of": site}


def parser(files: Set) -> Callable[[str], None]:
    """Refuses any file that says so, the way nginx does."""

    def judge(_command: str) -> None:
        bad = [path for path in sorted(files.folder.glob("*.conf")) if path.read_text() == "bad\n"]
        files.host.failing = {"check": f'unknown directive "bad" in {bad[0]}:1'} if bad else {}

    return judge


def test_what_the_parser_says_against_one_keeps_no_other_from_its_files(files: Set, records: Path) -> None:
    files.host.on_command = parser(files)
    first = {**GIVEN, "parts": {"blog": {"web": "1"}, "shop": {"web": "1"}}}
    files.run(of("blog", "old\n"), of("shop", "old\n"), validate=["check"], given=first)
    new = {**GIVEN, "digest": "e", "parts": {"blog": {"web": "2"}, "shop": {"web": "2"}, "wiki": {}}}
    wanted = [
        of("blog", "bad\n"),
        of("blog", "new\n", "blog-more.conf"),
        of("shop", "new\n"),
        of("wiki", "bad\n"),
    ]
    result = files.run(*wanted, validate=["check"], given=new)
    assert list(result["refused"]) == ["blog", "wiki"]
    assert f"in {files.path('blog.conf')}:1" in result["refused"]["blog"]
    assert result["paths"] == [str(files.path("shop.conf"))]
    assert files.path("blog.conf").read_text() == "old\n"
    assert files.path("shop.conf").read_text() == "new\n"
    assert sorted(path.name for path in files.folder.iterdir()) == ["blog.conf", "shop.conf"]
    assert "systemctl reload web" in files.host.commands
    assert leftovers(files) == []
    # the component is not as wanted, and has what it was given before
    kept = json.loads(records.read_text())
    assert (kept["digest"], kept["parts"]) == ("", {"blog": {"web": "1"}, "shop": {"web": "2"}})
    again = files.run(*wanted, validate=["check"], given=new)
    assert (list(again["refused"]), again["changed"]) == (["blog", "wiki"], False)
    wanted = [of("blog", "new\n"), of("shop", "new\n"), of("wiki", "new\n")]
    assert files.run(*wanted, validate=["check"], given=new)["refused"] == {}
    assert json.loads(records.read_text())["digest"] == "e"


def test_a_refusal_that_names_nobody_in_particular_restores_all(files: Set) -> None:
    files.run(of("blog", "old\n"), validate=["check"])
    files.host.failing["check"] = f"conflict in {files.path('blog.conf')}-more:1"
    ended = files.end(of("blog", "new\n"), validate=["check"])
    assert ended.failed
    assert files.path("blog.conf").read_text() == "old\n"
    # also where what the parser names was not changed
    files.host.failing["check"] = f"unknown directive in {files.path('blog.conf')}:1"
    assert files.end(of("blog", "old\n"), A, validate=["check"]).failed
    assert not files.path("a.conf").exists()


def test_a_unit_that_refuses_its_file_gets_the_old_one_back(files: Set) -> None:
    units = ["db@a", "db@b"]
    files.run(instance("a"), instance("b"), units=units)
    seen: list[str] = []

    def restart_once(command: str) -> None:
        if command == "systemctl restart db@b":
            seen.append(files.path("b.conf").read_text())
            files.host.failing = {} if len(seen) > 1 else {"systemctl restart db@b": "bad port"}

    files.host.on_command = restart_once
    ended = files.end(instance("a"), instance("b", "bad\n"), units=units, daemon_reload=True)
    assert "db@b does not start: bad port\nthe log" in str(ended)
    assert seen == ["bad\n", "one\n"]
    assert files.host.commands == [
        "systemctl daemon-reload",
        "systemctl restart db@b",
        "systemctl daemon-reload",
        "systemctl restart db@b",
    ]
    assert files.run(instance("a"), instance("b"), units=units)["changed"] is False


def test_a_new_unit_that_does_not_start_goes_and_one_that_had_to_go_comes_back(files: Set) -> None:
    files.service = None
    files.run(instance("a"), instance("old"), units=["db@a", "db@old"])
    files.host.failing = {"systemctl enable --now db@new": "no"}
    assert files.end(instance("a"), instance("new"), units=["db@a", "db@new"]).failed
    assert files.host.commands == [
        "systemctl disable --now db@old",
        "systemctl reset-failed db@old",
        "systemctl enable --now db@new",
        "systemctl disable --now db@new",
        "systemctl reset-failed db@new",
        "systemctl enable --now db@old",
    ]
    assert sorted(path.name for path in files.folder.iterdir()) == ["a.conf", "old.conf"]
    files.host.failing = {}
    assert files.run(instance("a"), instance("old"), units=["db@a", "db@old"])["changed"] is False


def test_a_restart_that_was_interrupted_is_made_up_for(files: Set) -> None:
    files.run(instance("a"), instance("b"), units=["db@a", "db@b"])

    def kill(_words: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare(instance("a", "two\n"), instance("b"), units=["db@a", "db@b"])
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _words: None
    files.run(instance("a", "two\n"), instance("b"), units=["db@a", "db@b"])
    assert files.host.commands == ["systemctl restart db@a"]
    assert files.run(instance("a", "two\n"), instance("b"), units=["db@a", "db@b"])["changed"] is False


def test_a_unit_that_a_run_was_interrupted_at_is_stopped_when_it_is_not_declared(files: Set) -> None:
    files.declare(instance("a"), units=["db@a"])

    def kill(_words: str) -> None:
        files.host.active.add("db@a")
        raise Killed

    files.host.on_command = kill
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _words: None
    files.run(A)
    assert "db@a" not in files.host.active


def test_check_mode_says_which_units_would_be_touched(files: Set) -> None:
    files.run(instance("a"), instance("b"), units=["db@a", "db@b"])
    files.host.check_mode = True
    result = files.run(instance("b", "two\n"), instance("c"), units=["db@b", "db@c"])
    assert result["units"] == ["db@a", "db@b", "db@c"]
    assert files.host.commands == []


def test_what_a_package_starts_is_masked(files: Set) -> None:
    files.host.active.add("db")
    result = files.run(instance("a"), units=["db@a"], masked=["db"])
    assert files.host.commands == [
        "systemctl mask --now db",
        "systemctl reset-failed db",
        "systemctl enable --now db@a",
    ]
    assert result["units"] == ["db", "db@a"]
    assert files.run(instance("a"), units=["db@a"], masked=["db"])["changed"] is False


def test_what_cannot_be_masked_stops_the_run(files: Set) -> None:
    files.host.failing = {"systemctl mask": "file exists"}
    assert "db cannot be masked: file exists" in str(files.end(A, masked=["db"]))
    assert not files.path("a.conf").exists()


def test_a_refused_configuration_is_put_back(files: Set) -> None:
    files.run(A, {"path": "gone.conf", "content": "g\n"})
    files.host.failing = {"check": "line 1: no"}
    files.path("a.conf").chmod(0o640)
    ended = files.end({**A, "content": "new\n"}, {"path": "b.conf", "content": "b\n"}, validate=["check"])
    assert ended.failed
    assert "check refuses the configuration: line 1: no" in str(ended)
    assert "Every file of web was restored." in str(ended)
    assert files.path("a.conf").read_text() == "a\n"
    assert files.path("a.conf").stat().st_mode & 0o777 == 0o640
    assert files.path("gone.conf").read_text() == "g\n"
    assert not files.path("b.conf").exists()
    assert files.host.commands == ["check"]
    assert leftovers(files) == []


def test_folders_are_put_back_too(files: Set) -> None:
    files.run({"path": "d", "state": "directory", "mode": "2750"}, {"path": "d/f", "content": "f\n"})
    files.host.failing = {"check": "no"}
    new = [{"path": "n", "state": "directory"}, {"path": "n/f", "content": "f\n"}]
    assert files.end(*new, validate=["check"]).failed
    assert files.path("d/f").read_text() == "f\n"
    assert files.path("d").stat().st_mode & 0o7777 == 0o2750
    assert not files.path("n").exists()


def test_after_a_refusal_the_right_configuration_is_applied(files: Set) -> None:
    files.run(A)
    files.host.failing = {"check": "no"}
    files.end({**A, "content": "bad\n"}, validate=["check"])
    files.host.failing = {}
    assert files.run(A, validate=["check"])["changed"] is False
    assert files.run({**A, "content": "good\n"}, validate=["check"])["applied"] == "reload"


def test_a_reload_that_fails_puts_files_and_service_back(files: Set) -> None:
    files.run(A)
    seen: list[str] = []

    def reload_once(command: str) -> None:
        if command == "systemctl reload web":
            seen.append(files.path("a.conf").read_text())
            files.host.failing = {} if len(seen) > 1 else files.host.failing

    files.host.on_command = reload_once
    files.host.failing = {"systemctl reload web": "no"}
    ended = files.end({**A, "content": "b\n"})
    assert "reload of web failed: no\nthe log" in str(ended)
    assert seen == ["b\n", "a\n"]
    assert files.path("a.conf").read_text() == "a\n"


def test_a_full_disk_puts_everything_back(files: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    files.run(A)

    def full(_entry: Any) -> None:
        raise OSError(28, "No space left on device")

    original = entries.Entry.apply
    monkeypatch.setattr(
        entries.Entry,
        "apply",
        lambda entry: (full if entry.path.endswith("b.conf") else original)(entry),
    )
    ended = files.end({**A, "content": "b\n"}, {"path": "b.conf", "content": "b\n"})
    assert "No space left on device" in str(ended)
    assert files.path("a.conf").read_text() == "a\n"


@pytest.mark.parametrize("when", ["check", "systemctl reload web"])
def test_a_run_that_was_interrupted_is_finished_by_the_next(files: Set, when: str) -> None:
    files.run(A)

    def kill(command: str) -> None:
        if command == when:
            raise Killed

    files.host.on_command = kill
    files.declare({**A, "content": "b\n"}, validate=["check"])
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _command: None
    assert files.path("a.conf").read_text() == "b\n"

    result = files.run({**A, "content": "b\n"}, validate=["check"])
    assert (result["changed"], result["applied"]) == (True, "reload")
    assert files.host.commands == ["check", "systemctl reload web"]
    assert files.run({**A, "content": "b\n"}, validate=["check"])["changed"] is False
    assert leftovers(files) == []


def test_a_refusal_does_not_forget_what_an_earlier_run_left_to_do(files: Set) -> None:
    def kill(command: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare({**A, "on_change": "restart"})
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _command: None

    files.host.failing = {"check": "no"}
    assert files.end(
        {**A, "on_change": "restart"}, {"path": "bad", "content": "x"}, validate=["check"]
    ).failed
    files.host.failing = {}
    assert files.run({**A, "on_change": "restart"})["applied"] == "restart"


def test_a_run_that_was_interrupted_still_removes_what_is_not_declared(files: Set) -> None:
    files.run(A, {"path": "old.conf", "content": "o\n"})

    def kill(command: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare({"path": "new.conf", "content": "n\n"})
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _command: None
    files.run(A)
    assert sorted(path.name for path in files.folder.iterdir()) == ["a.conf"]


def test_secrets_are_written_and_never_shown(files: Set) -> None:
    secret = {"path": "env", "secret": True, "mode": "0640"}
    result = files.run(secret, secrets={"env": f"export KEY={CANARY}\n"})
    assert files.path("env").read_text() == f"export KEY={CANARY}\n"
    assert CANARY not in json.dumps(result)
    result = files.run(secret, secrets={"env": f"export KEY={CANARY}2\n"})
    assert result["changed"]
    assert CANARY not in json.dumps(result)
    record = (files.folder.parent / "state" / "web.json").read_text()
    assert CANARY not in record


def test_a_removed_secret_is_not_shown_either(files: Set) -> None:
    files.run(A, {"path": "env", "secret": True}, secrets={"env": CANARY})
    assert CANARY not in json.dumps(files.run(A))


def test_the_difference_of_other_files_is_shown(files: Set) -> None:
    files.run(A)
    diff = files.run({**A, "content": "b\n"})["diff"]
    assert [(entry["before"], entry["after"]) for entry in diff] == [("a\n", "b\n")]


def test_a_damaged_record_is_like_none(files: Set) -> None:
    files.run(A)
    (files.folder.parent / "state" / "web.json").write_text("{")
    assert files.run(A)["changed"] is False
    assert json.loads((files.folder.parent / "state" / "web.json").read_text())["paths"] == [
        str(files.path("a.conf"))
    ]


def test_the_state_is_for_root_alone(files: Set) -> None:
    files.run(A)
    assert (files.folder.parent / "state").stat().st_mode & 0o777 == 0o700


def test_a_group_that_does_not_exist(files: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    files.run(A)

    def missing(_entry: Any) -> tuple[int, int]:
        raise KeyError("getgrnam(): name not found: 'blog'")

    monkeypatch.setattr(entries.Entry, "ids", missing)
    ended = files.end(A, {"path": "b.conf", "content": "b\n"})
    assert "A user or a group does not exist: getgrnam(): name not found: 'blog'" in str(ended)
    assert files.path("a.conf").read_text() == "a\n"
    assert leftovers(files) == []


def test_an_account_that_check_mode_has_not_made(files: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    files.run(A)

    def missing(_entry: Any) -> tuple[int, int]:
        raise KeyError("no such user")

    monkeypatch.setattr(entries.Entry, "ids", missing)
    files.host.check_mode = True
    assert files.run(A)["changed"]


def test_text_of_any_kind(files: Set) -> None:
    text = "ünïcödé 日本 \r\n\ttab\x01\n"
    files.run({**A, "content": text})
    assert files.path("a.conf").read_bytes() == text.encode()
    assert files.run({**A, "content": text})["changed"] is False


def test_a_part_of_a_set_leaves_the_rest_alone(files: Set) -> None:
    b = {"path": "b.conf", "content": "b\n"}
    files.run(A, b, units=["x.timer"])
    result = files.run({**b, "content": "new\n"}, partial=True)
    assert (result["paths"], result["applied"]) == ([str(files.path("b.conf"))], "reload")
    assert files.path("a.conf").exists()
    assert files.host.active == {"web", "x.timer"}
    assert files.run({**b, "content": "new\n"}, partial=True)["changed"] is False
    # the whole set knows nothing of the parts, and its own record is whole
    assert files.run(A, {**b, "content": "new\n"}, units=["x.timer"])["changed"] is False
    files.run(A, units=["x.timer"])
    assert not files.path("b.conf").exists()


def test_a_part_that_goes_is_forgotten(files: Set) -> None:
    flag = {"path": "on", "content": "x"}
    files.run(A, flag, partial=True)
    assert files.run({**flag, "state": "absent"}, partial=True)["changed"] is True
    assert not files.path("on").exists()
    files.path("on").write_text("somebody else's")
    files.run(A)
    assert files.path("on").exists()


def test_a_part_that_was_interrupted_is_applied_by_the_whole(files: Set) -> None:
    files.run(A)

    def kill(words: str) -> None:
        raise Killed

    files.host.on_command = kill
    files.declare({**A, "content": "new\n"}, partial=True)
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _words: None
    assert files.run({**A, "content": "new\n"})["applied"] == "reload"


def test_a_file_that_is_kept_is_neither_written_nor_removed(files: Set) -> None:
    files.run({"path": "a", "content": "1\n"}, {"path": "b", "content": "1\n"})
    kept = {"path": "b", "state": "kept"}
    changed = files.run({"path": "a", "content": "2\n"}, kept, {"path": "c", "state": "kept"})
    assert changed["paths"] == [str(files.path("a"))]
    assert files.path("b").read_text() == "1\n"
    assert not files.path("c").exists()
    assert not files.run({"path": "a", "content": "2\n"}, kept)["changed"]
    files.run({"path": "a", "content": "2\n"})
    assert not files.path("b").exists()


def test_a_command_that_came_with_a_set_which_was_refused_is_not_run_again(files: Set) -> None:
    program = str(files.path("program"))
    files.service = None
    files.host.failing = {program: "cannot be downloaded"}
    ended = files.end({"path": "program", "content": "#!/bin/sh\n", "mode": "0755"}, reload=[program])
    assert "cannot be downloaded" in ended.result["msg"]
    assert files.host.commands == [program]
    assert not files.path("program").exists()
