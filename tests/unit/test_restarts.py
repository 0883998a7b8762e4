"""Restarts that interrupt all apps: announced, held back, made when asked for, and told of by status."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.homeport.django.plugins.filter.host import restarts as told_by_run
from ansible_collections.homeport.django.plugins.module_utils.host import given, restarts
from ansible_collections.homeport.django.plugins.module_utils.host.service_config import record as records
from ansible_collections.homeport.django.plugins.module_utils.host.service_config import services, transaction
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.record import Record
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.undo import Backup

from tests.unit.rendered import TRUSTED
from tests.unit.statuses import GROUPS, document, status
from tests.unit.test_service_config import Killed, Set, files

__all__ = ["files"]

ROOT = Path(__file__).parents[2]

SANDBOX = {"path": "sandbox.conf", "content": "1\n", "on_change": "restart"}
LATER = {"restart": "later"}
CLUSTER_FOLDER = restarts.cluster_folder


@pytest.fixture(autouse=True)
def unit_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A service that systemd has started once; what this returns starts it anew."""
    runs = ["first"]
    monkeypatch.setattr(restarts, "started", lambda _unit: runs[-1])
    monkeypatch.setattr(restarts, "cluster_folder", lambda _unit: "/")
    return lambda: runs.append(f"run {len(runs)}")


def changed(text: str = "2\n", **more: Any) -> dict[str, Any]:
    return {**SANDBOX, "content": text, **more}


def test_a_first_run_never_waits(files: Set) -> None:
    assert files.run(SANDBOX, **LATER)["restart"] == {}
    assert files.host.commands == ["systemctl restart web"]


def test_a_restart_waits_until_it_is_asked_for(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    held = {"unit": "web", "why": ["sandbox.conf"], "when": "later"}
    first = files.run(changed(), **LATER)
    assert (first["changed"], first["restart"], files.host.commands) == (True, held, [])
    again = files.run(changed(), **LATER)
    assert (again["changed"], again["restart"], files.host.commands) == (False, held, [])
    made = files.run(changed(), restart="now")
    assert (made["changed"], made["restart"]["when"]) == (True, "done")
    assert files.host.commands == ["systemctl restart web"]
    assert files.run(changed(), restart="now")["restart"] == {}


def test_what_a_reload_can_do_does_not_wait(files: Set) -> None:
    site = {"path": "site.conf", "content": "a\n"}
    files.run(SANDBOX, site, **LATER)
    files.run(changed(), {**site, "content": "b\n"}, **LATER)
    assert files.host.commands == ["systemctl reload web"]


def test_an_urgent_restart_does_not_wait(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    result = files.run(changed(urgent=True), **LATER)
    assert (result["restart"]["when"], files.host.commands) == ("done", ["systemctl restart web"])


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("role", ["nginx", "supervisord"])
def test_a_sandbox_that_is_switched_off_is_urgent(role: str, on: bool) -> None:
    loader = DataLoader()
    task = loader.load_from_file(str(ROOT / f"roles/{role}/tasks/configure.yml"), **TRUSTED)[0]
    (entry,) = (entry for entry in task["vars"][f"__{role}_files"] if "homeport-sandbox" in entry["path"])
    known = {f"{role}_sandbox": on, "__supervisord_low_ports": False}
    assert Templar(loader=loader, variables=known).template(entry["urgent"]) is not on


@pytest.mark.parametrize(("restart", "when"), [("later", "later"), ("now", "now")])
def test_a_plan_tells_of_it_and_changes_nothing(files: Set, restart: str, when: str) -> None:
    files.run(SANDBOX, **LATER)
    files.host.check_mode = True
    assert files.run(changed(), restart=restart)["restart"]["when"] == when
    assert files.host.commands == []


def test_a_service_that_was_started_anew_waits_for_nothing(files: Set, unit_run: Callable[[], None]) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed(), **LATER)
    unit_run()
    result = files.run(changed(), **LATER)
    assert (result["changed"], result["restart"], files.host.commands) == (False, {}, [])
    assert Record("web").held == {}


def kill(_command: str) -> None:
    raise Killed


def interrupted(files: Set, *entries: dict[str, Any], **options: Any) -> None:
    files.declare(*entries, **options)
    files.host.on_command = kill
    with pytest.raises(Killed):
        transaction.run(files.host)
    files.host.on_command = lambda _command: None


def test_what_waits_survives_a_run_that_is_interrupted(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    interrupted(files, changed(), validate=["check"], **LATER)
    assert files.path("sandbox.conf").read_text() == "2\n"
    assert files.run(changed(), **LATER)["restart"]["when"] == "later"
    assert files.run(changed(), restart="now")["restart"]["when"] == "done"


def test_a_refused_change_waits_for_nothing(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    files.host.failing = {"check": "no"}
    assert files.end(changed(), validate=["check"], **LATER).result["restart"] == {}
    assert Record("web").held == {}


def kept(files: Set) -> list[str]:
    return [path.name for path in (files.folder.parent / "state").glob("held.*/*")]


def test_what_waited_is_restored_when_the_service_does_not_start_with_it(files: Set) -> None:
    other = {"path": "other.conf", "content": "a\n"}
    files.run(SANDBOX, other, **LATER)
    files.run(changed("2\n"), other, **LATER)
    files.run(changed("bad\n"), {"path": "new.conf", "on_change": "restart"}, other, **LATER)
    assert len(kept(files)) == 1
    files.host.failing = {"systemctl restart web": "it is bad"}
    wanted = (changed("bad\n"), {"path": "new.conf", "on_change": "restart"}, {**other, "content": "b\n"})
    ended = files.end(*wanted, restart="now")
    assert "it is bad" in str(ended)
    assert "was restored, also what waited for the restart." in str(ended)
    assert files.host.commands == ["systemctl restart web"] * 2
    assert files.path("sandbox.conf").read_text() == "1\n"
    assert files.path("other.conf").read_text() == "a\n"
    assert not files.path("new.conf").exists()
    assert (Record("web").held, kept(files)) == ({}, [])
    files.host.failing = {}
    assert files.run(*wanted, **LATER)["restart"]["why"] == ["new.conf", "sandbox.conf"]
    assert files.run(*wanted, restart="now")["restart"]["when"] == "done"
    assert (files.path("sandbox.conf").read_text(), kept(files)) == ("bad\n", [])


def test_what_waited_is_restored_when_a_reboot_did_not_start_with_it(
    files: Set, unit_run: Callable[[], None]
) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed("bad\n"), **LATER)
    unit_run()
    files.host.active.clear()

    def start(_command: str) -> None:
        good = files.path("sandbox.conf").read_text() == "1\n"
        files.host.failing = {} if good else {"systemctl enable --now web": "it is bad"}

    files.host.on_command = start
    assert "also what waited" in str(files.end(changed("bad\n"), **LATER))
    assert (files.path("sandbox.conf").read_text(), files.host.active) == ("1\n", {"web"})


def test_what_waited_of_another_set_is_restored_when_their_service_does_not_start_with_it(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    theirs = files.folder / "theirs.conf"
    theirs.write_text("good\n")
    other = Record("other")
    before = Backup(os.path.join(records.STATE_FOLDER, "held.other"))
    before.save(str(theirs))
    theirs.write_text("bad\n")
    other.held, other.previous = {"unit": "web", "why": ["theirs.conf"], "start": "first"}, before.saved
    other.write()
    files.host.failing = {"systemctl restart web": "it is bad"}
    assert "also what waited" in str(files.end(changed("2\n"), restart="now"))
    assert (theirs.read_text(), files.path("sandbox.conf").read_text()) == ("good\n", "1\n")
    assert Record("other").held == {}
    assert files.host.commands == ["systemctl restart web"] * 2


def test_the_folder_of_a_cluster_by_its_unit() -> None:
    assert CLUSTER_FOLDER("postgresql@17-main") == "/etc/postgresql/17/main/"
    assert CLUSTER_FOLDER("postgresql@9.6-a-b.service") == "/etc/postgresql/9.6/a-b/"


def test_a_service_that_has_started_with_what_waited_does_not_go_back(
    files: Set, unit_run: Callable[[], None]
) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed("2\n"), **LATER)
    unit_run()
    files.host.failing = {"systemctl restart web": "it is bad"}
    assert "was restored." in str(files.end(changed("bad\n"), restart="now"))
    assert files.path("sandbox.conf").read_text() == "2\n"


def test_a_refused_change_leaves_what_waits(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed("2\n"), **LATER)
    files.host.failing = {"check": "no"}
    assert files.end(changed("bad\n"), validate=["check"], restart="now").failed
    assert (files.path("sandbox.conf").read_text(), kept(files)) == ("2\n", ["0"])
    assert Record("web").held["why"] == ["sandbox.conf"]


def test_a_part_without_the_service_leaves_what_waits(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed(), **LATER)
    files.service = None
    files.run({"path": "part.conf", "content": "x\n"}, partial=True)
    assert Record("web").held["why"] == ["sandbox.conf"]
    assert kept(files) == ["0"]


def test_a_service_that_is_stopped_is_started_with_what_waited(files: Set) -> None:
    files.run(SANDBOX, **LATER)
    files.run(changed(), **LATER)
    files.host.active.clear()
    result = files.run(changed(), **LATER)
    assert (result["restart"], files.host.commands) == ({}, ["systemctl enable --now web"])
    assert Record("web").held == {}


class Cluster:
    """PostgreSQL, which knows which of its settings it reads at its start only."""

    waits: set[str] = set()

    def ask(self, statements: str) -> str:
        if "pending_restart" in statements:
            return json.dumps(sorted(self.waits))
        assert (
            "'work_mem'" in statements or "'shared_buffers'" in statements or "'archive_mode'" in statements
        )
        known = ("shared_buffers", "archive_mode", "listen_addresses")
        return json.dumps([name for name in known if f"'{name}'" in statements])


@pytest.fixture
def postgres(files: Set, monkeypatch: pytest.MonkeyPatch) -> type[Cluster]:
    monkeypatch.setattr(restarts, "Cluster", Cluster)
    monkeypatch.setattr(services, "Cluster", lambda: type("Quiet", (), {"ask": lambda *_: ""})())
    return Cluster


@pytest.mark.parametrize(
    ("old", "new", "why", "commands"),
    [
        ("work_mem = '4MB'\n", "work_mem = '8MB'\n", None, ["systemctl reload web"]),
        ("shared_buffers = '4'\n", "shared_buffers = '8'\n", ("later", ["shared_buffers"]), ["systemctl reload web"]),
        ("archive_mode = 'on'\n", "work_mem = '1MB'\n", ("done", ["archive_mode"]), ["systemctl restart web"]),
    ],
)  # fmt: skip
def test_settings_of_postgresql(
    files: Set, postgres: type[Cluster], old: str, new: str, why: Any, commands: list[str]
) -> None:
    """Only those that it reads at its start need a restart, and the urgent ones do not wait for it."""
    conf = {"path": "homeport.conf", "content": old}
    files.run(conf, settings_of="postgresql", **LATER)
    found = files.run({**conf, "content": new}, settings_of="postgresql", **LATER)["restart"]
    assert ((found["when"], found["why"]) if found else None) == why
    assert files.host.commands == commands


def test_a_setting_that_postgresql_was_not_told_of_waits(files: Set, postgres: type[Cluster]) -> None:
    conf = {"path": "homeport.conf", "content": "shared_buffers = '4MB'\n"}
    other = {**conf, "content": "shared_buffers = '8MB'\n"}
    files.run(conf, settings_of="postgresql", **LATER)
    interrupted(files, other, settings_of="postgresql", **LATER)
    assert files.run(other, settings_of="postgresql", **LATER)["restart"]["why"] == ["shared_buffers"]
    assert files.host.commands == ["systemctl reload web"]


def test_a_setting_that_is_taken_back_waits_no_more(
    files: Set, postgres: type[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = {"path": "homeport.conf", "content": "shared_buffers = '4MB'\n"}
    other = {**conf, "content": "shared_buffers = '8MB'\n"}
    files.run(conf, settings_of="postgresql", **LATER)
    monkeypatch.setattr(postgres, "waits", {"shared_buffers"})
    files.run(other, settings_of="postgresql", **LATER)
    assert files.run(other, settings_of="postgresql", **LATER)["restart"]["when"] == "later"
    files.run(conf, settings_of="postgresql", **LATER)
    monkeypatch.setattr(postgres, "waits", set())
    assert files.run(conf, settings_of="postgresql", **LATER)["restart"] == {}


def test_what_waits_is_looked_at_by_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given").mkdir()
    for name in ("web", "other"):
        record: dict[str, Any] = {"digest": name, "found": {"paths": {}}}
        (tmp_path / f"given/service_config.{name}.json").write_text(json.dumps(record))
        (tmp_path / f"{name}.json").write_text(json.dumps({"held": {"why": ["x"]} if name == "web" else {}}))
    monkeypatch.setattr(given, "STATE", str(tmp_path))
    found = given.untouched({"paths": given.paths}, str(tmp_path / "given"))
    assert found == {"service_config.other": "other"}


def test_what_waits_on_a_host(tmp_path: Path, unit_run: Callable[[], None]) -> None:
    for name, unit, why in (
        ("postgres", "postgresql@17-main", ["shared_buffers"]),
        ("pgbackrest", "postgresql@17-main", ["wal_level"]),
    ):
        held = {"unit": unit, "why": why, "start": "first"}
        (tmp_path / f"{name}.json").write_text(json.dumps({"held": held}))
    (tmp_path / "nginx.json").write_text("{}")
    wanted = [{"service": "PostgreSQL", "why": ["shared_buffers", "wal_level"]}]
    assert restarts.waiting(str(tmp_path)) == wanted
    unit_run()
    assert restarts.waiting(str(tmp_path)) == []


def test_what_a_run_tells() -> None:
    def of(unit: str, when: str, *why: str) -> dict[str, Any]:
        return {"restart": {"unit": unit, "when": when, "why": list(why)}}

    hostvars: dict[str, Any] = {
        "db1": {
            "__postgres_configured": of("postgresql@17-main", "later", "shared_buffers"),
            "__pgbackrest_configured": {"skipped": True},
        },
        "web1": {
            "__supervisord_configured": of("supervisor", "now", "homeport-sandbox.conf"),
            "__nginx_configured": {"restart": {}},
        },
        "web2": {"__nginx_configured": of("nginx", "done", "homeport-sandbox.conf")},
    }
    lines = told_by_run(GROUPS, hostvars)
    assert [line.split(" (")[0] for line in lines] == [
        "web1: restarts supervisord, about 5 s for all apps",
        "web2: nginx was restarted",
        "db1: PostgreSQL needs a restart for shared_buffers, which interrupts all apps for about 1 to 3 s. "
        "Run the same with -e restart=now when it suits.",
    ]


def test_each_playbook_that_may_restart_a_service_tells_of_it() -> None:
    configures = {f"components/{name}.yml" for name in ("postgres", "cache_and_broker", "django", "nginx")}
    tells = {"components/restarts.yml", "components/verdict.yml"}
    for path in (ROOT / "playbooks").glob("*.yml"):
        imported = {play.get("ansible.builtin.import_playbook") for play in yaml.safe_load(path.read_text())}
        assert not imported & configures or imported & tells, path.name
    # also one that --limit keeps from all app servers
    (play,) = yaml.safe_load((ROOT / "playbooks/components/restarts.yml").read_text())
    assert play["hosts"] == "{{ groups | homeport.django.hosts_of }}"


def test_status_tells_of_it() -> None:
    waits = [{"service": "PostgreSQL", "why": ["shared_buffers"]}]
    found = document({"db1": status(restarts=waits)}, [])
    told = [problem for problem in found["problems"] if problem["host"] == "db1"]
    assert [(one["level"], one["text"]) for one in told if "restart" in one["text"]] == [
        (
            "warning",
            "PostgreSQL needs a restart for shared_buffers, which interrupts all apps: run the playbook typical with "
            "-e restart=now when it suits",
        )
    ]


def test_workers_stop_before_the_web_processes(tmp_path: Path) -> None:
    """Whatever their groups are called, and all of a kind at the same time."""
    fake = tmp_path / "supervisorctl"
    log = tmp_path / "log"
    fake.write_text(
        f"""#!/bin/sh
if [ "$1" = status ]; then
    for name in blog.web:0 blog.web:1 blog.queue:0 blog.webhooks:0 ticker; do
        echo "$name  RUNNING   pid 7, uptime 0:00:14"
    done
    exit 3
fi
echo "start $2" >>{log}
while [ "$(grep -c start {log})" -lt 3 ]; do sleep 0.01; done
echo "end $2" >>{log}
"""
    )
    fake.chmod(0o755)
    program = ROOT / "roles/supervisord/files/usr/local/lib/homeport/supervisord-stop"
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", str(program)], check=True, env={**os.environ, "PATH": path}, timeout=60)
    lines = log.read_text().splitlines()
    workers = ["blog.queue:*", "blog.webhooks:*", "ticker:*"]
    assert sorted(lines[:3]) == [f"start {name}" for name in workers]
    assert sorted(lines[3:6]) == [f"end {name}" for name in workers]
    assert lines[6:] == ["start blog.web:*", "end blog.web:*"]
