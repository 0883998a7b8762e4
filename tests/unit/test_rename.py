"""An app that is called otherwise now: what is checked, and what its hosts have of the earlier name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.action.app_rename import described, objections
from ansible_collections.homeport.django.plugins.action.preflight import unknown_apps
from ansible_collections.homeport.django.plugins.filter.apps import renamed_apps
from ansible_collections.homeport.django.plugins.filter.parts import taken_domains
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.common.derive import derive, derive_long
from ansible_collections.homeport.django.plugins.module_utils.common.undeclared import undeclared_lines
from ansible_collections.homeport.django.plugins.module_utils.host import rename as host_rename
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import history
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App
from ansible_collections.homeport.django.plugins.module_utils.host.rename import (
    FLAG,
    Rename,
    rename_database,
    renamed_site,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.declared import declared

from tests.unit.releases import HereLayout, write
from tests.unit.support import SECRET, app, resolved

# The definition


@pytest.mark.parametrize(
    ("was", "told"),
    [
        ("notes", "notes is still declared; take that entry out, or leave was out where jotter is a new app"),
        ("jotter", "jotter is the name that the app has; leave it out"),
        ("postgres", "postgres is the name of a user or service of the system, which no app had"),
        ("Notes", "must start with a lower-case letter"),
    ],
)
def test_an_earlier_name_that_cannot_be(was: str, told: str) -> None:
    apps = {"jotter": app(was=was), "notes": app(domains=["other.example"])}
    [found] = check(apps, {}, SECRET, "typical")
    assert found.startswith("django_apps.jotter.was")
    assert told in found


def test_an_earlier_name_is_of_one_app() -> None:
    apps = {"a": app(was="notes"), "b": app(was="notes", domains=["other.example"])}
    assert check(apps, {}, SECRET, "typical") == ["django_apps.b.was: notes is the earlier name of a already"]


def test_secrets_of_the_earlier_name() -> None:
    assert check({"jotter": app(was="notes")}, {"notes": {}}, SECRET, "typical") == [
        "vault_django_apps.notes: no such app in django_apps; it is called jotter now"
    ]


def test_what_is_derived_stays_and_the_rest_has_the_new_name() -> None:
    host = {"database_host": "10.0.0.2"}
    found = resolved(name="jotter", was="notes", setup="site", host=host, broker="rabbitmq", cache="redis")
    environment = found["environment"]
    assert environment["SECRET_KEY"] == derive_long(SECRET, "notes", "secret_key")
    assert environment["CACHE_PREFIX"] == "notes"
    assert found["database"]["password"] == derive(SECRET, "notes", "database_password")
    assert found["database"]["user"].startswith("jotter.")
    assert (found["database"]["name"], found["database"]["owner"]) == ("jotter", "jotter")
    assert found["home"] == "/srv/jotter"
    before = resolved(name="notes", setup="site", host=host, broker="rabbitmq", cache="redis")
    keys = ("vhost", "logins", "url")
    assert {key: found["broker"][key] for key in keys} == {key: before["broker"][key] for key in keys}


def test_the_apps_that_have_an_earlier_name() -> None:
    apps = {"jotter": resolved(name="jotter", was="notes"), "blog": resolved()}
    assert renamed_apps(apps) == [{"name": "jotter", "was": "notes", "database": "jotter", "further": {}}]


def test_an_app_that_was_renamed_twice() -> None:
    found = resolved(name="pad", was=["jotter", "notes"])
    assert found["environment"]["SECRET_KEY"] == derive_long(SECRET, "notes", "secret_key")
    renames = renamed_apps({"pad": found})
    assert [each["was"] for each in renames] == ["jotter", "notes"]
    host = {"apps": ["jotter"], "renames": {"jotter": OLD, "notes": NONE}}
    assert objections(renames, {"web1": host}, []) == []
    # an app that is new there, or was removed: only its secrets are of the earlier name
    host = {"apps": ["blog"], "renames": {"jotter": NONE, "notes": NONE}}
    assert objections(renames, {"web1": host}, []) == []
    host = {"apps": ["note"], "renames": {"jotter": NONE, "notes": NONE}}
    [told] = objections(renames, {"web1": host}, [])
    assert told.endswith("nor pad is on web1 (did you mean 'note'?); name the app as it was called there")


def test_its_domains_are_its_own_while_it_is_renamed() -> None:
    apps = {"jotter": {"canonical": "notes.example", "redirects": [], "aliases": [], "was": ["notes"]}}
    assert taken_domains(apps, {"domains": {"notes": ["notes.example"]}}, "web1") == []
    [told] = taken_domains(apps, {"domains": {"pad": ["notes.example"]}}, "web1")
    assert "rename pad with its data (was: pad)" in told


def test_what_is_still_to_be_renamed_is_told_once() -> None:
    host: dict[str, Any] = {**{key: [] for key in ("services", "databases", "vhosts")}, "instances": {}}
    host.update(dict.fromkeys(("here", "backup", "archive"), True))
    known = declared({"jotter": resolved(name="jotter", was="notes")}, host)
    here = {
        "apps": ["notes"],
        "process": ["notes.web"],
        "databases": {"notes": "notes"},
        **{key: [] for key in ("schedule", "units", "vhosts")},
        **dict.fromkeys(("backup", "archive"), True),
        "stores": {"redis-server@notes-cache.service": "/var/lib/redis/notes-cache"},
    }
    for run, who in (("this run", "this run"), ("the next run of site or deploy", "the playbook site")):
        [line] = undeclared_lines(here, known, run, "site")
        assert line["text"] == f"notes is called jotter now: {who} renames it, with its data"


# What is decided for all hosts together

JOTTER = {"name": "jotter", "was": "notes", "database": "jotter"}
NONE: dict[str, Any] = {"old": {}, "both": [], "new": False, "databases": [], "closed": False}
OLD = {**NONE, "old": {"user": "notes", "folder": "/srv/notes"}}
DATABASE = {**NONE, "old": {"database role": "notes", "database": "notes"}, "databases": ["notes"]}


def judged(*missing: str, apps: tuple[str, ...] = ("blog",), **hosts: dict[str, Any]) -> list[str]:
    found = {host: {"apps": list(apps), "renames": {"notes": entry}} for host, entry in hosts.items()}
    return objections([JOTTER], found, list(missing))


def test_what_can_be_renamed() -> None:
    assert judged(web1=OLD, db1=DATABASE) == []
    assert judged(web1={**NONE, "new": True}, db1=DATABASE) == []  # an interrupted run
    assert judged(web1={**NONE, "new": True}) == []  # all is done
    assert judged(web1=NONE, apps=()) == []  # a host that is made anew
    assert judged("web2", web1={**NONE, "new": True}) == []


def test_what_cannot_be_renamed() -> None:
    [both] = judged(web1={**OLD, "both": ["folder", "user"]})
    assert both.startswith("django_apps.jotter.was: both notes and jotter are on web1 (folder, user): remove")
    [neither] = judged(web1=NONE, apps=("note", "blog"))
    assert "neither notes nor jotter is on web1 (did you mean 'note'?)" in neither
    [limited] = judged("web2", web1=OLD)
    assert "the run leaves out web2; run it without --limit" in limited
    [database] = judged(web1=OLD, db1={**DATABASE, "databases": ["journal"]})
    assert database == (
        "django_apps.jotter.database.name: jotter would be a new database, and notes has journal; set name to journal"
    )


def test_what_is_shown() -> None:
    lines = described(JOTTER, {"web1": OLD, "web2": NONE, "db1": DATABASE}, True)
    assert lines[0].startswith("notes would be renamed to jotter.")
    assert lines[1:] == [
        "  web1: user notes, /srv/notes",
        "  db1: database role notes, database notes",
    ]


# The database


class FakeCluster:
    def __init__(self, roles: dict[str, Any], databases: dict[str, Any]) -> None:
        self.found = {"roles": roles, "databases": databases}
        self.asked: list[str] = []

    def state(self) -> dict[str, Any]:
        return self.found

    def ask(self, statements: str, _seconds: int = 0) -> str:
        self.asked.append(statements)
        return ""

    def reassign(self, login: str, owner: str, database: str) -> None:
        self.asked.append(f"reassign {login} {owner} {database}")


ROLE = {"super": False, "owns": False}


def test_a_database_and_its_role() -> None:
    roles = {
        "notes": ROLE,
        "notes.0123abcd": {**ROLE, "owns": True},
        "notes2": ROLE,
        "postgres": {"super": True},
    }
    databases = {"notes": {"owner": "notes"}, "homeport_drill_notes": {"owner": "notes"}}
    cluster: Any = FakeCluster(roles, databases)
    rename_database(cluster, "notes", "jotter", "jotter", {})
    text = "".join(cluster.asked)
    assert cluster.asked[0] == "reassign notes.0123abcd notes notes"
    assert 'DROP ROLE "notes.0123abcd"' in text
    assert 'ALTER ROLE "notes" RENAME TO "jotter"' in text
    assert 'ALTER DATABASE "notes" RENAME TO "jotter"' in text
    assert 'ALTER DATABASE "homeport_drill_notes" RENAME TO "homeport_drill_jotter"' in text
    assert text.index("ALTER ROLE") < text.index("ALTER DATABASE")


def test_an_interrupted_one_goes_on_and_a_finished_one_is_left_alone() -> None:
    cluster: Any = FakeCluster({"jotter": ROLE}, {"notes": {"owner": "jotter"}})
    rename_database(cluster, "notes", "jotter", "jotter", {})
    assert len(cluster.asked) == 1 and "RENAME TO" in cluster.asked[0]
    cluster = FakeCluster({"jotter": ROLE}, {"jotter": {"owner": "jotter"}, "notes": {"owner": "else"}})
    rename_database(cluster, "notes", "jotter", "jotter", {})
    assert cluster.asked == []


def test_a_database_with_a_name_of_its_own_keeps_it() -> None:
    cluster: Any = FakeCluster({"notes": ROLE}, {"journal": {"owner": "notes"}, "notes": {"owner": "notes"}})
    rename_database(cluster, "notes", "jotter", "journal", {})
    assert cluster.asked == ['ALTER ROLE "notes" RENAME TO "jotter";\n']


# The files

SITE = """
upstream homeport_notes { server unix:/run/homeport/notes.sock; }
access_log /var/log/nginx/notes.access.log;
ssl_certificate /etc/homeport/certificates/notes/live/fullchain.pem;
if (-f /srv/notes/maintenance/on) { set $homeport_closed yes; }
if ($homeport_open_notes) { }
map $uri $homeport_open_notes_2 { }
alias /srv/notes2/static/;
"""


def test_the_site_goes_on_with_its_files() -> None:
    found = renamed_site(SITE, "notes", "jot-ter")
    assert "if ($homeport_open_jot_2d_ter)" in found
    assert "-f /srv/jot-ter/maintenance/on" in found
    for line in ("map $uri $homeport_open_notes_2 { }", "alias /srv/notes2/static/;"):
        assert line in found
    assert "/notes/" not in found and "/notes." not in found


class HereApp(App):
    """An app below a temporary folder."""

    users: dict[str, str] = {}  # by home
    root = Path()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.layout = HereLayout({"name": name, "user": name, "home": f"{self.root}/srv/{name}"})
        self.home = self.layout.home
        self.logs = f"{self.root}/var/log/homeport/{name}"
        self.record = f"{self.root}/deploys/{name}.jsonl"

    def account(self) -> Any:
        mine = self.users.get("name") == self.name
        return SimpleNamespace(pw_uid=12345, pw_gid=12345) if mine else None

    def stores(self) -> list[str]:
        return []

    def timers(self) -> list[str]:
        return []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With an app that has a release, uploads, logs, a certificate, and the data of its broker."""
    root = tmp_path
    for name in ("RUNTIME", "CERTIFICATES", "SITES", "MAINTENANCE", "STATE", "STORES", "PROGRAMS"):
        monkeypatch.setattr(host_rename, name, f"{root}{getattr(host_rename, name)}")
    monkeypatch.setattr(host_rename, "PATHS", tuple(f"{root}{path}" for path in host_rename.PATHS))
    monkeypatch.setattr(history.append, "__defaults__", (f"{root}/deploys",))
    monkeypatch.setattr(HereApp, "root", root)
    monkeypatch.setattr(HereApp, "users", {"name": "notes"})
    monkeypatch.setattr(host_rename, "App", HereApp)
    monkeypatch.setattr(host_rename, "units", lambda _names: {"nginx": [True, True]})
    monkeypatch.setattr(host_rename, "end_processes", lambda _app: None)
    monkeypatch.setattr(host_rename, "has_group", lambda _name, _gid: False)
    home = root / "srv/notes"
    for name in ("releases/one", "shared/media", "slots", "config", "maintenance", "cache"):
        (home / name).mkdir(parents=True)
    (home / "current").symlink_to(home / "releases/one")
    (home / "slots/0").symlink_to(home / "releases/one")
    write(home / "shared/media/photo", "a photo")
    write(root / "deploys/notes.jsonl", '{"verb": "deploy"}\n')
    write(root / "var/log/homeport/notes/web-0.log", "hello")
    write(root / "var/lib/redis/notes-broker/dump.rdb", "tasks")
    write(root / "etc/homeport/certificates/notes/live", "a certificate")
    write(root / "etc/homeport/certificates.json", json.dumps({"sites": {"notes": {"kind": "acme"}}}))
    write(root / "etc/nginx/sites-enabled/notes.conf", SITE)
    write(
        root / "var/lib/homeport/nginx.json",
        json.dumps({"paths": [f"{root}/etc/nginx/sites-enabled/notes.conf"]}),
    )
    write(
        root / "var/lib/homeport/django_app.json",
        json.dumps({"paths": ["/srv/notes", "/srv/notes/config/env", "/srv/notes2"]}),
    )
    write(root / "etc/supervisor/conf.d/notes.web.conf", "[program]")
    return root


def called(argv: list[str], _what: str) -> str:
    if argv[0] == "usermod":
        HereApp.users["name"] = argv[2]
    return ""


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else ""
        for path in sorted(root.rglob("*"))
        if "deploys" not in str(path)
    }


def test_everything_of_a_host(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_rename, "call", called)
    monkeypatch.setattr(host_rename, "stop", lambda _app: None)
    rename = Rename("jotter", "notes", "", None)
    found = rename.look()
    assert set(found["old"]) == {"user", "folder", "logs", f"{host}/var/lib/redis/*-broker"}
    assert found["both"] == [] and not found["new"]
    rename.stop()
    assert (host / "srv/notes/maintenance/on").read_text() == FLAG
    rename.run("ann")
    left = [path for path in files(host) if "notes" in Path(path).name]
    assert left == []
    home = host / "srv/jotter"
    assert (home / "shared/media/photo").read_text() == "a photo"
    assert sorted(os.listdir(home)) == ["config", "maintenance", "releases", "shared", "slots"]
    assert os.listdir(home / "releases") == os.listdir(home / "slots") == []
    assert (host / "var/lib/redis/jotter-broker/dump.rdb").read_text() == "tasks"
    assert json.loads((host / "etc/homeport/certificates.json").read_text()) == {
        "sites": {"jotter": {"kind": "acme"}}
    }
    record = json.loads((host / "var/lib/homeport/django_app.json").read_text())
    assert record["paths"] == ["/srv/jotter", "/srv/jotter/config/env", "/srv/notes2"]
    record = json.loads((host / "var/lib/homeport/nginx.json").read_text())
    assert record["paths"] == [f"{host}/etc/nginx/sites-enabled/jotter.conf"]
    lines = [json.loads(line) for line in (host / "deploys/jotter.jsonl").read_text().splitlines()]
    assert [line["verb"] for line in lines] == ["deploy", "rename"]
    after = rename.look()
    assert (after["old"], after["new"], after["closed"]) == ({}, True, True)
    # opened once a release is live
    assert not rename.open()
    (home / "releases/two").mkdir()
    (home / "current").symlink_to(home / "releases/two")
    assert rename.open() and not rename.open()


def test_a_run_that_was_interrupted_is_continued(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each file that is renamed, and each command."""
    done: list[str] = []
    real = os.rename

    def cut(what: str) -> None:
        if what not in done:
            done.append(what)
            raise OSError("the power is cut")

    def renamed(source: str, target: str) -> None:
        cut(f"before {source}")
        real(source, target)
        cut(f"after {source}")

    def interrupted(argv: list[str], what: str) -> str:
        cut(f"before {argv[0]}")
        called(argv, what)
        cut(f"after {argv[0]}")
        return ""

    monkeypatch.setattr(host_rename, "call", interrupted)
    monkeypatch.setattr(os, "rename", renamed)
    for _attempt in range(100):
        rename = Rename("jotter", "notes", "", None)
        found = rename.look()
        assert found["both"] == []
        if not found["old"]:
            break
        try:
            rename.run("ann")
        except OSError:
            continue
    assert len(done) > 20
    assert [path for path in files(host) if "notes" in Path(path).name] == []
    assert (host / "srv/jotter/shared/media/photo").read_text() == "a photo"


def test_both_are_there(host: Path) -> None:
    for name in ("releases", "shared", "slots"):
        (host / "srv/jotter" / name).mkdir(parents=True)
    assert Rename("jotter", "notes", "", None).look()["both"] == ["folder"]


def test_a_mount_in_the_folder(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_rename, "mounted_below", lambda folder: [f"{folder}/shared/media"])
    with pytest.raises(DeployError, match="unmount it"):
        Rename("jotter", "notes", "", None).look()


def test_an_app_by_its_earlier_name() -> None:
    apps = {"jotter": app(was="notes")}
    assert unknown_apps("notes", apps, False) == [
        "app: there is no notes in django_apps; it is called jotter now"
    ]
    # its backups from before
    assert unknown_apps("notes", apps, True, restored=True) == []
    assert unknown_apps("note", apps, True, restored=True) != []
