"""What a component was given, and whether it has been touched since: on the host, and on the controller."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.module_utils.common.digests import digest
from ansible_collections.homeport.django.plugins.module_utils.host import given
from ansible_collections.homeport.django.plugins.module_utils.host.given import Given, standing, untouched
from ansible_collections.homeport.django.plugins.plugin_utils import component
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import this_run


def test_a_digest_is_that_of_the_values() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest({"a": ["x", "y"]}) != digest({"a": ["y", "x"]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    path.chmod(0o640)
    return path


def left(folder: Path, key: str, found: dict[str, Any], wanted: str = "d") -> Given:
    record = Given(key, wanted, str(folder))
    record.keep(found)
    return record


def test_what_nobody_has_touched(tmp_path: Path, file: Path) -> None:
    left(tmp_path / "given", "files", {"paths": {str(file): standing(str(file))}})
    left(tmp_path / "given", "nothing", {}, "e")
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {"files": "d", "nothing": "e"}


def test_for_whom_it_was_given_what(tmp_path: Path, file: Path) -> None:
    parts = {"blog": {"domains": "d1"}}
    record = Given("service_config.nginx", "d", str(tmp_path), parts)
    record.keep({"paths": {str(file): standing(str(file))}})
    left(tmp_path, "files", {})
    assert given.given_parts(str(tmp_path)) == {"service_config.nginx": parts}
    assert given.touched_paths(str(tmp_path)) == []
    file.chmod(0o600)
    assert given.touched_paths(str(tmp_path)) == [str(file)]


def test_nothing_is_known_of_a_host_that_homeport_has_not_been_to(tmp_path: Path) -> None:
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {}


def retargeted(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


TOUCHES = {
    "content": lambda path: path.write_text("b\n"),
    "mode": lambda path: path.chmod(0o600),
    "gone": lambda path: path.unlink(),
    "a link": retargeted,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_what_somebody_has_touched(touch: Any, tmp_path: Path, file: Path) -> None:
    left(tmp_path / "given", "files", {"paths": {str(file): standing(str(file))}})
    touch(file)
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {}


def test_one_that_was_touched_does_not_concern_another(tmp_path: Path, file: Path) -> None:
    left(tmp_path / "given", "files", {"paths": {str(file): standing(str(file))}})
    left(tmp_path / "given", "other", {"paths": {"/": standing("/")}})
    file.write_text("b\n")
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {"other": "d"}


def test_what_is_to_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "default"
    left(tmp_path / "given", "files", {"paths": {str(path): standing(str(path))}})
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {"files": "d"}
    path.touch()
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {}


def test_an_owner_counts_by_name(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(tmp_path / "given", "files", {"paths": {str(file): standing(str(file))}})
    other = SimpleNamespace(pw_name="other")
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: other)
    assert untouched(given.LOOKS, str(tmp_path / "given")) == {}


def asked(answers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run, each answered by its first word."""
    commands: list[list[str]] = []

    def answer(words: list[str]) -> str:
        commands.append(words)
        return answers.get(words[0], "")

    monkeypatch.setattr(given, "answer", answer)
    return commands


ACTIVE = "ActiveState=active\nUnitFileState=enabled\n"
STOPPED = "ActiveState=inactive\nUnitFileState=enabled\n"
MASKED = "ActiveState=inactive\nUnitFileState=masked\n"


@pytest.mark.parametrize(
    ("said", "as_left"),
    [
        (f"{ACTIVE}\n{MASKED}", True),
        (f"{STOPPED}\n{MASKED}", False),
        (f"{ACTIVE}\n{ACTIVE}", False),
        (f"ActiveState=active\nUnitFileState=disabled\n\n{MASKED}", False),
        ("", False),
    ],
)
def test_units(said: str, as_left: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = said.split("\n\n") if said else ["", ""]
    monkeypatch.setattr(given, "answer", lambda words: both[0 if words[-1] == "web" else 1])
    left(tmp_path, "web", {"units": {"web": [True, True]}, "masks": {"default": True}})
    assert (untouched(given.LOOKS, str(tmp_path)) == {"web": "d"}) is as_left


def test_systemd_and_dpkg_are_asked_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = "installed\tnginx\t\ninstalled\tpostgresql\t\n"
    commands = asked({"systemctl": f"{ACTIVE}\n{ACTIVE}", "dpkg-query": packages}, monkeypatch)
    left(tmp_path, "a", {"units": {"nginx": [True, True]}, "packages": {"nginx": True}})
    left(tmp_path, "b", {"units": {"redis": [True, True]}, "packages": {"valkey|postgresql": True}})
    assert untouched(given.LOOKS, str(tmp_path)) == {"a": "d", "b": "d"}
    assert sorted(words[0] for words in commands) == ["dpkg-query", "systemctl"]


def test_a_package_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked({"dpkg-query": "config-files\tnginx\t\n"}, monkeypatch)
    left(tmp_path, "packages", {"packages": {"nginx": True}})
    assert untouched(given.LOOKS, str(tmp_path)) == {}


def test_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    left(tmp_path, "accounts", {"accounts": given.accounts([me])})
    assert untouched(given.LOOKS, str(tmp_path)) == {"accounts": "d"}
    monkeypatch.setattr(grp, "getgrall", lambda: [SimpleNamespace(gr_name="sudo", gr_mem=[me])])
    assert untouched(given.LOOKS, str(tmp_path)) == {}


def test_what_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked({"nft": "table inet homeport"}, monkeypatch)
    command = json.dumps(["nft", "list"])
    left(tmp_path, "firewall", {"answers": given.answers([command])})
    assert untouched(given.LOOKS, str(tmp_path)) == {"firewall": "d"}
    asked({"nft": ""}, monkeypatch)
    assert untouched(given.LOOKS, str(tmp_path)) == {}


def test_what_cannot_be_asked_counts_as_touched(tmp_path: Path) -> None:
    left(tmp_path, "databases", {"cluster": {"state": "x"}})
    assert untouched({**given.LOOKS, "cluster": lambda _names: {}}, str(tmp_path)) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "d"}', '{"digest": "d", "found": []}'])
def test_a_damaged_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text(text)
    assert untouched(given.LOOKS, str(tmp_path)) == {}
    assert Given("web", "d", str(tmp_path)).found() == {}


def test_a_record_is_for_root_alone_and_goes_before_a_change(tmp_path: Path) -> None:
    record = left(tmp_path / "homeport" / "given", "web", {})
    for name, mode in (("", 0o700), ("given", 0o700), ("given/web.json", 0o600)):
        assert (tmp_path / "homeport" / name).stat().st_mode & 0o777 == mode, name
    record.forget()
    record.forget()
    assert untouched(given.LOOKS, str(tmp_path / "homeport" / "given")) == {}


def test_a_module_that_is_used_without_its_action_leaves_none(tmp_path: Path) -> None:
    record = Given("", "", str(tmp_path))
    record.forget()
    record.keep({})
    assert record.found() == {}
    assert list(tmp_path.iterdir()) == []


class Action(component.ComponentAction):
    """An action whose module answers, without a host."""

    MODULE = "packages"
    UNCHANGED = {"missing": []}

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.calls: list[dict[str, Any]] = []
        self._task: Any = SimpleNamespace(args=arguments, _role=None)

        self._templar: Any = SimpleNamespace(template=lambda value: value)

    def _execute_module(self, **options: Any) -> dict[str, Any]:
        self.calls.append(options["module_args"])
        return {"changed": True}


@pytest.fixture(autouse=True)
def without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})


def facts(known: dict[str, str], run: str = "") -> dict[str, Any]:
    return {"ansible_facts": {"homeport": {"given": known, "run": run or this_run()}}}


def wanted(arguments: dict[str, Any]) -> dict[str, str]:
    """What the host would have left after these arguments."""
    action = Action(arguments)
    action.run(task_vars={})
    told = action.calls[0]["given"]
    return {told["key"]: told["digest"]}


ARGUMENTS = {"names": ["nginx"]}


def test_those_that_stay_as_they_are_keep_what_they_were_given() -> None:
    wanted_parts = {name: {"domains": "new"} for name in ("blog", "wiki", "shop")}
    variables = facts({}) | {
        "homeport_parts": {"packages.play": wanted_parts},
        "homeport_kept": ["wiki", "shop"],
    }
    before = {"packages.play": {"wiki": {"domains": "old"}}}
    variables["ansible_facts"]["homeport"]["parts"] = before
    action = Action(ARGUMENTS)
    action.run(task_vars=variables)
    told = action.calls[0]["given"]
    assert told["parts"] == {"blog": {"domains": "new"}, "wiki": {"domains": "old"}}
    assert told["digest"] not in wanted(ARGUMENTS).values()


def test_a_host_that_is_as_wanted_is_not_called() -> None:
    action = Action(ARGUMENTS)
    assert action.run(task_vars=facts(wanted(ARGUMENTS))) == {"changed": False, "missing": []}
    assert action.calls == []


@pytest.mark.parametrize(
    ("arguments", "variables", "run"),
    [
        ({"names": ["nginx", "redis"]}, {}, ""),
        (ARGUMENTS, {"full": True}, ""),
        (ARGUMENTS, {"full": "true"}, ""),
        (ARGUMENTS, {"ansible_facts": {"homeport": {}}}, ""),
        (ARGUMENTS, {"ansible_facts": {}}, ""),
        (ARGUMENTS, {}, "another run, of which a cache knows"),
    ],
)
def test_a_host_that_may_not_be_as_wanted_is_called(
    arguments: dict[str, Any], variables: dict[str, Any], run: str
) -> None:
    action = Action(arguments)
    assert action.run(task_vars={**facts(wanted(ARGUMENTS), run), **variables}) == {"changed": True}
    assert len(action.calls) == 1


def test_another_version_of_the_module_is_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = wanted(ARGUMENTS)
    monkeypatch.setattr(component, "SHARED", ("modules/accounts.py",))
    assert wanted(ARGUMENTS) != before
