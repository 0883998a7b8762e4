"""Further databases on a host: migrated, dumped, backed up, drilled, restored and renamed with the app's own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.backup import archive as backup_archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup import drill as backup_drill
from ansible_collections.homeport.django.plugins.module_utils.host.backup import restore as backup_restore
from ansible_collections.homeport.django.plugins.module_utils.host.backup import take as backup_take
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import manifest_of
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import (
    Restore,
    RestoreToTime,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    App,
    Part,
    manifest_with_dumps,
    parts_of,
    totals,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.release import rollback as release_rollback
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import (
    Database,
    Databases,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.dumps import (
    dump_before,
    dumps,
    prune_dumps,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import (
    check_databases,
    undeclared_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.rollback import Rollback
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import Switch
from ansible_collections.homeport.django.plugins.module_utils.host.removal.dump import OWN_URL, Dump
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App as RemovedApp
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import further_of
from ansible_collections.homeport.django.plugins.module_utils.host.rename import rename_database

from tests.unit.releases import HereLayout, layout, write
from tests.unit.test_backup_manifest import GOOD, Kept
from tests.unit.test_programs import Project, migrated, migration, project
from tests.unit.test_release_deploy import handled, site
from tests.unit.test_rename import ROLE, FakeCluster

__all__ = ["migrated", "project", "site"]  # fixtures

FOUND = {
    "vendor": "postgresql", "fresh": False, "pending": [], "unsafe": {}, "notes": {}, "applied": [], "extensions": [],
}  # fmt: skip
REPORTS = {"reports": {"migrate": True}}
ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db == "default"
"""


# The programs


@pytest.fixture
def pair(migrated: Project) -> Project:
    """With a second database, in which nothing has been migrated."""
    with open(migrated.folder / "settings.py", "a") as stream:
        name = str(migrated.folder / "reports.sqlite3")
        stream.write(f"DATABASES['reports'] = {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {name!r}}}\n")
    return migrated


def tables(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        return [name for (name,) in found if not name.startswith("sqlite_")]


def test_each_is_migrated_dumped_counted_and_restored_by_its_alias(pair: Project) -> None:
    reports = pair.folder / "reports.sqlite3"
    assert pair.ask(alias="reports")["pending"] == ["blog.0001_initial"]
    assert pair.ask()["pending"] == []
    assert pair.ask(alias="reports", go=True)["applied"] == ["blog.0001_initial"]
    with contextlib.closing(sqlite3.connect(reports)) as connection, connection:
        connection.execute("INSERT INTO blog_post (title) VALUES ('a'), ('b')")
    done = pair.run("dump", alias="reports", count=True)
    assert b'"blog_post": 2' in done.stderr
    looked = pair.run("look", alias="reports", database="", engine="")
    assert b'"blog_post": 2' in looked.stdout and b'"check": ""' in looked.stdout
    with contextlib.closing(sqlite3.connect(reports)) as connection, connection:
        connection.execute("DELETE FROM blog_post")
    assert pair.run("restore", done.stdout, alias="reports").returncode == 0
    assert b'"blog_post": 2' in pair.run("look", alias="reports", database="", engine="").stdout
    assert b'"blog_post": 0' in pair.run("look", database="", engine="").stdout


def test_one_that_is_not_migrated_lacks_nothing(pair: Project) -> None:
    question: dict[str, Any] = {"alias": "reports", "database": "", "engine": ""}
    assert b'"check": ""' not in pair.run("look", **question).stdout
    assert b'"check": ""' in pair.run("look", **question, migrate=False).stdout


def test_an_alias_that_the_project_lacks(pair: Project) -> None:
    done = pair.run("dump", alias="archive")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"DATABASES of the project has no archive" in done.stderr


def test_routers_say_which_migrations_change_it(pair: Project) -> None:
    assert pair.ask(alias="reports", go=True)["applied"]
    pair.add(*migration("0002_drop", "0001_initial", "migrations.RemoveField('post', 'note')"))
    assert pair.ask(alias="reports")["unsafe"] == {"blog.0002_drop": ["drops post.note"]}
    write(pair.folder / "routers.py", ROUTER)
    with open(pair.folder / "settings.py", "a") as stream:
        stream.write("DATABASE_ROUTERS = ['routers.Router']\n")
    found = pair.ask(alias="reports")
    assert (found["pending"], found["unsafe"]) == (["blog.0002_drop"], {})
    assert pair.ask()["unsafe"] == {"blog.0002_drop": ["drops post.note"]}


def test_the_settings_have_what_is_declared() -> None:
    answer = {"aliases": ["copy", "default", "reports"], "further": ["reports"]}
    check_databases(["reports"], answer)
    with pytest.raises(DeployError, match=r"databases\.archive: DATABASES .* ARCHIVE_DATABASE_URL there"):
        check_databases(["archive"], answer)
    with pytest.raises(DeployError, match="leads copy to the default database"):
        check_databases(["copy"], answer)
    assert "has reports, which deploys do not migrate" in undeclared_databases(answer, [])
    assert undeclared_databases(answer, ["reports"]) == ""


# Deploys


def two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **answers: dict[str, Any]
) -> tuple[Databases, list[str]]:
    """The databases of a release, with what was done to each."""
    app, done = layout(tmp_path, databases=REPORTS), []
    release = f"{app.releases}/20260102T000000-b"
    write(Path(release) / "release.json", json.dumps({"databases": ["reports"]}))

    def ask(self: Database, judge: bool = False, go: bool = False, go_if_nothing: bool = False) -> Any:
        done.append(f"{'go' if go else 'judge' if judge else 'look'} {self.alias}")
        found = {**FOUND, **answers.get(self.alias, {})}
        return {**found, "applied": found["pending"]} if go else found

    def dump(self: Database, found: dict[str, Any], name: str, before: str) -> str:
        done.append(f"dump {self.alias}")
        return f"/dumps/{self.alias}"

    monkeypatch.setattr(Database, "ask", ask)
    monkeypatch.setattr(Database, "dump", dump)
    return Databases(app, release), done


def test_all_are_dumped_before_one_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    databases, done = two(tmp_path, monkeypatch, reports={"pending": ["a.2"]})
    databases.gate("", False)
    assert databases.pending() == ["a.2 (reports)"]
    assert databases.save("") == "/dumps/default"
    assert databases.migrate() == ["a.2 (reports)"]
    assert done == ["look default", "look reports", "dump reports", "dump default", "go reports"]


def test_what_cannot_be_dumped_and_is_not_migrated_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases, done = two(tmp_path, monkeypatch, default={"pending": ["a.2"]}, reports={"vendor": "oracle"})
    databases.gate("", False)
    assert databases.save("") == "/dumps/default"
    assert not any(step == "dump reports" for step in done)


def test_an_unsafe_migration_of_a_further_one_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsafe = {"pending": ["a.2"], "unsafe": {"a.2": ["drops post"]}}
    databases, done = two(tmp_path, monkeypatch, reports=unsafe)
    with pytest.raises(DeployError, match=r"a\.2 \(reports\): drops post"):
        databases.gate("before", False)
    assert not any("go" in step for step in done)
    assert databases.look(True)["unsafe"] == {"a.2 (reports)": ["drops post"]}


def test_those_that_a_release_has_and_deploys_migrate(tmp_path: Path) -> None:
    declared = {"reports": {"migrate": True}, "legacy": {"migrate": False}, "new": {"migrate": True}}
    app = layout(tmp_path, databases=declared)
    write(Path(app.releases) / "1/release.json", json.dumps({"databases": ["legacy", "removed", "reports"]}))
    of_release = Databases(app, f"{app.releases}/1")
    assert [database.alias for database in of_release.all] == ["default", "reports"]
    of_plan = Databases(app, f"{app.releases}/plan-1")
    assert [database.alias for database in of_plan.all] == ["default", "reports", "new"]


@pytest.mark.parametrize(("vendor", "aliases"), [("", ["reports"]), ("sqlite", ["default", "reports"])])
def test_settings_without_a_default_database(vendor: str, aliases: list[str], tmp_path: Path) -> None:
    app = layout(tmp_path, databases={"reports": {"migrate": True}})
    record = {"databases": ["reports"], "default": {"vendor": vendor, "name": "", "host": ""}}
    write(Path(app.releases) / "1/release.json", json.dumps(record))
    assert [database.alias for database in Databases(app, f"{app.releases}/1").all] == aliases
    plan = Databases(app, f"{app.releases}/plan-1", default=vendor != "")
    assert [database.alias for database in plan.all] == aliases


def dumped(app: HereLayout, release: str, when: str, *aliases: str, **more: Any) -> None:
    for alias in aliases:
        stem = release if alias == "default" else f"{release}.{alias}"
        told = {"release": release, "before": "1", "time": when, "migrations": [], "alias": alias, **more}
        write(Path(app.home) / f"dumps/{stem}.dump")
        write(Path(app.home) / f"dumps/{stem}.dump.json", json.dumps(told))


def test_dumps_belong_together(tmp_path: Path) -> None:
    app = layout(tmp_path)
    dumped(app, "2", "2026-01-01", "reports", "default")
    dumped(app, "3", "2026-01-02", "default")
    first, second = dumps(app)
    assert {alias: os.path.basename(path) for alias, path in first["paths"].items()} == {
        "default": "2.dump",
        "reports": "2.reports.dump",
    }
    assert (first["alias"], list(second["paths"])) == ("default", ["default"])
    prune_dumps(app, 1)
    assert sorted(os.listdir(tmp_path / "dumps")) == ["3.dump", "3.dump.json"]


def test_a_dump_that_lacks_a_database_is_none(tmp_path: Path) -> None:
    """The dump of another failed, or its removal was interrupted."""
    app, both = layout(tmp_path), ["default", "reports"]
    dumped(app, "2", "2026-01-01", *both, together=both)
    dumped(app, "3", "2026-01-02", "reports", together=both)
    assert [dump["release"] for dump in dumps(app)] == ["2"]
    assert dump_before(app, "1")["release"] == "2"
    with pytest.raises(DeployError, match="There is no dump 3; there are 2"):
        dump_before(app, "1", "3")
    prune_dumps(app, 1)
    assert not list((tmp_path / "dumps").glob("3.*"))
    (tmp_path / "dumps/2.dump").unlink()
    with pytest.raises(DeployError, match="There is no dump of the database as 1 knew it"):
        dump_before(app, "1")
    prune_dumps(app, 1)
    assert os.listdir(tmp_path / "dumps") == []


def test_a_second_try_keeps_the_dump_from_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = layout(tmp_path, databases=REPORTS)
    release = f"{app.releases}/20260102T000000-b"
    write(Path(release) / "release.json", json.dumps({"databases": ["reports"]}))
    contents = ""

    def pipe(_self: Runner, words: list[str], what: str, stdout: Any) -> str:
        if not contents:
            raise DeployError("the disk is full")
        stdout.write(contents.encode())
        return ""

    def kept() -> dict[str, str]:
        return {dump["release"][16:]: Path(dump["paths"]["default"]).read_text() for dump in dumps(app)}

    def deploy(default: list[str], reports: list[str]) -> None:
        databases = Databases(app, release)
        databases.found = {
            "default": {**FOUND, "pending": default},
            "reports": {**FOUND, "pending": reports},
        }
        databases.save("/x/20260101T000000-a")

    monkeypatch.setattr(Runner, "pipe", pipe)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(1 << 50, 0, 1 << 50))
    with pytest.raises(DeployError, match="the disk is full"):
        deploy(["a.2", "a.3"], ["a.2"])
    contents = "nothing was applied"
    deploy(["a.2", "a.3"], ["a.2"])
    contents = "nothing was applied, later"
    deploy(["a.2", "a.3"], ["a.2"])
    assert kept() == {"b": contents}
    first, contents = contents, "a.2 was applied"
    deploy(["a.3"], ["a.2"])
    contents = "a.3 was applied, too"
    deploy([], ["a.2"])
    deploy([], ["a.2"])
    assert kept() == {"b": first, "b-1": "a.2 was applied", "b-2": contents}
    assert dump_before(app, "20260101T000000-a")["release"] == "20260102T000000-b"
    assert dump_before(app, "20260101T000000")["release"] == "20260102T000000-b"
    with pytest.raises(DeployError, match="There is no dump of the database"):
        dump_before(app, "20260102T000000-b")  # these are from before its migrations


def test_what_moved_before_another_failed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pending: dict[str, Any] = {"pending": ["a.2"]}
    databases, _done = two(tmp_path, monkeypatch, default=pending, reports=pending)
    databases.gate("", False)
    works = Database.migrate

    def migrate(self: Database, found: dict[str, Any]) -> list[str]:
        if self.alias == "reports":
            raise DeployError("The database reports did not move")
        return works(self, found)

    monkeypatch.setattr(Database, "migrate", migrate)
    with pytest.raises(DeployError, match=r"did not move\nBefore it, other databases moved: a\.2 applied$"):
        databases.migrate()


def stops(done: list[str]) -> None:
    done.append("activate")
    raise DeployError("it does not start")


def test_a_rollback_restores_all_or_none(
    site: dict[str, HereLayout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, done = site["blog"], []

    class Both:
        def __init__(self, _layout: HereLayout, of: str, alias: str) -> None:
            self.alias = alias
            self.title = f"database {alias}"
            self.of = os.path.basename(of)

        def ask(self) -> dict[str, Any]:
            return {"vendor": "postgresql"}

        def dump(self, found: dict[str, Any], name: str, _before: str) -> str:
            assert found["together"] == ["default", "reports"]
            owners[self.alias] = self.of
            return f"/dumps/{name}.{self.alias}"

        def restore(self, path: str) -> None:
            done.append(f"{'kept' if path.startswith('/dumps/') else 'wanted'} {self.alias}")
            if done in fails:
                raise DeployError("the disk is full")

    fails = [["wanted default", "wanted reports"]]
    owners: dict[str, str] = {}
    dumped(app, "2", "2026-01-01", "default", "reports")
    monkeypatch.setattr(release_rollback, "Database", Both)
    monkeypatch.setattr(Switch, "paused", lambda _self, _command: contextlib.nullcontext())
    monkeypatch.setattr(Rollback, "activate", lambda _self: done.append("activate"))
    run = handled("rollback", monkeypatch, only=["blog"], restore="yes")
    assert "The dump of 2 has reports, which the live release does not have" in run.failed["blog"]
    assert done == []
    path = Path(app.current or "") / "release.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "databases": ["reports"]}))
    run = handled("rollback", monkeypatch, only=["blog"], restore="yes")
    assert "the disk is full" in run.failed["blog"]
    assert done == ["wanted default", "wanted reports", "kept default"]
    # each is put back, also where another cannot be
    back = ["wanted default", "wanted reports", "activate", "kept default"]
    fails[:] = [back]
    done.clear()
    monkeypatch.setattr(Rollback, "activate", lambda _self: stops(done))
    run = handled("rollback", monkeypatch, only=["blog"], restore="yes")
    assert done == [*back, "kept reports"]
    assert (
        "it does not start\nThe database default could not be restored as it was: the disk is full\nIt is"
        in (run.failed["blog"])
    )
    # once more, after the switch to what does not know one of them
    done.clear()
    app.point(f"{app.home}/previous", app.current or "")
    app.point(f"{app.home}/current", f"{app.releases}/1")
    monkeypatch.setattr(Rollback, "activate", lambda _self: done.append("activate"))
    run = handled("rollback", monkeypatch, only=["blog"], to="1", restore="2")
    assert (run.failed, done) == ({}, ["wanted default", "wanted reports", "activate"])
    assert owners == {"default": "1", "reports": "2"}


# Backups


class Here(App):
    """An app with two databases below a temporary folder, of which each step is written down."""

    def __init__(self, folder: Path, known: bool = True, **reports: Any) -> None:
        part = {"sqlite": "", "database": "", "scratch": ""}
        spec = {"name": "blog", "user": "blog", "home": str(folder / "blog"), **part, "scratch": "drills"}
        further = {"reports": {**part, "scratch": "drills", **reports}}
        super().__init__({**spec, "databases": further})
        self.layout = HereLayout({**spec, "databases": further})
        record = {"databases": ["reports"] if known else [], "migrations": ["a.1"]}
        write(Path(self.home) / "releases/1/release.json", json.dumps(record))
        self.done: list[str] = []
        self.fails = ""

    def release(self) -> str:
        return f"{self.home}/releases/1"

    def step(self, what: str) -> None:
        self.done.append(what)
        if what == self.fails:
            raise DeployError(f"{what} failed")

    def load(self, path: str, database: str = "", part: Part | None = None) -> None:
        self.step(f"load {os.path.basename(path)} {(part or self.main).alias}")

    def look(self, database: str = "", engine: str = "", part: Part | None = None) -> dict[str, Any]:
        rows = {"post": 2} if (part or self.main).alias == "default" else {"report": 3}
        return {"rows": rows, "migrations": ["a.1"], "extensions": [], "check": "", "vendor": "postgresql"}

    def empty(self, database: str, part: Part | None = None) -> None:
        self.step(f"empty {(part or self.main).alias}")


def entry(rows: dict[str, int], file: str) -> dict[str, Any]:
    dump = {"file": file, "bytes": 1, "sha256": "0" * 64}
    return {"vendor": "postgresql", "migrations": ["a.1"], "extensions": [], "rows": rows, "dump": dump}


FURTHER = {"reports": entry({"report": 3}, "database-reports.pgdump")}
MANIFEST = {**GOOD, **entry({"post": 2}, "database.pgdump"), "databases": FURTHER, "format": 2}


def test_a_backup_has_all_that_the_release_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_take, "read", lambda _name: {})
    monkeypatch.setattr(
        backup_take,
        "dump",
        lambda _app, _release, _compress, part: entry({part.alias: 1}, part.file("postgresql")),
    )
    monkeypatch.setattr(HereLayout, "web_gid", lambda _self: 33)
    for known, aliases in ((True, ["default", "reports"]), (False, ["default"])):
        app = Here(tmp_path, known)
        app.staging = str(tmp_path)
        manifest = manifest_with_dumps(app, app.release(), 0)
        assert list(parts_of(manifest)) == aliases
        assert manifest["format"] == len(aliases)  # what knows nothing of further ones restores none of these
        assert totals(manifest) == {"rows": len(aliases), "tables": len(aliases)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 1},
        {"databases": {"../x": FURTHER["reports"]}},
        {"databases": {"default": entry({}, "database.pgdump")}},
        {"databases": {"reports": entry({}, "database.pgdump")}},
        {"databases": {"reports": entry({}, "../database-reports.pgdump")}},
        {"databases": {"reports": {**FURTHER["reports"], "vendor": "mysql"}}},
        {"databases": {"reports": {}}},
        {"databases": []},
    ],
    ids=str,
)
def test_a_manifest_of_several(wrong: dict[str, Any]) -> None:
    assert parts_of(manifest_of(Kept(MANIFEST), "blog", "0" * 64)).keys() == {"default", "reports"}  # type: ignore[arg-type]
    with pytest.raises(DeployError, match="manifest"):
        manifest_of(Kept({**MANIFEST, **wrong}), "blog", "0" * 64)  # type: ignore[arg-type]


class Fetched:
    def __init__(self, *_words: Any, **_options: Any) -> None:
        self.manifest = MANIFEST
        self.dumps = {alias: f"/x/{part['dump']['file']}" for alias, part in parts_of(MANIFEST).items()}

    def verify(self) -> dict[str, int]:
        return {"files": 1, "bytes": 1}


class Store:
    def snapshots(self, _app: str) -> list[dict[str, Any]]:
        return [{"id": "a" * 64, "time": "2026-01-01T00:00:00Z", "tags": []}]

    def open(self, create: bool) -> None:
        assert not create


def test_a_drill_restores_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_drill, "SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(backup_drill, "Fetched", Fetched)
    app = Here(tmp_path)
    found = backup_drill.drill(app, Store())  # type: ignore[arg-type]
    assert (found["rows"], found["tables"]) == (5, 2)
    assert app.done == [
        "load database.pgdump default",
        "empty default",
        "load database-reports.pgdump reports",
        "empty reports",
    ]
    with pytest.raises(DeployError, match="has the database reports, which the live release does not have"):
        backup_drill.drill(Here(tmp_path, known=False), Store())  # type: ignore[arg-type]
    with pytest.raises(DeployError, match=r"name it in backup_scratch \({blog\.reports: NAME}\)"):
        backup_drill.drill(Here(tmp_path, scratch=""), Store())  # type: ignore[arg-type]


def looked(app: App, monkeypatch: pytest.MonkeyPatch, manifest: dict[str, Any], database: bool = True) -> Any:
    monkeypatch.setattr(backup_restore, "manifest_of", lambda *_words: manifest)
    return backup_restore.look(app, Store(), "blog", "latest", database)  # type: ignore[arg-type]


def test_what_a_restore_would_leave_out_is_refused_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {key: value for key, value in MANIFEST.items() if key != "databases"}
    found = looked(Here(tmp_path), monkeypatch, MANIFEST)
    assert (found["rows"], found["now"], found["stays"]) == (5, "2 tables with 5 rows", [])
    assert looked(Here(tmp_path), monkeypatch, alone)["stays"] == ["reports"]
    with pytest.raises(DeployError, match=r"has the database reports, and the live release of blog does not"):
        looked(Here(tmp_path, known=False), monkeypatch, MANIFEST)
    sqlite = Here(tmp_path, sqlite="/srv/blog/shared/data/db_reports.sqlite3")
    with pytest.raises(DeployError, match="is of reports, a postgresql database"):
        looked(sqlite, monkeypatch, MANIFEST)
    with pytest.raises(DeployError, match="does not have the SQLite database reports"):
        looked(sqlite, monkeypatch, alone)
    with pytest.raises(DeployError, match="database=false"):
        looked(sqlite, monkeypatch, alone, database=False)


def restoring(app: App) -> Restore:
    return Restore(app, Store(), "blog", "1", True)  # type: ignore[arg-type]


def test_a_restore_that_fails_at_one_puts_the_others_back(tmp_path: Path) -> None:
    app = Here(tmp_path)
    work = restoring(app)
    work.last = {"snapshot": "b" * 64}
    assert work.replace_databases(MANIFEST, Fetched().dumps) == []
    assert [part.alias for part in work.loaded] == ["default", "reports"]
    app, done = Here(tmp_path), "load database-reports.pgdump reports"
    app.fails = done
    work = restoring(app)
    work.last = {"snapshot": "b" * 64}
    with pytest.raises(DeployError) as told:
        work.replace_databases(MANIFEST, Fetched().dumps)
    work.back(told.value)
    assert app.done == ["load database.pgdump default", done, "load database.pgdump default"]


def test_each_database_is_put_back_also_where_another_cannot_be(tmp_path: Path) -> None:
    app = Here(tmp_path)
    work = restoring(app)
    work.last, work.loaded = {"snapshot": "b" * 64}, list(app.parts().values())
    app.fails = "load database.pgdump default"
    with pytest.raises(DeployError) as told:
        work.back(DeployError("out of ink"))
    assert app.done == ["load database.pgdump default", "load database-reports.pgdump reports"]
    assert str(told.value).startswith(
        "out of ink\nThe database could not be restored as it was: load database"
    )


def test_a_restore_to_a_point_in_time_leaves_what_an_interrupted_one_has_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Here(tmp_path)
    photo = Path(app.home) / "restoring/before/shared/media/photo"
    write(photo, "the only copy")
    monkeypatch.setattr(backup_restore, "POINT", str(tmp_path / "point"))
    work = RestoreToTime(app, Store(), "2026-01-01 00:00:00+00", False)  # type: ignore[arg-type]
    with pytest.raises(DeployError, match=r"it was interrupted\. Run it again first: restore -e app=blog"):
        work.run()
    (tmp_path / "point").mkdir()
    for step in ("stop", "start"):
        monkeypatch.setattr(backup_restore, step, lambda _services: None)
    work.closed(MANIFEST, Fetched().dumps, lambda: None)
    assert photo.read_text() == "the only copy"


class Second:
    """A cluster as of a point in time."""

    owners = {"blog": "blog"}

    def counted(self, database: str) -> dict[str, Any]:
        return {"rows": {database: 1}, "migrations": []}

    def dump(self, _database: str, path: str) -> None:
        Path(path).write_text("a dump")


@pytest.mark.parametrize(
    ("there", "databases", "included", "aliases"),
    [
        (["blog"], {"default": "blog"}, "blog", ["default"]),
        (
            ["blog", "blog_reports"],
            {"default": "blog", "reports": "blog_reports"},
            "",
            ["default", "reports"],
        ),
        (["blog"], {"default": "blog", "reports": "blog_reports"}, "", ["default"]),
    ],
)
def test_a_point_in_time_has_those_of_then(
    there: list[str], databases: dict[str, str], included: str, aliases: list[str], tmp_path: Path
) -> None:
    asked: list[str] = []

    class Archive:
        def stanza(self) -> None:
            """It can be read."""

        now = stanza

        def version_at(self, _time: str) -> str:
            return "17"

        def take_version(self, _version: str) -> None:
            """It is the present one."""

        @contextlib.contextmanager
        def as_of(self, _time: str, database: str) -> Any:
            asked.append(database)
            second = Second()
            second.owners = dict.fromkeys(there, "blog")
            yield second

    found = backup_archive.dumped(Archive(), databases, "2026-01-01 00:00:00+00", str(tmp_path))  # type: ignore[arg-type]
    assert asked == [included]
    assert list(parts_of(found)) == aliases
    assert len(os.listdir(tmp_path)) == len(aliases)


# Renaming and removing


def test_they_are_renamed_together() -> None:
    cluster: Any = FakeCluster(
        {"notes": ROLE}, {name: {"owner": "notes"} for name in ("notes", "notes_reports")}
    )
    rename_database(cluster, "notes", "jotter", "jotter", {"jotter_reports": "notes_reports"})
    text = "".join(cluster.asked)
    assert 'ALTER DATABASE "notes_reports" RENAME TO "jotter_reports"' in text


def test_what_a_removal_knows_of_them() -> None:
    environment = {
        "DATABASE_URL": "postgres://blog@/blog",
        "REPORTS_DATABASE_URL": "postgres://blog@/blog_reports?host=/var/run/postgresql",
        "NOISE_DATABASE_URL": "no address",
    }
    found = further_of(environment)
    assert found.keys() == {"REPORTS_DATABASE_URL"}
    assert found["REPORTS_DATABASE_URL"]["name"] == "blog_reports"


@pytest.mark.parametrize(
    ("environment", "database", "url"),
    [
        ({"DATABASE_URL": "postgres://blog@/blog"}, "blog", OWN_URL),
        ({"DATABASE_URL": "postgres://blog@/blog_live"}, "blog_live", OWN_URL),
        (
            {"DATABASE_URL": "postgres://blog@/blog", "FIGURES_DATABASE_URL": "postgres://blog@/numbers"},
            "numbers",
            "url=${FIGURES_DATABASE_URL:?}; url=postgres:${url#*:}",
        ),
        ({}, "blog_reports", "url=${REPORTS_DATABASE_URL:?}; url=postgres:${url#*:}"),
    ],
)
def test_the_last_dump_says_where_each_goes_back(
    environment: dict[str, str], database: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none leads to another database of the app."""
    monkeypatch.setattr(RemovedApp, "environment", lambda _self: environment)
    assert Dump(RemovedApp("blog"), "20260101T000000").url_of(database) == url
