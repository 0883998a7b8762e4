"""Moving a database: when the app runs, what is dumped, and what is refused. The copy itself: molecule/simple."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.action.move_database import described, told
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import shell_exports
from ansible_collections.homeport.django.plugins.modules import move_database
from ansible_collections.homeport.django.plugins.modules.move_database import Next, chosen_file, look, move

from tests.unit.releases import HereLayout, HereRunner, write

ROWS = {"post": 2, "tag": 0}
COPIED = {"rows": ROWS, "copied": True, "extra": {}}
STRANGE = {"rows": ROWS, "copied": False, "extra": {"tag": 1, "post": 7}}


class Here(Next):
    """An app below a temporary folder with a live and a next release."""

    def __init__(self, folder: Path) -> None:
        spec = {
            "name": "blog",
            "user": "blog",
            "home": str(folder / "blog"),
            "sqlite": "",
            "database": "",
            "scratch": "",
        }
        super().__init__({**spec, "migrate": {}})
        self.layout = HereLayout({**spec, "migrate": {}})
        self.runner = HereRunner(self.layout)
        for name in ("1", "2"):
            os.makedirs(f"{self.home}/releases/{name}/config")
        self.layout.point(f"{self.home}/current", f"{self.home}/releases/1")
        self.layout.point(self.layout.next_link, f"{self.home}/releases/2")
        self.counted: dict[str, Any] = {"vendor": "sqlite", "rows": {}}
        write(folder / "blog/shared/data/db.sqlite3")

    def look(self, database: str = "", engine: str = "", part: Any = None) -> dict[str, Any]:
        return {"vendor": "sqlite", "rows": {**ROWS, "django_migrations": 9}} if engine else self.counted


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setattr(release_history.append, "__defaults__", (str(tmp_path / "deploys"),))
    return Here(tmp_path)


@pytest.fixture
def done(app: Here, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done to the app, in its order; the answers of the copy are put before it."""
    found: list[Any] = []
    answers = found.append

    class Database:
        def __init__(self, _layout: Any, release: str) -> None:
            assert os.path.basename(release) == "2"  # which is the one with PostgreSQL

        def dump(self, known: dict[str, Any], name: str, _before: str) -> str:
            answers("dump")
            return f"/dumps/{name}.dump"

    monkeypatch.setattr(move_database, "stop", lambda services: answers(f"stop {services.name}"))
    monkeypatch.setattr(move_database, "start", lambda services: answers(f"start {services.name}"))
    monkeypatch.setattr(move_database, "Database", Database)
    return found


def copies(monkeypatch: pytest.MonkeyPatch, done: list[Any], *answers: Any) -> None:
    left = list(answers)

    def ask(_app: Any, _path: str, replace: bool) -> dict[str, Any]:
        done.append("replace" if replace else "copy")
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    monkeypatch.setattr(move_database, "ask", ask)


def record(folder: Path) -> list[dict[str, Any]]:
    return release_history.entries("blog", str(folder / "deploys"))


def test_the_app_stays_stopped_until_its_rows_are_served(
    app: Here, done: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(monkeypatch, done, COPIED)
    moved = move(app, "/f", False, "anna@laptop")
    assert done == ["stop blog", "copy"]
    assert (moved["rows"], moved["tables"], moved["copied"], moved["dump"]) == (2, 2, True, "")
    (entry,) = record(tmp_path)
    assert (entry["verb"], entry["before"], entry["release"], entry["by"]) == (
        "move_database",
        "1",
        "2",
        "anna@laptop",
    )


@pytest.mark.parametrize("error", [DeployError("row 7"), KeyboardInterrupt()])
def test_the_app_runs_again_when_it_fails(
    error: BaseException, app: Here, done: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(monkeypatch, done, error)
    with pytest.raises(type(error)):
        move(app, "/f", False, "anna@laptop")
    assert done == ["stop blog", "copy", "start blog"]
    assert record(tmp_path) == []


def test_the_app_runs_again_when_it_cannot_be_stopped(
    app: Here, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_services: Any) -> None:
        raise DeployError("a process cannot be ended")

    monkeypatch.setattr(move_database, "stop", stop)
    copies(monkeypatch, done)
    with pytest.raises(DeployError, match="a process cannot be ended"):
        move(app, "/f", False, "anna@laptop")
    assert done == ["start blog"]


def test_rows_of_the_target_are_refused(app: Here, done: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    copies(monkeypatch, done, STRANGE)
    with pytest.raises(
        DeployError, match=r"rows that /f does not have: post \(7\), tag \(1\)\..*-e replace=true"
    ):
        move(app, "/f", False, "anna@laptop")
    assert done == ["stop blog", "copy", "start blog"]


def test_rows_of_the_target_are_dumped_before_they_go(
    app: Here, done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(monkeypatch, done, STRANGE, COPIED)
    moved = move(app, "/f", True, "anna@laptop")
    assert done == ["stop blog", "copy", "dump", "replace"]
    assert moved["dump"].endswith("-move_database.dump")
    assert moved["dump"] in told("blog", moved)


def test_where_all_rows_are_there_already(
    app: Here, done: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a run that was killed once it had copied them: nothing to dump, and nothing happened now."""
    copies(monkeypatch, done, {**COPIED, "copied": False})
    moved = move(app, "/f", True, "anna@laptop")
    assert done == ["stop blog", "copy"]
    assert record(tmp_path) == []
    assert "nothing was copied" in told("blog", moved)


def test_without_a_release_for_postgres(app: Here, done: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    copies(monkeypatch, done)
    os.unlink(app.layout.next_link)
    with pytest.raises(DeployError, match="blog has no release with PostgreSQL"):
        move(app, "/f", False, "anna@laptop")
    assert done == []


def test_the_file_is_the_live_releases(app: Here, tmp_path: Path) -> None:
    data, env = tmp_path / "blog/shared/data", tmp_path / "blog/releases/1/config/env"
    assert chosen_file(app, "") == f"{data}/db.sqlite3"
    write(data / "other.sqlite3")
    write(env, shell_exports({"DATABASE_URL": f"sqlite:///{data}/other.sqlite3"}))
    assert chosen_file(app, "") == f"{data}/other.sqlite3"
    write(env, shell_exports({"DATABASE_URL": "postgres://blog@h/blog"}))
    assert chosen_file(app, "") == f"{data}/db.sqlite3"
    assert chosen_file(app, f"{data}/x/../other.sqlite3") == f"{data}/other.sqlite3"


@pytest.mark.parametrize(
    ("name", "message"),
    [("/etc/passwd", "must be below"), ("{}/shared/../../other/db", "must be below"), ("{}/link", "no SQLite file"),
     ("{}/none", "no SQLite file"), ("{}/shared", "no SQLite file")],
)  # fmt: skip
def test_files_that_are_none_of_the_apps(name: str, message: str, app: Here, tmp_path: Path) -> None:
    (tmp_path / "blog/link").symlink_to(tmp_path / "blog/shared/data/db.sqlite3")
    with pytest.raises(DeployError, match=message):
        chosen_file(app, name.format(app.home))


def test_what_the_operator_is_asked(app: Here) -> None:
    found = look(app, "/f")
    assert found == {"file": "/f", "rows": 2, "tables": 2, "rows_now": 0, "tables_now": 0}
    assert "PostgreSQL already" not in described("blog", found)
    app.counted = {"vendor": "postgresql", "rows": {"post": 5, "django_migrations": 9}}
    shown = described("blog", look(app, "/f"))
    assert "/f: 2 tables with 2 rows go to PostgreSQL." in shown
    assert "blog runs with PostgreSQL already: 1 tables with 5 rows." in shown
