"""Workers and schedules on hosts of their own, apart from the web."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter.apps import failed_apps, hosts_of, withdrawn_apps
from ansible_collections.homeport.django.plugins.module_utils.app.check import parse
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import deploy, history, rollback
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import Request
from ansible_collections.homeport.django.plugins.module_utils.host.release.rollback import Withdrawal
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack, Switch
from ansible_collections.homeport.django.plugins.module_utils.host.status.health import asked_for
from ansible_collections.homeport.django.plugins.module_utils.host.status.processes import processes
from ansible_collections.homeport.django.plugins.module_utils.reports.status import report
from ansible_collections.homeport.django.plugins.module_utils.wiring.audit import audit_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.budget import budget
from ansible_collections.homeport.django.plugins.module_utils.wiring.certificates import certificate_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import (
    app_files,
    maintenance_files,
    schedule_units,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import exposure
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import gunicorn_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.inventory import nameless, topology
from ansible_collections.homeport.django.plugins.module_utils.wiring.parts import wanted
from ansible_collections.homeport.django.plugins.module_utils.wiring.queues import queue_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import visits

from tests.unit.releases import HereLayout, layout
from tests.unit.statuses import NOW, found, status, workers
from tests.unit.support import SECRET, app, resolved

FIELDS: dict[str, Any] = {
    "overlay": True,
    "broker": "redis",
    "processes": {"queue": {"kind": "celery", "count": 2}, "beat": {"kind": "celery_beat"}},
    "schedules": {"digest": {"command": "manage.py send_digest", "calendar": "daily"}},
}
SETUPS = ("site", "external_services", "worker")


def on(setup: str = "site", **host: Any) -> dict[str, dict[str, Any]]:
    return {"blog": resolved(setup=setup, host={"acme": True, **host}, **FIELDS)}


@pytest.mark.parametrize("setup", SETUPS)
def test_a_host_with_workers_alone_has_nothing_of_the_web(setup: str) -> None:
    apps = on(setup, web=False)
    assert sorted(supervisord_programs(apps)) == ["blog.beat", "blog.queue"]
    assert schedule_units(apps) == ["blog.digest.timer"]
    assert (
        gunicorn_apps(apps)
        == certificate_sites(apps)
        == audit_sites(apps)
        == wanted(apps, {}, ["apps"])
        == {}
    )
    assert visits(apps) == {"blog": {}}
    serves = {"ssh_ports": [22], "serves": ["apps"], "peers": ["10.0.0.2"]}
    assert [port["service"] for port in exposure(apps, serves)] == ["ssh"]
    assert maintenance_files(apps, "on") == []
    assert not [entry for entry in app_files(apps) if entry["path"].endswith((".html", "rules.json"))]
    assert [item.what for item in budget(apps, 4000, ["apps"]).items if "blog" in item.what] == [
        "blog, queue",
        "blog, beat",
    ]


@pytest.mark.parametrize("setup", SETUPS)
def test_a_host_with_the_web_alone_runs_no_worker_and_can_enqueue(setup: str) -> None:
    apps = on(setup, workers=False, scheduler=False)
    assert list(supervisord_programs(apps)) == ["blog.web"]
    assert schedule_units(apps) == []
    both = on(setup)
    assert queue_apps(apps, "celery") == queue_apps(both, "celery") != {}
    for key in ("environment", "server_packages", "site_url", "limits"):
        assert apps["blog"][key] == both["blog"][key] == on(setup, web=False)["blog"][key]


class Supervisor:
    """The programs that supervisord has, each with its release, and what they are asked to do."""

    def __init__(self, fails: str = "") -> None:
        self.states = {"blog.queue:0": "RUNNING"}
        self.fails = fails
        self.restarted: list[str] = []
        self.layout: HereLayout | None = None
        self.release = ""

    def processes(self, _prefix: str) -> dict[str, dict[str, Any]]:
        return {
            name: {"statename": state, "pid": len(self.restarted) + 1, "now": 100, "start": 0}
            for name, state in self.states.items()
        }

    def info(self, _name: str) -> dict[str, Any]:
        return {"stdout_logfile": os.devnull}

    def restart(self, names: list[str], _seconds: float) -> None:
        assert self.layout
        self.restarted += names
        self.release = os.path.basename(self.layout.current or "")
        failed = self.fails == self.release
        self.states = dict.fromkeys(self.states, "BACKOFF" if failed else "RUNNING")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HereLayout:
    """A worker host on which the release 1 is live, and 2 has been built."""
    found = layout(tmp_path)
    found.spec.update(socket="", visit={})
    found.spec["health"]["watch"] = 0
    for name in ("1", "2"):
        folder = Path(found.releases, name)
        (folder / "config/processes").mkdir(parents=True)
        (folder / "config/processes/queue").touch()
        (folder / "config/env").touch()
        (folder / "release.json").write_text(f'{{"id": "{name}"}}')
    found.point(f"{found.home}/current", f"{found.releases}/1")
    return found


def switching(
    here: HereLayout, monkeypatch: pytest.MonkeyPatch, fails: str = ""
) -> tuple[Switch, Supervisor]:
    supervisor = Supervisor(fails)
    supervisor.layout, supervisor.release = here, os.path.basename(here.current or "")
    module = "ansible_collections.homeport.django.plugins.module_utils.host.release.switch"
    monkeypatch.setattr(f"{module}.release_of", lambda _pid: supervisor.release)
    return Switch(here, supervisor), supervisor  # type: ignore[arg-type]


def switched(switch: Switch, release: str) -> None:
    switch.prepare(f"{switch.layout.releases}/{release}")
    switch.try_out()
    switch.hand_over()
    switch.renew_and_watch()


def test_without_a_web_the_workers_are_renewed(here: HereLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    switch, supervisor = switching(here, monkeypatch)
    assert switch.is_settled()
    switched(switch, "2")
    assert (supervisor.restarted, supervisor.release) == (["blog.queue:0"], "2")
    assert here.current == f"{here.releases}/2"
    assert here.resolve_link(f"{here.home}/previous") == f"{here.releases}/1"
    assert os.listdir(here.slots) == []
    assert switch.is_settled()
    assert not Switch(here, supervisor).asked  # type: ignore[arg-type]


def test_workers_that_fail_get_the_previous_release_back(
    here: HereLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, supervisor = switching(here, monkeypatch, fails="2")
    with pytest.raises(RolledBack, match=r"do not run it: blog\.queue:0"):
        switched(switch, "2")
    assert here.current == f"{here.releases}/1"
    assert supervisor.release == "1"


def test_a_release_that_failed_on_another_host_is_withdrawn_and_can_be_tried_again(
    here: HereLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, supervisor = switching(here, monkeypatch)
    switched(switch, "2")
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(
        history,
        "append",
        lambda _app, line: written.append(line) or {**line},  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(deploy, "Supervisor", lambda: supervisor)
    monkeypatch.setattr(rollback, "check_logins", lambda *_words: None)
    monkeypatch.setattr(rollback, "migrations_between", lambda *_words: [])
    request = Request("withdraw", warn=print, run="r", failed={"blog": "web1: does not answer"})
    with pytest.raises(DeployError, match="web1: does not answer\nThis host was rolled back, too: 1 is live"):
        Withdrawal(request, here).work()
    assert here.current == f"{here.releases}/1"
    assert here.resolve_link(here.next_link) == f"{here.releases}/1"
    (line,) = written
    assert [line[key] for key in ("verb", "outcome", "release", "before")] == [
        "deploy",
        "rolled back",
        "2",
        "1",
    ]
    assert Path(here.home, "deploy.lock").read_text() == ""


def test_which_apps_are_withdrawn() -> None:
    outcomes = {
        "blog": {"outcome": "live", "release": "2", "before": "1"},
        "same": {"outcome": "live", "release": "2", "before": "2"},
        "first": {"outcome": "live", "release": "2", "before": ""},
        "shop": {"outcome": "live", "release": "2", "before": "1"},
        "held": {"outcome": "rolled back", "release": "2", "before": "1"},
    }
    failed = dict.fromkeys(("blog", "same", "first", "held"), "web1: no")
    assert withdrawn_apps({"outcomes": outcomes}, failed) == ["blog"]
    assert withdrawn_apps({"skipped": True}, failed) == []


LOST = {"unreachable": True, "msg": "ssh: no route", "changed": False}
BUILT = {"pending": ["blog", "shop"], "failed_apps": {}, "outcomes": {}}
WENT = {"failed_apps": {}, "outcomes": {"blog": {"outcome": "live", "release": "2", "before": "1"}}}


@pytest.mark.parametrize(
    ("work1", "found"),
    [
        ({"__django_app_built": BUILT, "__django_app_live": WENT}, {}),
        ({"__django_app_built": BUILT, "__django_app_live": {"skipped": True}}, {}),
        ({"__django_app_built": {**BUILT, "pending": ["blog"]}, "__django_app_live": LOST}, {"blog"}),
        ({"__django_app_built": BUILT, "__django_app_migrated": LOST}, {"blog", "shop"}),
        ({"__django_app_built": LOST}, {"blog", "shop"}),
        ({"__django_app_built": {**BUILT, "pending": []}, "__django_app_live": LOST}, set()),
    ],
)
def test_a_host_that_is_lost_keeps_a_release_from_the_others(work1: dict[str, Any], found: set[str]) -> None:
    web1 = {"__django_app_built": BUILT, "__django_app_live": WENT}
    failed = failed_apps(["web1", "work1"], {"web1": web1, "work1": work1})
    assert failed == dict.fromkeys(found, "work1: was unreachable")
    assert withdrawn_apps(WENT, failed) == (["blog"] if found else [])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"failed": True, "msg": "blog: no\nThe live", "failed_apps": {"blog": "no"}}, "work1: no"),
        ({"failed": True, "msg": "This step was interrupted"}, "work1: This step was interrupted"),
        (LOST, "work1: was unreachable"),
    ],
)
def test_a_rollback_that_fails_on_one_host_is_taken_back_on_the_others(
    answer: dict[str, Any], reason: str
) -> None:
    hosts = {"web1": {"__django_app_live": WENT}, "work1": {"__django_app_live": answer}}
    failed = failed_apps(list(hosts), hosts)
    assert failed == {"blog": reason}
    assert withdrawn_apps(WENT, failed) == ["blog"]


GROUPS = {"all": ["web1", "work1"], "app_servers": ["web1"], "worker_servers": ["work1"]}


def test_status_of_workers_alone(tmp_path: Path) -> None:
    (spec,) = status_apps(on(web=False))
    assert not asked_for(spec)
    queue = processes(spec, {}, {})
    assert [(group["name"], group["declared"]) for group in queue] == [("queue", 2), ("beat", 1)]
    web = status({"blog": found()})
    work = status({"blog": found(health=None, processes=[workers()])})
    del work["services"]["nginx"]
    specs = status_apps({"blog": resolved(database="none")})
    made = report({"web1": {"status": web}, "work1": {"status": work}}, specs, GROUPS, "typical", now=NOW)
    assert made["problems"] == []
    assert {here["state"] for here in made["apps"]["blog"]["hosts"].values()} == {"healthy"}
    work["services"]["supervisor"] = "failed"
    made = report({"web1": {"status": web}, "work1": {"status": work}}, specs, GROUPS, "typical", now=NOW)
    assert [problem["text"] for problem in made["problems"]] == ["supervisor is failed"]


def told(groups: dict[str, list[str]], **fields: Any) -> list[str]:
    return topology(parse({"blog": app(**fields)}, {}, SECRET, "site"), groups, "site")


def test_what_several_hosts_do_not_share_is_refused() -> None:
    groups = {**GROUPS, "database_servers": ["web1"], "cache_servers": ["web1"]}
    assert told(groups, media="none") == []
    (problem,) = told(groups)
    assert "media: is local" in problem and "one of the 2 app and worker servers" in problem
    (problem,) = told(groups, media="none", database="sqlite")
    assert "each of the 2 app and worker servers has a database" in problem
    (problem,) = told(groups, media="none", database={"url": "sqlite:////srv/blog/x"})
    assert "django_apps.blog.database: is sqlite" in problem
    geo = {"url": "sqlite:////srv/geo/geo.sqlite3", "backup": False}
    (problem,) = told(groups, media="none", databases={"geo": geo})
    assert "databases.geo: is sqlite" in problem and "migrate: false" in problem
    assert told(groups, media="none", databases={"geo": {**geo, "migrate": False}}) == []
    (problem,) = told(groups, media="none", cache="memcached")
    assert "must be one and the same host" in problem
    assert told({**groups, "worker_servers": ["web1"]}) == []


@pytest.mark.parametrize("host", ["127.0.0.1:6432", "localhost", "%2Fcloudsql%2Fa"])
def test_each_of_several_hosts_may_have_a_pooler_of_its_own(host: str) -> None:
    groups = {**GROUPS, "cache_servers": ["web1"]}
    assert told(groups, media="none", database={"url": f"postgres://u@{host}/n"}) == []


def test_the_address_of_a_worker_server_has_to_be_known() -> None:
    groups = {**GROUPS, "broker_servers": ["web1"]}
    addresses = {"web1": {"ansible_host": "10.0.0.1"}, "work1": {"ansible_host": "work1.internal"}}
    (problem,) = nameless(groups, addresses)
    assert "work1 is known to other hosts by a name" in problem


def test_plays_have_the_first_app_server_first() -> None:
    assert hosts_of(GROUPS, "app_servers", "worker_servers") == "app_servers:worker_servers"
    assert hosts_of({"app_servers": ["web1"]}, "app_servers", "worker_servers") == "app_servers"
