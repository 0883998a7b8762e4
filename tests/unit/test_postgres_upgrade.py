"""The upgrade of PostgreSQL: what is copied and carried over, what is undone, what is refused, and what is told."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.homeport.django.plugins.action.postgres_upgrade import described
from ansible_collections.homeport.django.plugins.module_utils.host import closed
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import PostgresCluster
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade import (
    closing,
    plan,
    prepare,
    switch,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade import record as written
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.finish import confirm
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.folders import (
    differs,
    synchronize,
    unlinked,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import Upgrade
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.prepare import size_mb
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.settings import carry, settings_in
from ansible_collections.homeport.django.plugins.modules import postgres_upgrade as module

ABOUT = {
    "databases": {"postgres": 1 << 20, "template1": 1 << 20, "blog": 1 << 30},
    "encoding": "UTF8",
    "collate": "C.UTF-8",
    "ctype": "C.UTF-8",
    "checksums": "on",
    "segment": "16MB",
    "prepared": 0,
    "tablespaces": 0,
}


# The copy


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_follows_what_changes(tmp_path: Path) -> None:
    source, copy = tmp_path / "main", tmp_path / "kept"
    (source / "base/5").mkdir(parents=True)
    (source / "base/6").mkdir()
    (source / "base/6/1").write_text("dropped")
    (source / "base/5/1").write_text("old")
    (source / "base/5/2").write_text("same")
    (source / "base/5/2").chmod(0o600)
    (source / "pg_wal").symlink_to(tmp_path)
    os.utime(source / "base/5/2", ns=(1, 1))
    synchronize(str(source), str(copy))
    assert contents(copy) == contents(source)
    assert os.readlink(copy / "pg_wal") == str(tmp_path)
    kept = os.stat(copy / "base/5/2")
    assert kept.st_mode & 0o777 == 0o600

    # changed within the same moment, with the same length: what is young is copied again
    found = os.stat(source / "base/5/1")
    (source / "base/5/1").write_text("new")
    os.utime(source / "base/5/1", ns=(found.st_atime_ns, found.st_mtime_ns))
    (source / "base/6/1").unlink()
    (source / "base/6").rmdir()
    (source / "base/7").mkdir()
    synchronize(str(source), str(copy))
    assert contents(copy) == contents(source)
    assert not (copy / "base/6").exists()
    assert (copy / "base/7").is_dir()
    assert os.stat(copy / "base/5/2").st_ctime_ns == kept.st_ctime_ns, "copied again"


def test_what_differs(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    found = os.stat(tmp_path / "a")
    assert differs(found, str(tmp_path / "none"))
    assert not differs(found, str(tmp_path / "a"))
    os.utime(tmp_path / "a", ns=(0, found.st_mtime_ns + 1))
    assert differs(found, str(tmp_path / "a"))


# The settings


def test_the_settings_go_along(tmp_path: Path) -> None:
    old, new, data, new_data = (tmp_path / name for name in ("15/main", "17/main", "data", "new_data"))
    for folder in (old / "conf.d", new / "conf.d", data, new_data):
        folder.mkdir(parents=True)
    (old / "postgresql.conf").write_text(
        f"data_directory = '/x/15/main'\nport = 5432\nlog_timezone = 'Etc/UTC'\n#work_mem = 4MB\n"
        f"shared_preload_libraries = 'pg_stat_statements'  # added\nssl on\nlogging = '{old}/x'\n"
        "include_dir = 'conf.d'\nstats_temp_directory = '/run'\n"
    )
    (new / "postgresql.conf").write_text("log_timezone = 'Etc/UTC'\nssl = on\nport = 5433\n")
    (data / "postgresql.auto.conf").write_text("# by ALTER SYSTEM\nwork_mem = '8MB'\n")
    (old / "conf.d/homeport.conf").write_text(f"hba_file = '{old}/homeport_hba.conf'\n")
    (old / "conf.d/carried.conf").write_text("jit = off\n")  # of an earlier upgrade
    (old / "conf.d/notes.txt").write_text("no settings\n")
    (old / "homeport_hba.conf").write_text("local all all peer\n")
    (old / "homeport_hba.conf").chmod(0o640)
    carry(str(old), str(new), str(data), str(new_data))
    assert settings_in(str(new / "conf.d/carried.conf")) == {
        "jit": "off",
        "shared_preload_libraries": "'pg_stat_statements'",
    }
    assert settings_in(str(new_data / "postgresql.auto.conf")) == {"work_mem": "'8MB'"}
    assert (new / "conf.d/homeport.conf").read_text() == f"hba_file = '{new}/homeport_hba.conf'\n"
    assert (new / "homeport_hba.conf").stat().st_mode & 0o777 == 0o640
    assert not (new / "conf.d/notes.txt").exists()
    assert settings_in(str(tmp_path / "none")) == {}


def test_a_control_file_that_was_renamed_comes_back(tmp_path: Path) -> None:
    (tmp_path / "pg_control.old").write_text("control")
    for _time in range(2):
        unlinked(str(tmp_path / "pg_control"))
        assert (tmp_path / "pg_control").read_text() == "control"


def test_the_size_of_a_segment() -> None:
    assert (size_mb("16MB"), size_mb("1GB")) == (16, 1024)


# The steps


class Stepping(Upgrade):
    """Its steps by name; one of them fails."""

    def __init__(self, mode: str = "copy", fails: str = "") -> None:
        super().__init__("15", "17", "main", mode)
        self.steps: list[str] = []
        self.fails = fails
        self.live = cast(Cluster, SimpleNamespace(ask=lambda statement: self.step(statement)))

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.fails and name.startswith(self.fails):
            self.fails = ""
            raise DeployError(f"{name} failed")

    def systemctl(self, verb: str, archive: Any) -> None:
        self.step(f"{verb} {archive.version}")

    def pg_upgrade(self, options: list[str]) -> None:
        self.step(f"pg_upgrade {' '.join(options)}")

    def as_postgres(self, what: str, work: Any, *arguments: Any) -> None:
        self.step(work.__name__)

    def starts(self, first: Any, second: Any) -> None:
        self.step(f"{first.version} starts")

    def set_port(self, archive: Any, port: int = 0) -> None:
        self.step(f"port of {archive.version}")

    def drop(self, archive: Any) -> None:
        self.step(f"drop {archive.version}")

    def wait(self) -> None:
        self.step("wait")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(written, "STATE", str(tmp_path / "upgrades"))
    monkeypatch.setattr(written, "RECORD", str(tmp_path / "upgrades/postgresql.json"))
    monkeypatch.setattr(closing, "CLOSED", str(tmp_path / "upgrades/closed.json"))
    for part in (prepare, switch):
        monkeypatch.setattr(part, "give_to_root", lambda _example, _folder: None)
    return tmp_path


def switched(work: Stepping) -> Stepping:
    work.note("prepared")
    switch.switch(work)
    return work


def test_the_steps_of_an_upgrade() -> None:
    work = switched(Stepping())
    steps = [
        "SELECT txid_current();",
        "stop 15",
        "synchronize",
        "pg_upgrade --link",
        "port of 17",
        "17 starts",
        "start 17",
        "wait",
    ]
    assert work.steps == steps
    assert written.record()["phase"] == "switched"
    work.steps.clear()
    switch.switch(work)  # once more: it is there
    assert work.steps == ["17 starts", "start 17", "wait"]
    assert switched(Stepping("link")).steps == [step for step in steps if step != "synchronize"]


def test_what_cannot_be_prepared_leaves_no_new_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Stepping(fails="pg_upgrade --check")
    for step in ("replaced", "create_cluster"):
        monkeypatch.setattr(prepare, step, lambda _upgrade: None)
    monkeypatch.setattr(prepare, "work_folder", lambda: None)
    monkeypatch.setattr(work.new, "run", lambda _words, _what: "")
    monkeypatch.setattr(prepare, "call", lambda _words, _what: "")
    monkeypatch.setattr(work.live, "ask", lambda _statement, _seconds=0: "")
    with pytest.raises(DeployError, match="--check failed"):
        prepare.prepare(work)
    assert work.steps == [
        "drop 17",
        "carry",
        "15 starts",
        "pg_upgrade --check",
        "drop 17",
    ]
    work.mode = "link"
    monkeypatch.setattr(prepare, "dump", lambda _upgrade, _stamp: work.step("dump"))
    work.fails = "dump"
    with pytest.raises(DeployError, match="dump failed"):
        prepare.prepare(work)
    assert work.steps[-2:] == ["dump", "drop 17"]


@pytest.mark.parametrize("fails", ["stop 15", "synchronize", "pg_upgrade"])
def test_what_fails_before_the_new_cluster_serves_is_undone(fails: str) -> None:
    work = Stepping(fails=fails)
    with pytest.raises(DeployError, match=fails):
        switched(work)
    undone = ["stop 15", "stop 17", "unlinked", "15 starts", "start 15", "wait", "drop 17"]
    assert work.steps[-len(undone) :] == undone
    assert written.record()["phase"] == "prepared"


@pytest.mark.parametrize("alive", [True, False])
def test_servers_that_pg_upgrade_left_are_stopped(alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Stepping()
    monkeypatch.setattr(work.old, "runs", lambda _data: alive, raising=False)
    monkeypatch.setattr(work.new, "runs", lambda _data: False, raising=False)
    monkeypatch.setattr(work.old, "run", lambda words, _what: work.step(words[1]))
    switch.back(work)
    assert work.steps[: 3 if alive else 2] == ["stop 15", *(["stop"] if alive else []), "stop 17"]
    assert work.steps[-1] == "drop 17"


def test_a_new_cluster_that_does_not_start() -> None:
    work = Stepping(fails="start 17")
    with pytest.raises(DeployError, match=r"start 17 failed\nPostgreSQL 15 serves again; nothing is lost"):
        switched(work)
    assert work.steps[-7:] == [
        "stop 17",
        "replace",
        "synchronize",
        "port of 17",
        "15 starts",
        "start 15",
        "wait",
    ]
    assert written.record()["phase"] == "undone"
    for fails in ("17 starts", "start 17"):
        work = Stepping("link", fails)
        with pytest.raises(DeployError, match="run this again"):
            switched(work)
        assert written.record()["phase"] == "switched"


def test_going_back_that_was_interrupted_goes_on(host: dict[str, Any]) -> None:
    """Until then no other verb takes one of the clusters for the one that is not needed."""
    work = Stepping(fails="synchronize")
    work.note("switched", finished=True)
    with pytest.raises(DeployError, match="synchronize failed"):
        switch.undo(work)
    for verb in ("upgrade", "finish"):
        with pytest.raises(DeployError, match="-e undo=true goes on with that"):
            looked(verb=verb)
    assert looked(verb="undo")["goes"] == "undo"
    switch.undo(work)
    assert written.record()["phase"] == "undone"


def test_there_is_no_way_back_by_link() -> None:
    with pytest.raises(DeployError, match="dumps that were made before"):
        switch.undo(Stepping("link"))


# What is looked at


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host with a cluster of 15, and packages of 17."""
    found: dict[str, Any] = {
        "about": dict(ABOUT),
        "extensions": ["plpgsql"],
        "free": 100 << 30,
        "archive": "inactive",
        "clusters": [PostgresCluster("15", "main", 5432, True, True)],
        "packages": {
            "postgresql": "17+278",
            "postgresql-17": "17.1",
            "postgresql-17-postgis-3": "3.5",
            "postgresql-17-cron": "1.6",
        },
        "beside": '["postgres", "template1"]',
    }

    def answer(words: list[str]) -> str:
        if words[0] == "apt-cache":
            return f"{words[2]}:\n  Installed: x\n  Candidate: {found['packages'].get(words[2], '(none)')}\n"
        if words[0] == "dpkg":  # postgis.control is a link of update-alternatives, and no package's
            return f"postgresql-15-cron: {words[2]}\n" if "pg_cron" in words[2] else ""
        return f"{found['archive']}\n"

    def look(_cluster: Cluster, _database: str, what: str) -> Any:
        return found["extensions"] if what == "extensions" else 7

    def ask(cluster: Cluster, _statements: str, seconds: int = 0) -> str:
        return str(found["beside"] if "PGPORT" in cluster.environment else json.dumps(found["about"]))

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=found["free"]))
    monkeypatch.setattr(plan, "answer", answer)
    monkeypatch.setattr(plan, "pace", lambda: found.get("pace", 1.0))
    monkeypatch.setattr(plan, "clusters", lambda: found["clusters"])
    monkeypatch.setattr(Cluster, "look", look)
    monkeypatch.setattr(Cluster, "ask", ask)
    monkeypatch.setattr(module, "used_cluster", lambda: ("15", "main"))
    monkeypatch.setattr(os.path, "exists", lambda path: "/17/extension/plpgsql" in path)
    return found


def looked(**params: Any) -> dict[str, Any]:
    return module.look({"verb": "upgrade", "to": "", "mode": "copy", "extensions": {}, **params}, False)


def test_a_plan(host: dict[str, Any]) -> None:
    host["extensions"] = ["own"]
    found = looked(extensions={"own": "postgresql-{version}-cron"})
    assert found["packages"] == ["postgresql-17", "postgresql-17-cron"]
    host["extensions"] = ["plpgsql", "postgis", "pg_cron"]
    found = looked()
    assert found["goes"] == "upgrade"
    assert found["packages"] == ["postgresql-17", "postgresql-17-cron", "postgresql-17-postgis-3"]
    assert (found["databases"], found["tables"], found["replaced"]) == (1, 21, "")
    text = "\n".join(described("db1", found))
    assert "PostgreSQL 15 becomes PostgreSQL 17: 1.0 GiB in 1 databases with 21 tables" in text
    assert f"closed for about {found['seconds']} s" in text
    assert "kept for a rollback" in text
    host["pace"] = 2.5  # a host that is busy
    assert looked()["seconds"] > 2 * found["seconds"]
    assert "dumps made before" in "\n".join(described("db1", looked(mode="link")))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"free": 1 << 30}, r"No space .* 1024 MiB are free and 2152 MiB needed\. -e mode=link needs less"),
        ({"about": {**ABOUT, "prepared": 1}}, "prepared transactions"),
        ({"about": {**ABOUT, "tablespaces": 1}}, "tablespaces"),
        ({"archive": "activating"}, "homeport-archive-full is running"),
        ({"extensions": ["postgis"], "packages": {"postgresql": "17+278"}}, "no postgresql-17-postgis-3"),
        ({"extensions": ["own"]}, "The extension own is of no package"),
    ],
)
def test_what_is_refused(change: dict[str, Any], text: str, host: dict[str, Any]) -> None:
    host.update(change)
    with pytest.raises(DeployError, match=text):
        looked()


def test_a_cluster_that_is_there_already(host: dict[str, Any]) -> None:
    host["clusters"].append(PostgresCluster("17", "main", 5433, True, True))
    with pytest.raises(DeployError, match="not empty"):
        looked()  # tables in postgres
    host["beside"] = '["postgres", "template1", "shop"]'
    with pytest.raises(DeployError, match="not empty"):
        looked()
    work = Stepping()
    work.note("undone")
    with pytest.raises(DeployError, match="not empty"):
        looked()  # somebody has started it
    host["clusters"][-1] = host["clusters"][-1]._replace(online=False)
    for phase, text in (("prepared", "an interrupted run"), ("undone", "an upgrade was undone")):
        work.note(phase)
        assert text in looked()["replaced"]


def test_a_cluster_is_stopped_again_after_the_look(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(plan, "call", lambda words, _what: called.append(" ".join(words)))
    host["clusters"].append(PostgresCluster("17", "main", 5433, False, True))
    with pytest.raises(DeployError, match="not empty"):
        looked()
    assert called == ["systemctl start postgresql@17-main", "systemctl stop postgresql@17-main"]


def test_nothing_to_do(host: dict[str, Any]) -> None:
    host["packages"]["postgresql"] = "15+248"
    found = looked()
    assert (found["goes"], found["upgraded"]) == ("", False)
    assert described("db1", found) == [
        "db1: nothing to do. PostgreSQL 15 is what the host has, and 15 is wanted."
    ]
    with pytest.raises(DeployError, match="to: 'x' is no version"):
        looked(to="x")


def test_what_follows_an_upgrade(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("undo", "finish"):
        with pytest.raises(DeployError, match="No upgrade of PostgreSQL was made"):
            looked(verb=verb)
    work = Stepping()
    work.note("switched")
    assert looked()["goes"] == "resume"
    with pytest.raises(DeployError, match="not complete yet: run this without finish"):
        looked(verb="finish")
    work.note("switched", finished=True)
    monkeypatch.setattr(module, "used_cluster", lambda: ("17", "main"))
    found = looked()
    assert "kept for a rollback" in found["why"]
    assert found["upgraded"], "its first base backup may have failed"
    with pytest.raises(DeployError, match="not finished"):
        looked(to="18")
    for verb in ("undo", "finish"):
        assert looked(verb=verb)["goes"] == verb
    switch.undo(work)
    monkeypatch.setattr(module, "used_cluster", lambda: ("15", "main"))
    again = looked(verb="undo")  # by a run that was cut before it opened the apps
    assert again["goes"] == "undone"
    assert described("db1", again) == [
        "db1: PostgreSQL 15 serves again already; the remaining steps are repeated."
    ]
    Stepping("link").note("switched", finished=True)
    with pytest.raises(DeployError, match="the only rollback"):
        looked(verb="undo")


@pytest.mark.parametrize("phase", ["prepared", "undone"])
def test_what_a_failed_upgrade_has_left_is_removed(
    phase: str, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Stepping("link")  # the copy may be that of an earlier run
    work.note(phase)
    host["clusters"].append(PostgresCluster("17", "main", 5433, False, True))
    found = looked(verb="finish")
    assert (found["goes"], found["old"], found["new"]) == ("finish", "17", "15")
    confirm(work)
    assert work.steps == ["drop 17", "rmtree", "rmtree"]
    assert written.record() == {}
    work.note(phase)
    monkeypatch.setattr(module, "used_cluster", lambda: ("17", "main"))
    with pytest.raises(DeployError, match="remove by hand"):
        looked(verb="finish")


def test_a_copy_that_is_there_needs_no_space(host: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    host["free"] = 2 << 30
    with pytest.raises(DeployError, match="No space"):
        looked()
    monkeypatch.setattr(plan, "folder_size", lambda _folder: 1 << 30)
    assert looked()["goes"] == "upgrade"


def test_what_an_interrupted_run_has_left_is_undone(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Stepping()
    work.note("stopped")
    monkeypatch.setattr(Upgrade, "recorded", classmethod(lambda _class: work))
    check = module.look({"verb": "upgrade"}, True)
    assert "db1: an interrupted run would be undone first" in described("db1", check)[0]
    assert work.steps == []
    assert looked()["goes"] == "upgrade"
    assert work.steps[-1] == "drop 17"
    assert written.record()["phase"] == "prepared"
    work.note("stopped")
    assert looked(verb="undo")["goes"] == "undone"


def test_the_first_base_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    full: dict[str, Any] = {"last": {"message": "no space"}}
    called: list[str] = []
    monkeypatch.setattr(module, "configured", dict)
    monkeypatch.setattr(module, "Archive", lambda _config: SimpleNamespace(system=lambda: "7"))
    monkeypatch.setattr(backup_state, "read", lambda _name: {"full": full})
    monkeypatch.setattr(module, "call", lambda words, _what: called.append(words[-1]))
    with pytest.raises(DeployError, match=r"no space\nSolve that, and run .*start homeport-archive-full"):
        module.archive()
    assert called == ["homeport-archive.service", "homeport-archive-full.service"]
    full["good"] = {"system": "7", "seconds": 3}
    assert not module.archive()["changed"]


# The apps


def test_apps_are_closed_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Here:
        def __init__(self, name: str) -> None:
            self.name, self.home = name, f"{tmp_path}/srv/{name}"

    monkeypatch.setattr(closing, "App", Here)
    monkeypatch.setattr(closing, "stop", lambda app: seen.append(f"stop {app.name}"))
    monkeypatch.setattr(closing, "start", lambda app: seen.append(f"start {app.name}"))
    for name in ("blog", "shop"):
        (tmp_path / f"srv/{name}/maintenance").mkdir(parents=True)
    (tmp_path / "srv/shop/maintenance/on").write_text("closed by hand")
    assert closing.open_apps() == {"changed": False, "seconds": 0}
    for _run in range(2):  # once more by a run that goes on, since the host may have rebooted
        closing.close_apps(["blog", "shop", "new"], "upgrade_postgresql")
        assert closed.closed_by(f"{tmp_path}/srv/blog") == "upgrade_postgresql"
    with pytest.raises(
        DeployError, match="upgrade_postgresql was interrupted and has closed blog, shop: run that"
    ):
        closing.check_closed_by("move_postgresql")
    closing.check_closed_by("upgrade_postgresql")
    opened = closing.open_apps()
    assert opened["changed"]
    assert opened["seconds"] >= 0
    assert seen == [*["stop blog", "stop shop"] * 2, "start blog", "start shop"]
    assert not (tmp_path / "srv/blog/maintenance/on").exists()
    assert (tmp_path / "srv/shop/maintenance/on").read_text() == "closed by hand"

    def fails(app: Here) -> None:
        seen.append(f"start {app.name}")
        if app.name == "blog":
            raise DeployError("no supervisord")

    monkeypatch.setattr(closing, "start", fails)
    closing.close_apps(["blog", "shop"], "upgrade_postgresql")
    with pytest.raises(DeployError, match="blog was not started: no supervisord"):
        closing.open_apps()
    assert seen[-1] == "start shop"
    assert not (tmp_path / "srv/blog/maintenance/on").exists()
    assert not closing.open_apps()["changed"]


def test_one_upgrade_at_a_time(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATE", str(state / "upgrades"))
    with module.alone(), pytest.raises(DeployError, match="Another upgrade"), module.alone():
        pass
