"""The two sides of a move of PostgreSQL, with a cluster that only writes down what is asked of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.move import cluster, source, target
from ansible_collections.homeport.django.plugins.module_utils.host.status import host as status_host
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Places

from tests.unit.statuses import document, found, specs, status

CONTENTS: dict[str, Any] = {"databases": {}, "roles": {}, "rights": {}}


class Told:
    """What is done on a host, in its order."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.said: list[str] = []
        self.up = True
        self.live = SimpleNamespace(ask=self.ask)
        self.folder = "/etc/postgresql/17/main"
        self.archive = SimpleNamespace(
            data="/data", cluster="main", programs="/p", version="17", run=self.controldata
        )
        self.control = SimpleNamespace(drop=lambda _archive: self.said.append("drop"))

    def ask(self, statements: str, seconds: int = 0) -> str:
        self.said.append(statements.partition("(")[0].strip())
        return next((answer for part, answer in self.answers.items() if part in statements), "t")

    def controldata(self, _words: list[str], _what: str) -> str:
        return self.answers["controldata"]

    def runs(self) -> bool:
        return self.up

    def start(self) -> None:
        self.up = True
        self.said.append("start")

    def stop(self) -> None:
        self.up = False
        self.said.append("stop")

    def boots(self, how: str) -> None:
        self.said.append(f"boots {how}")


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cluster, "MOVE", str(tmp_path / "moves/postgresql.json"))
    return tmp_path


def put(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], after: Any = CONTENTS) -> Told:
    told = Told(answers)
    for module in (source, target):
        monkeypatch.setattr(module, "Host", lambda: told)
        monkeypatch.setattr(module, "contents", lambda _host: after)
        monkeypatch.setattr(module, "used_cluster", lambda: ("17", "main"))
    monkeypatch.setattr(cluster, "create", lambda *_words: told.said.append("create"))
    monkeypatch.setattr(source, "close_way", lambda _host: told.said.append("close"))
    monkeypatch.setattr(target, "PASSWORD", "/nonexistent/password")
    monkeypatch.setattr(target, "ARRIVAL", 0.2)
    return told


def test_the_original_does_not_start_by_itself_once_it_is_stopped(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = "Database cluster state:   shut down\nLatest checkpoint location:     0/3000028\n"
    told = put(monkeypatch, {"controldata": control})
    assert source.stop() == {"contents": CONTENTS, "lsn": "0/3000028"}
    assert told.said[-2:] == ["boots manual", "stop"]
    assert cluster.record()["phase"] == "stopped"
    source.serve()
    assert told.said[-2:] == ["start", "close"]
    assert cluster.record() == {}


def test_without_its_last_checkpoint_nothing_goes_on(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {"controldata": "Database cluster state:   in production\n"})
    with pytest.raises(DeployError, match="last checkpoint"):
        source.stop()


def test_the_copy_serves_once_it_is_the_same(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = put(monkeypatch, {})
    target.promote(CONTENTS, "0/3000028")
    assert [said for said in told.said if "pg_promote" in said] == ["SELECT pg_promote"]
    assert cluster.record()["phase"] == "promoted"


def test_a_leftover_of_the_replica_keeps_nobody_from_the_copy(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(monkeypatch, {})
    ask = told.ask

    def fails(statements: str, seconds: int = 0) -> str:
        if "ALTER SYSTEM" in statements:
            raise DeployError("no")
        return ask(statements, seconds)

    told.live.ask = fails
    for step in (lambda: target.promote(CONTENTS, "0/3000028"), target.resume):
        step()
        assert cluster.record()["phase"] == "promoted"


@pytest.mark.parametrize(
    ("answers", "after", "said"),
    [
        ({"pg_wal_lsn_diff": "f"}, CONTENTS, "did not arrive"),
        ({}, {**CONTENTS, "roles": {"blog": "x"}}, "role blog"),
    ],
)
def test_a_copy_that_lacks_something_is_not_promoted(
    answers: dict[str, str], after: Any, said: str, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(monkeypatch, answers, after)
    with pytest.raises(DeployError, match=said):
        target.promote(CONTENTS, "0/3000028")
    assert not [each for each in told.said if "pg_promote" in each]
    assert cluster.record() == {}


def test_a_previous_cluster_that_runs_again_is_nobodys_to_remove(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(monkeypatch, {})
    cluster.note("left")
    for step in (source.leave, source.finish):
        with pytest.raises(DeployError, match="was started again"):
            step()
    assert told.said == []


def test_another_version_is_not_copied(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = put(monkeypatch, {})
    with pytest.raises(DeployError, match="PostgreSQL 15, and 17 was installed here"):
        target.copy("web1", "10.0.0.1", "secret", "15", [])
    assert (told.said, cluster.record()) == ([], {})


def test_only_what_a_move_has_left_is_replaced(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = put(monkeypatch, {})
    monkeypatch.setattr(target, "call", lambda words, _what: told.said.append(words[0]))
    monkeypatch.setattr(target, "copies", lambda: False)
    assert target.clear() is False
    assert told.said == []
    cluster.note("left")
    assert target.clear() is True
    assert told.said == ["drop", "create"]
    assert cluster.record() == {}


def test_a_run_goes_on_that_was_killed_between_two_clusters(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the one is dropped, and the other is not created yet."""
    told = put(monkeypatch, {})
    for module in (source, target):
        monkeypatch.setattr(module, "used_cluster", lambda: ("", "main"))
    monkeypatch.setattr(target, "copies", lambda: False)
    monkeypatch.setattr(cluster, "installed_server", lambda: "17")
    cluster.note("removing")
    assert source.look() == {"version": "", "phase": "removing", "runs": False}
    source.finish()
    assert (told.said, cluster.record()) == (["create", "start"], {})
    cluster.note("copying")
    assert target.clear() is True
    assert (told.said[2:], cluster.record()) == (["create"], {})


def test_a_host_whose_cluster_is_removed_can_take_another(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(monkeypatch, {})
    told.up = False
    cluster.note("left")
    there = [("17", "main"), ("", "main")]
    monkeypatch.setattr(source, "used_cluster", lambda: there.pop(0))
    source.finish()
    assert (told.said, cluster.record()) == (["drop", "create", "start"], {})
    source.finish()
    assert told.said == ["drop", "create", "start"]


def test_the_newest_server_of_a_host(tmp_path: Path) -> None:
    assert cluster.installed_server(str(tmp_path)) == ""
    for version in ("9", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin/postgres").touch()
    assert cluster.installed_server(str(tmp_path)) == "17"


def test_an_open_door_is_written_down_before_it_opens(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {})

    def fails(_host: Any) -> None:
        raise DeployError("no")

    monkeypatch.setattr(source, "close_way", fails)
    with pytest.raises(DeployError):
        source.open_way("10.0.0.1", "10.0.0.2", "", "", "secret")
    assert cluster.record() == {"phase": "open"}


def test_a_server_that_others_copy_is_looked_at_like_any(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = put(monkeypatch, {"json_agg": '["blog"]', "relkind": "3"})
    told.databases = lambda: ["blog", "postgres", "template1"]  # type: ignore[attr-defined]
    told.archive.data = str(record)
    cluster.note("open")
    assert target.look()["held"] == ["blog"]


# What status tells


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("open", {"closed": [], "undo": False, "move": True}),
        ("removing", {"closed": [], "undo": False, "move": True}),
        ("copying", {"closed": [], "undo": False, "move": True}),
        ("promoting", {"closed": [], "undo": False, "move": True}),
        ("stopped", {"closed": [], "undo": False, "move": True}),
        ("promoted", None),
        ("left", None),
    ],
)
def test_a_move_that_has_not_ended(phase: str, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "moves").mkdir()
    (tmp_path / "moves/postgresql.json").write_text(json.dumps({"phase": phase}))
    assert status_host.upgrade(Places(records=str(tmp_path))) == expected


def test_status_names_the_verb_that_goes_on() -> None:
    here = status({"blog": found()})
    here["host"]["upgrade"] = {"closed": ["blog"], "undo": False, "move": True}
    assert (
        "a move of PostgreSQL has not ended and has closed blog to visitors; unless it still runs, run "
        "move_postgresql again"
    ) in json.dumps(document({"web1": here}, specs(blog={})))
