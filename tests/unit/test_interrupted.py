"""What an interruption leaves, and who notices and removes it."""

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import closed
from ansible_collections.homeport.django.plugins.module_utils.host.backup import archive, leftovers, main
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.plugin_utils.collection_version import COLLECTION

from .statuses import NOW, document, found, specs, status
from .test_status_report import texts

RESTORE = "restore -e app=blog -e to=1a2b3c4d"


def test_only_the_same_verb_opens_what_an_interrupted_one_has_closed(tmp_path: Path) -> None:
    home = str(tmp_path)
    flag = tmp_path / "maintenance/on"
    assert not closed.close(home, RESTORE)  # nobody can be told
    flag.parent.mkdir()
    assert closed.close(home, RESTORE)
    assert closed.closed_by(home) == RESTORE
    assert not closed.close(home, "rollback -e app=blog")
    assert closed.closed_by(home) == RESTORE
    assert closed.close(home, "restore -e app=blog -e to=99999999")
    closed.reopen(home)
    assert not flag.exists()
    flag.write_text("by an operator\n")
    assert closed.closed_by(home) == ""
    assert not closed.close(home, RESTORE)


def test_status_names_what_was_interrupted() -> None:
    lock = {"holder": "anna@laptop", "run": "", "doing": "a restore", "since": "2020-01-01T00:00:00Z"}
    here = status({"blog": found(maintenance=NOW - 300, closed_by=RESTORE, lock=lock)})
    made = document({"web1": here}, specs(blog={}))
    assert texts(made) == [
        f"visitors have got the maintenance page for 5 min, until this ends: {RESTORE}; unless it still runs, run it "
        "again"
    ]
    assert texts(made, "warning") == ["the host was restarted during a restore by anna@laptop; run it again"]
    begun = {**lock, "since": "2026-11-23T23:58:00Z"}
    other = status({"blog": found(maintenance=NOW - 300, closed_by=RESTORE, lock=begun)})
    assert texts(document({"web1": other}, specs(blog={})), "warning") == texts(made)
    waiting = status({"blog": found(maintenance=NOW - 300, closed_by=RESTORE, lock={**begun, "doing": ""})})
    assert texts(document({"web1": waiting}, specs(blog={}))) == texts(made)
    here["host"]["newer"] = "0.2.0"
    text = "was set up with Homeport 0.2.0, which is newer than the one of this controller: update that"
    assert text in texts(document({"web1": here}, specs(blog={})), "warning")


def test_a_playbook_closes_an_app_in_the_same_words() -> None:
    text = (COLLECTION / "playbooks/move_database.yml").read_text()
    assert json.dumps(closed.TEXT.format("move_database -e app={{ app }}")) in text


class Cluster:
    said = ""

    def ask(self, statements: str, _seconds: int) -> None:
        Cluster.said += statements


def app_in(folder: Path, name: str, **spec: Any) -> App:
    home = folder / "srv" / name
    home.mkdir(parents=True)
    return App(
        {"name": name, "user": "x", "home": str(home), "sqlite": "", "database": "", "scratch": "", **spec}
    )


def live(app: App) -> None:
    (Path(app.home) / "releases/1").mkdir(parents=True)
    (Path(app.home) / "current").symlink_to("releases/1")


def test_what_a_killed_drill_or_restore_has_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "STATE", str(tmp_path))
    monkeypatch.setattr(leftovers, "POINT", str(tmp_path / "point"))
    monkeypatch.setattr(leftovers, "SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(leftovers, "Cluster", Cluster)
    Cluster.said = ""
    emptied: list[str] = []
    monkeypatch.setattr(App, "empty", lambda _app, database, _part: emptied.append(database))
    monkeypatch.setattr(App, "parts", lambda app: {"default": app.main, **app.further})
    blog, wiki = app_in(tmp_path, "blog", database="blog"), app_in(tmp_path, "wiki", scratch="spare")
    shop, news = app_in(tmp_path, "shop", sqlite="/x"), app_in(tmp_path, "news", scratch="other")
    live(wiki)
    gone = (
        "point/dump",
        "scratch/wiki/x",
        "staging/blog/x",
        "srv/blog/restoring/x",
        "srv/shop/backup-drill/x",
    )
    kept = ("srv/shop/restoring/before/x", "blog.json")
    for name in (*gone, *kept):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    leftovers.sweep([blog, wiki, shop, news])
    assert [name for name in (*gone, *kept) if (tmp_path / name).exists()] == list(kept)
    assert emptied == ["spare"]
    assert Cluster.said == 'DROP DATABASE IF EXISTS "homeport_drill_blog" WITH (FORCE);\n'


def test_what_cannot_be_removed_of_an_app_concerns_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "STATE", str(tmp_path))
    monkeypatch.setattr(leftovers, "POINT", str(tmp_path / "point"))
    monkeypatch.setattr(leftovers, "SCRATCH", str(tmp_path / "scratch"))
    wiki, news = app_in(tmp_path, "wiki", scratch="gone"), app_in(tmp_path, "news", scratch="spare")
    new = app_in(tmp_path, "new", scratch="unused")
    for app in (wiki, news, new):
        for left in (tmp_path / "scratch" / app.name, Path(app.home) / "restoring"):
            left.mkdir(parents=True)
    for app in (wiki, news):
        live(app)
    emptied: list[str] = []

    def empty(_app: App, database: str, _part: object) -> None:
        if database == "gone":
            raise DeployError("the database gone does not exist")
        emptied.append(database)

    monkeypatch.setattr(App, "empty", empty)
    with pytest.raises(DeployError, match=r"^wiki: the database gone does not exist$"):
        leftovers.sweep([wiki, news, new])
    assert emptied == ["spare"]
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not [app.name for app in (wiki, news, new) if (Path(app.home) / "restoring").exists()]
    leftovers.sweep([wiki, news, new])  # it is told once


def test_the_number_of_a_server_that_was_killed_may_be_another_process_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = tmp_path / "17/main", tmp_path / "other"
    for folder in (data, other):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)

    def run(_archive: Archive, words: list[str], what: str) -> str:
        if subprocess.run(words, check=False, capture_output=True).returncode:
            raise DeployError(what)
        return ""

    monkeypatch.setattr(Archive, "run", run)
    cluster = Archive({"version": "17", "cluster": "main"})
    assert not cluster.runs(str(data))
    for folder, there in ((data, True), (other, False)):
        with subprocess.Popen(["sleep", "60"], cwd=folder) as process:
            (data / "postmaster.pid").write_text(f"{process.pid}\n{data}\n")
            assert cluster.runs(str(data)) is cluster.runs(str(tmp_path / "link")) is there
            process.kill()
    assert not cluster.runs(str(data))


def test_a_second_cluster_is_removed_unless_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "point"
    left.mkdir()
    for name, path in (("SCRATCH", left), ("SOCKET", tmp_path / "socket"), ("LOCK", tmp_path / "lock")):
        monkeypatch.setattr(archive, name, str(path))
    monkeypatch.setattr(Archive, "runs", lambda _archive, _data: False)
    cluster = Archive({"version": "17", "cluster": "main"})
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster.sweep()
        assert left.exists()
    cluster.sweep()
    assert not left.exists()


def test_what_cannot_be_removed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sweep(_apps: list[App]) -> None:
        raise DeployError("PostgreSQL does not run")

    monkeypatch.setattr(main, "sweep", sweep)
    assert not main.cleared([])
    assert capsys.readouterr().err.endswith("was not removed: PostgreSQL does not run\n")
