"""The database between two releases: when it is migrated, what is dumped before, and what there is to go back to."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import (
    LINES,
    LOCK_NOT_AVAILABLE,
    TRIES,
    Database,
    Held,
    migrations_between,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.dumps import (
    dump_before,
    dumps,
    prune_dumps,
)

from tests.unit.releases import HereLayout, layout, write

FOUND = {
    "vendor": "postgresql",
    "fresh": False,
    "pending": ["a.2", "a.3"],
    "unsafe": {},
    "notes": {},
    "applied": [],
    "extensions": [],
}
DONE = {**FOUND, "applied": ["a.2", "a.3"], "output": "Applying"}


class Here(Database):
    """Answers what the test says, and keeps what was asked for, in its order."""

    def __init__(self, found: HereLayout, *answers: dict[str, Any]) -> None:
        super().__init__(found, f"{found.releases}/20260102T000000-b")
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask(self, judge: bool = False, go: bool = False, go_if_nothing: bool = False) -> dict[str, Any]:
        self.asked.append("go" if go else "judge" if judge else "look")
        return self.answers.pop(0)

    def dump(self, found: dict[str, Any], name: str, before: str) -> str:
        self.asked.append("dump")
        return "/a/dump"


def migrate(database: Here, before: str = "", allowed: bool = False) -> list[str]:
    """The steps of a deploy that concern the database; returns what was applied."""
    found = database.gate(before, allowed)
    if not found["pending"]:
        return []
    if database.is_dumped(found):
        database.dump(found, "", before)
    return database.migrate(found)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.mark.parametrize(("alias", "field"), [("default", "database"), ("reports", "databases.reports")])
def test_extensions_that_only_a_superuser_may_create_are_named_first(
    alias: str, field: str, tmp_path: Path
) -> None:
    database = Here(layout(tmp_path), {**FOUND, "fresh": True, "extensions": ["bloom", "postgis"]})
    database.alias = alias
    with pytest.raises(DeployError, match=rf"nothing was applied\n{field}.extensions: name bloom, postgis"):
        migrate(database)
    assert database.asked == ["look"]


@pytest.mark.parametrize(
    ("fields", "before", "allowed", "answers", "asked"),
    [
        # judged before it is dumped, and dumped before it is changed
        ({}, "/r/1", False, [FOUND, FOUND, DONE], ["look", "judge", "dump", "go"]),
        ({}, "/r/1", True, [FOUND, DONE], ["look", "dump", "go"]),
        ({}, "", False, [FOUND, DONE], ["look", "dump", "go"]),
        ({"migrate": {"gate": False}}, "/r/1", False, [FOUND, DONE], ["look", "dump", "go"]),
        ({"migrate": {"dump": False}}, "/r/1", True, [FOUND, DONE], ["look", "go"]),
        # an empty database holds nothing to lose, and no code knows of it
        ({}, "/r/1", False, [{**FOUND, "fresh": True}, DONE], ["look", "go"]),
        ({}, "/r/1", False, [{**FOUND, "pending": []}], ["look"]),
    ],
)
def test_the_order_of_a_migration(
    fields: dict[str, Any], before: str, allowed: bool, answers: list[Any], asked: list[str], tmp_path: Path
) -> None:
    database = Here(layout(tmp_path, **fields), *answers)
    applied = migrate(database, before, allowed)
    assert database.asked == asked
    assert applied == (["a.2", "a.3"] if "go" in asked else [])


def test_an_unsafe_migration_is_held_before_anything_is_done(tmp_path: Path) -> None:
    database = Here(
        layout(tmp_path), FOUND, {**FOUND, "unsafe": {"a.3": ["drops post.note", "renames post"]}}
    )
    with pytest.raises(Held, match=r"a\.3: drops post\.note; renames post\n.*allow_unsafe_migrations=true"):
        migrate(database, "/r/1")
    assert database.asked == ["look", "judge"]


def test_a_lock_is_tried_for_again_and_no_other_error_is(tmp_path: Path, naps: list[float]) -> None:
    busy = {**DONE, "applied": [], "error": "OperationalError: lock", "sqlstate": LOCK_NOT_AVAILABLE}
    database = Here(layout(tmp_path), FOUND, busy, DONE)
    assert migrate(database) == ["a.2", "a.3"]
    assert len(naps) == 1
    database = Here(layout(tmp_path), FOUND, *[busy] * TRIES)
    with pytest.raises(DeployError, match=r"waited \d+ s for a lock, 3 times") as error:
        migrate(database)
    assert "none of a.2, a.3 applied" in str(error.value)
    assert database.answers == []
    database = Here(layout(tmp_path), FOUND, {**busy, "sqlstate": "57014"}, DONE)
    with pytest.raises(DeployError, match=r"migrate\.statement_timeout"):
        migrate(database)
    assert database.answers == [DONE]
    # what the first of two tries has applied counts, and what cannot be tried again is not
    one, other = {**busy, "applied": ["a.2"]}, {**DONE, "applied": ["a.3"]}
    assert migrate(Here(layout(tmp_path), FOUND, one, other)) == ["a.2", "a.3"]
    database = Here(layout(tmp_path), FOUND, {**busy, "loose": "a.2", "left": ["x"]}, DONE)
    with pytest.raises(DeployError, match=r"waited \d+ s for a lock, 1 time;"):
        migrate(database)


def test_how_far_a_failed_migration_came(tmp_path: Path) -> None:
    half = {**DONE, "applied": ["a.2"], "error": "RuntimeError: out of ink", "sqlstate": ""}
    with pytest.raises(DeployError, match=r"out of ink\nThe database moved: a\.2 applied, a\.3 not$"):
        migrate(Here(layout(tmp_path), FOUND, half))
    loose = {**half, "loose": "a.3", "cleared": ["by_name"], "left": []}
    with pytest.raises(DeployError, match=r"removed again: the index by_name; nothing of it is left"):
        migrate(Here(layout(tmp_path), FOUND, loose))
    with pytest.raises(DeployError, match=r"the invalid index by_name stays until the next deploy"):
        migrate(Here(layout(tmp_path), FOUND, {**loose, "later": ["the invalid index by_name"]}))
    with pytest.raises(DeployError, match=r"left: Add field x\. Undo that .*'migrate --fake a 3'"):
        migrate(Here(layout(tmp_path), FOUND, {**loose, "left": ["Add field x"]}))
    mysql = {**FOUND, "vendor": "mysql"}
    with pytest.raises(DeployError, match="MySQL cannot undo"):
        migrate(Here(layout(tmp_path), mysql, half))


def test_a_failure_after_many_migrations_shows_why(tmp_path: Path) -> None:
    names = [f"a.{number}" for number in range(2, 202)]
    error = 'ProgrammingError: permission denied to create extension "bloom"'
    output = "".join(f"  Applying {name}... OK\n" for name in names)
    many = {**DONE, "applied": names[:-1], "error": error, "sqlstate": "42501", "output": output}
    with pytest.raises(DeployError, match=r"database\.extensions: name bloom") as told:
        migrate(Here(layout(tmp_path), {**FOUND, "pending": names}, many))
    assert "moved: a.2, a.3, ... (199 in all, to a.200) applied, a.201 not" in str(told.value)
    assert str(told.value).count("Applying") == LINES


# Dumps


class Pipe:
    """Writes a dump, or fails half-way."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    def pipe(self, words: list[str], what: str, stdout: Any) -> str:
        stdout.write(b"half")
        if self.error:
            raise DeployError(self.error)
        stdout.write(b" and half")
        return ""


def database(found: HereLayout, pipe: Pipe) -> Database:
    made = Database(found, f"{found.releases}/20260102T000000-b")
    made.runner = pipe  # type: ignore[assignment]
    return made


def test_a_dump_and_what_is_written_down_of_it(tmp_path: Path) -> None:
    found = layout(tmp_path)
    path = database(found, Pipe()).dump(
        {**FOUND, "bytes": 5}, "20260102T000000-b", "/srv/blog/releases/20260101T000000-a"
    )
    assert Path(path).read_bytes() == b"half and half"
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    (written,) = dumps(found)
    assert (written["paths"]["default"], written["before"], written["bytes"]) == (
        path,
        "20260101T000000-a",
        13,
    )
    assert written["migrations"] == ["a.2", "a.3"]


@pytest.mark.parametrize(
    ("error", "hint"), [("server version mismatch", "newer one"), ("disk full", "^disk full$")]
)
def test_half_a_dump_is_none(error: str, hint: str, tmp_path: Path) -> None:
    found = layout(tmp_path)
    with pytest.raises(DeployError, match=hint):
        database(found, Pipe(error)).dump(FOUND, "b", "")
    assert os.listdir(tmp_path / "dumps") == []


def test_where_no_dump_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = layout(tmp_path)
    with pytest.raises(DeployError, match=r"cannot dump a oracle database.*migrate\.dump: false"):
        database(found, Pipe()).dump({**FOUND, "vendor": "oracle"}, "b", "")
    usage = shutil.disk_usage(tmp_path)._replace(free=300 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    database(found, Pipe()).dump({**FOUND, "bytes": 100 << 20}, "b", "")
    with pytest.raises(DeployError, match="300 MiB are free and 301 MiB needed"):
        database(found, Pipe()).dump({**FOUND, "bytes": 101 << 20}, "c", "")
    assert [entry["release"] for entry in dumps(found)] == ["b"]


def written(found: HereLayout, release: str, before: str, when: str) -> None:
    write(Path(found.home) / f"dumps/{release}.dump")
    told = {"release": release, "before": before, "time": when, "migrations": []}
    write(Path(found.home) / f"dumps/{release}.dump.json", json.dumps(told))


def test_the_dump_to_go_back_to(tmp_path: Path) -> None:
    """Of when the release was live: its last one; else what the first release after it found."""
    found = layout(tmp_path)
    with pytest.raises(DeployError, match="There is no dump of the database as 1 knew it"):
        dump_before(found, "1")
    written(found, "3", "1", "2026-01-05")
    written(found, "2", "1", "2026-01-03")
    written(found, "5", "4", "2026-01-07")
    written(found, "20260109-restore", "", "2026-01-09")
    write(tmp_path / "dumps/9.dump.json", "{}")  # whose dump is gone
    assert [entry["release"] for entry in dumps(found)] == ["2", "3", "5", "20260109-restore"]
    assert dump_before(found, "1")["release"] == "3"
    assert dump_before(found, "3")["release"] == "5"
    assert dump_before(found, "1", "2")["release"] == "2"
    with pytest.raises(DeployError, match="There is no dump 7; there are 2, 3, 5, 20260109-restore"):
        dump_before(found, "1", "7")
    with pytest.raises(DeployError, match="as 5 knew it"):
        dump_before(found, "5")
    prune_dumps(found, 3)
    assert [entry["release"] for entry in dumps(found)] == ["3", "5", "20260109-restore"]
    assert not list((tmp_path / "dumps").glob("2.*"))


def test_migrations_that_the_older_release_does_not_know(tmp_path: Path) -> None:
    found = layout(tmp_path)
    for name, migrations in (("1", ["a.1"]), ("2", ["a.1", "a.2", "b.1"]), ("3", [])):
        write(Path(found.releases) / name / "release.json", json.dumps({"migrations": migrations}))
    old, new, unknown = (f"{found.releases}/{name}" for name in "123")
    assert migrations_between(found, new, old) == ["a.2", "b.1"]
    assert migrations_between(found, old, new) == []
    assert migrations_between(found, new, unknown) == []  # made by a version that wrote none down
