"""The password of a repository is changed by keys: one comes, one goes, and those of others stay."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.backup import keys as backup_keys
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import (
    NoRepository,
    Store,
    WrongKey,
)


class Repository(Store):
    """Opens with the passwords that it has keys for."""

    def __init__(self, folder: Path, *passwords: str) -> None:
        super().__init__({"repository": "/b", "host": "web1", "keep": {}, "bandwidth": 0}, str(folder))
        self.made: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.there = True
        for password in passwords:
            self.add(password)

    def add(self, password: str) -> None:
        self.made.append((f"id{len(self.calls)}{password}", password))

    def passwords(self) -> list[str]:
        return [password for _key, password in self.made]

    def run(self, arguments: Iterable[str], what: str, password: str = "password", stdout: Any = None) -> str:
        words = list(arguments)
        self.calls.append(" ".join(words[:2]))
        given = Path(self.folder, password).read_text().strip()
        if not self.there:
            raise NoRepository("none")
        if given not in self.passwords():
            raise WrongKey("no")
        if words[1] == "list":
            return json.dumps([{"id": key, "current": known == given} for key, known in self.made])
        if words[1] == "add":
            self.add(Path(words[3]).read_text().strip())
        elif words[1] == "remove":
            assert dict(self.made)[words[2]] != given, "restic refuses that"
            self.made = [entry for entry in self.made if entry[0] != words[2]]
        return ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backup_state, "STATE", str(tmp_path / "state"))
    for name in ("state", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / "state/blog.json").write_text("{}")
    return tmp_path / "config"


def wanted(folder: Path, *passwords: str) -> None:
    for path in folder.iterdir():
        path.unlink()
    for number, password in enumerate(passwords):
        (folder / f"password{f'.{number}' if number else ''}").write_text(f"{password}\n")


def test_from_one_password_to_another_and_on(folder: Path) -> None:
    store = Repository(folder, "one", "somebody's")
    said: list[str] = []
    for passwords, opens in (
        (["two", "one"], ["one", "somebody's", "two"]),
        (["two", "one"], ["one", "somebody's", "two"]),
        (["three", "two", "one"], ["one", "somebody's", "two", "three"]),
        (["three", "two"], ["somebody's", "two", "three"]),
        (["three"], ["somebody's", "three"]),
        (["three"], ["somebody's", "three"]),
    ):
        wanted(folder, *passwords)
        backup_keys.renew(store, said.append)
        assert store.passwords() == opens
    assert (
        said == ["/b opens with the new password"] * 2 + ["/b no longer opens with an earlier password"] * 2
    )
    assert backup_keys.recorded() == [key for key, password in store.made if password == "three"]


def test_back_to_the_one_before(folder: Path) -> None:
    store = Repository(folder, "one")
    for steps in ([["two", "one"], ["one", "two"], ["one"]], [["two", "one"], ["one"]]):
        for passwords in steps:
            wanted(folder, *passwords)
            backup_keys.renew(store, lambda _text: None)
        assert store.passwords() == ["one"]


def test_a_password_that_is_of_no_use_is_told_of(folder: Path) -> None:
    store = Repository(folder, "one")
    wanted(folder, "two")
    with pytest.raises(WrongKey):
        backup_keys.renew(store)
    wanted(folder, "two", "three")
    with pytest.raises(WrongKey):
        backup_keys.renew(store)
    assert store.passwords() == ["one"]


def test_what_was_interrupted_is_finished_by_the_next(folder: Path) -> None:
    store = Repository(folder, "one", "two")  # the new key was added, and nothing written down
    wanted(folder, "two", "one")
    backup_keys.renew(store)
    wanted(folder, "two")
    backup_keys.renew(store, lambda _text: None)
    assert store.passwords() == ["two"]


def test_a_key_that_somebody_has_removed_already(folder: Path) -> None:
    store = Repository(folder, "one")
    wanted(folder, "two", "one")
    backup_keys.renew(store, lambda _text: None)
    store.made = [entry for entry in store.made if entry[1] != "one"]
    wanted(folder, "two")
    backup_keys.renew(store)
    assert store.passwords() == ["two"]


def test_nothing_is_asked_before_the_first_backup(folder: Path) -> None:
    (Path(backup_state.STATE) / "blog.json").unlink()
    store = Repository(folder)
    wanted(folder, "one")
    backup_keys.renew(store)
    assert store.calls == []
    store.there = False
    wanted(folder, "two", "one")
    backup_keys.renew(store)
    assert store.calls == ["key list"]


def test_earlier_passwords_in_their_order(folder: Path) -> None:
    wanted(folder, *(str(number) for number in range(12)))
    (folder / "password.txt").touch()
    assert backup_keys.earlier(str(folder)) == [f"password.{number}" for number in range(1, 12)]
