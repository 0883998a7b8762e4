"""A drill: what counts as a failure, and that nothing of it is left, however it ends."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.backup import drill as backup_drill
from ansible_collections.homeport.django.plugins.module_utils.host.backup.drill import drill, in_scratch
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    DEFAULT,
    App,
    Part,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

from tests.unit.releases import HereLayout

COUNTED = {"rows": {"post": 2}, "migrations": ["a.1"], "extensions": [], "check": ""}
MANIFEST = {
    "vendor": "postgresql",
    "release": "1",
    "rows": {"post": 2},
    "migrations": ["a.1"],
    "extensions": [],
}


class Here(App):
    """An app below a temporary folder whose database does what the test says."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        spec = {
            "name": "blog",
            "user": "blog",
            "home": str(folder / "blog"),
            "sqlite": "",
            "database": "",
            "scratch": "",
        }
        super().__init__({**spec, **fields})
        self.layout = HereLayout({**spec, **fields})
        os.makedirs(f"{self.home}/releases/1", exist_ok=True)
        self.counted: dict[str, Any] = COUNTED
        self.done: list[str] = []
        self.fails = ""

    def step(self, what: str) -> None:
        self.done.append(what)
        if what.startswith(self.fails or "never"):
            raise DeployError(f"{what} failed")

    def release(self) -> str:
        return f"{self.home}/releases/1"

    def load(self, path: str, database: str = "", part: Part | None = None) -> None:
        self.step(f"load {database}")

    def look(self, database: str = "", engine: str = "", part: Part | None = None) -> dict[str, Any]:
        self.step(f"look {os.path.basename(database)}")
        return self.counted

    def empty(self, database: str, part: Part | None = None) -> None:
        self.step(f"empty {database}")


class Fetched:
    """A backup that has arrived."""

    files = {"files": 3, "bytes": 5}

    def __init__(
        self, _store: Any, _source: str, _snapshot: str, folder: str, everything: bool = False
    ) -> None:
        self.manifest: dict[str, Any] = dict(MANIFEST)
        self.dumps = {DEFAULT: f"{folder}/database"}
        os.makedirs(folder)
        Path(self.dumps[DEFAULT]).write_text("a dump")

    def verify(self) -> dict[str, int]:
        return self.files


def scratched(app: App, fetched: Any) -> dict[str, Any]:
    return in_scratch(app, app.main, fetched.manifest, fetched.dumps[DEFAULT])


class Store:
    def snapshots(self, _app: str) -> list[dict[str, Any]]:
        return [{"id": "a" * 64, "time": "2026-01-01T00:00:00Z", "tags": []}]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(backup_drill, "SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(backup_drill, "Fetched", Fetched)
    return tmp_path / "scratch"


def test_a_drill_and_what_is_told_of_it(tmp_path: Path, scratch: Path) -> None:
    app = Here(tmp_path, scratch="drills")
    found = drill(app, Store())  # type: ignore[arg-type]
    assert (found["rows"], found["tables"], found["files"], found["pending"]) == (2, 1, 3, "")
    assert app.done == ["load drills", "look drills", "empty drills"]
    assert os.listdir(scratch) == []


@pytest.mark.parametrize(
    ("fails", "counted", "message"),
    [
        ("load", {}, "load drills failed"),
        ("look", {}, "look drills failed"),
        ("", {"rows": {"post": 1}}, "post"),
        ("", {"rows": {}}, "post"),
        ("", {"migrations": []}, "migrations"),
        ("", {"check": "[ ] a.2"}, "migrations that are not applied"),
    ],
)
def test_a_drill_that_fails_leaves_nothing(
    fails: str, counted: dict[str, Any], message: str, tmp_path: Path, scratch: Path
) -> None:
    """Neither the fetched files nor rows in the scratch database."""
    app = Here(tmp_path, scratch="drills")
    app.fails, app.counted = fails, {**COUNTED, **counted}
    with pytest.raises(DeployError, match=message):
        drill(app, Store())  # type: ignore[arg-type]
    assert app.done[-1] == "empty drills"
    assert os.listdir(scratch) == []


def test_a_newer_release_may_have_something_to_migrate(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Here(tmp_path, scratch="drills")
    app.counted = {**COUNTED, "check": "[ ] a.2"}
    monkeypatch.setattr(Here, "release", lambda self: f"{self.home}/releases/2")
    assert drill(app, Store())["pending"] == "[ ] a.2"  # type: ignore[arg-type]


class Cluster:
    """The host's PostgreSQL: what the superuser was asked for."""

    def __init__(self, app: Here) -> None:
        self.app = app

    def __call__(self) -> Cluster:
        return self

    def ask(self, statement: str, _seconds: int = 0) -> None:
        self.app.done.append(statement.split(" ")[0].lower())

    def extend(self, _database: str, extension: str) -> None:
        self.app.done.append(f"extend {extension}")


@pytest.mark.parametrize("fails", ["", "load", "look"])
def test_a_database_for_the_drill_on_the_same_host(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made anew and dropped again. The superuser creates there what was declared, not what a backup asks for."""
    app = Here(tmp_path, database="blog", extensions=["postgis"])
    app.fails = fails
    monkeypatch.setattr(backup_drill, "Cluster", Cluster(app))
    asked: list[Any] = []
    monkeypatch.setattr(
        app.runner, "run", lambda words, what, stdin="": asked.append((words[-2], stdin)), raising=False
    )
    fetched = Fetched(None, "blog", "a", str(tmp_path / "fetched"))
    fetched.manifest["extensions"] = ["postgis", 'citext"; DROP']
    with contextlib.suppress(DeployError) if fails else contextlib.nullcontext():
        assert scratched(app, fetched) == COUNTED
    assert app.done[0] == app.done[-1] == "drop"
    assert [step for step in app.done if step.startswith("extend")] == ["extend postgis"]
    ((database, statements),) = asked
    assert database == "--dbname=homeport_drill_blog"
    assert statements.splitlines()[1:] == ['CREATE EXTENSION IF NOT EXISTS "citext""; DROP";']


def test_a_remote_database_without_a_place_for_drills(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="backup_scratch"):
        scratched(Here(tmp_path), Fetched(None, "blog", "a", str(tmp_path / "fetched")))


@pytest.mark.parametrize("fails", ["", "look"])
def test_an_sqlite_file_is_looked_at_in_a_folder_of_the_apps(fails: str, tmp_path: Path) -> None:
    app = Here(tmp_path)
    fetched = Fetched(None, "blog", "a", str(tmp_path / "fetched"))
    fetched.manifest["vendor"] = "sqlite"
    os.unlink(fetched.dumps[DEFAULT])
    with contextlib.closing(sqlite3.connect(fetched.dumps[DEFAULT])) as connection:
        connection.executescript("CREATE TABLE post (id); INSERT INTO post VALUES (1), (2)")
    seen: list[Any] = []

    def look(path: str, part: Part | None = None) -> dict[str, Any]:
        with contextlib.closing(sqlite3.connect(path)) as copy:
            seen.append(
                (
                    copy.execute("SELECT count(*) FROM post").fetchone()[0],
                    os.stat(os.path.dirname(path)).st_mode & 0o777,
                )
            )
        app.step("look")
        return COUNTED

    app.look, app.fails = look, fails  # type: ignore[method-assign,assignment]
    (Path(app.home) / "backup-drill").mkdir()  # of a drill that was killed
    with contextlib.suppress(DeployError) if fails else contextlib.nullcontext():
        assert scratched(app, fetched) == COUNTED
    assert seen == [(2, 0o700)]
    assert not (Path(app.home) / "backup-drill").exists()
