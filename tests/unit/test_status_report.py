from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import (
    ago,
    brief,
    epoch,
    short,
    size,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.levels import worst
from ansible_collections.homeport.django.plugins.module_utils.reports.status import report, summary
from ansible_collections.homeport.django.plugins.module_utils.reports.status_apps import (
    Seen,
    certificate_problems,
    served_certificate,
)

from tests.unit import statuses
from tests.unit.statuses import (
    NOW,
    deploy,
    document,
    found,
    good,
    instance,
    one,
    schedule,
    specs,
    status,
    web,
)
from tests.unit.support import CANARY

OLD = "20261120T101500-77aa88bb"
LOCK = {"holder": "anna@laptop", "since": "", "run": "", "doing": ""}


def queue(declared: int, running: int, *instances: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "queue",
        "kind": "",
        "declared": declared,
        "running": running,
        "instances": list(instances),
    }


def texts(document: dict[str, Any], level: str = "failure") -> list[str]:
    return [problem["text"] for problem in document["problems"] if problem["level"] == level]


def test_all_is_well() -> None:
    report = good()
    assert report["problems"] == []
    assert report["level"] == "ok"
    assert summary(report) == "3 apps are healthy"
    blog = report["apps"]["blog"]
    assert blog["database"] == {
        "engine": "postgres", "name": "blog", "managed": True, "hosts": ["db1"], "bytes": 48 << 20,
    }  # fmt: skip
    here = blog["hosts"]["web1"]
    assert here["state"] == "healthy"
    assert here["release"]["live_since"] == "2026-11-23T20:48:00Z"
    assert here["release"]["live_seconds"] == 11520
    assert here["schedules"][0]["next"] == "2026-11-24T06:30:00Z"
    assert report["hosts"]["db1"]["groups"] == ["database_servers"]
    assert json.loads(json.dumps(report)) == report


# What the document is made of is what others build on: keys are added, never taken away.
KEYS = {
    "": {"version", "time", "level", "problems", "hosts", "apps"},
    "host": {"level", "problems", "reachable", "groups", "name", "system", "setup", "uptime_seconds", "load", "cores",
             "memory", "disks", "services", "archive"},
    "app": {"declared", "level", "url", "domains", "proxied", "database", "backup", "problems", "hosts"},
    "here": {"level", "state", "try", "problems", "release", "previous", "health", "visit", "processes", "schedules",
             "memory", "disk", "lock", "maintenance", "deploys", "cache", "broker", "certificate"},
}  # fmt: skip


def test_the_keys_are_the_same_whatever_happened() -> None:
    for made in (good(), statuses.bad()):
        assert set(made) == KEYS[""]
        assert all(set(host) == KEYS["host"] for host in made["hosts"].values())
        for app in made["apps"].values():
            assert set(app) == KEYS["app"]
            assert all(set(here) == KEYS["here"] for here in app["hosts"].values())


DAY = 86400


def certificate(left: float, days: float = 90, **changes: Any) -> dict[str, Any]:
    """A certificate for so many days, with so many left."""
    until = int(NOW + left * DAY)
    names = ["blog.example.org"]
    start = until - int(days * DAY)
    return {"names": names, "from": start, "until": until, "self_signed": False, "served": True, **changes}


@pytest.mark.parametrize(
    ("changes", "kind", "failures", "warnings"),
    [
        (certificate(20), "acme", [], []),
        (certificate(14.1), "acme", [], []),
        (certificate(13.9), "acme", ["its certificate expires in 13 d 21 h"], []),
        (certificate(-1), "own", ["its certificate expired 1 d ago"], []),
        # of six days: renewed at half of it
        (certificate(2, days=6), "acme", [], []),
        (certificate(0.9, days=6), "acme", ["its certificate expires in 21 h 36 min"], []),
        (certificate(300, days=397, self_signed=True), "selfsigned", [], []),
        (certificate(300, self_signed=True), "acme",
         ["no authority has signed its certificate yet; run the setup playbook, which reports why"], []),
        (certificate(60, names=[]), "acme", [], ["its certificate is not valid for blog.example.org"]),
        (certificate(60, names=["x.org"]), "own",
         ["its own certificate (tls.chain) is not valid for blog.example.org"], []),
        (certificate(60, names=["*.example.org"]), "own", [], []),
        (certificate(60, served=False), "own",
         ["nginx serves another certificate than the one that the host has for it"], []),
        ({"names": [], "from": None, "until": None, "self_signed": False}, "acme",
         ["nginx has no certificate for it"], []),
    ],
)  # fmt: skip
def test_certificates(changes: dict[str, Any], kind: str, failures: list[str], warnings: list[str]) -> None:
    here = status({"blog": found(certificate=changes)})
    made = document({"web1": here}, specs(blog={"tls": "selfsigned"}), {"app_servers": ["web1"]})
    spec = {"certificate": kind, "domains": ["blog.example.org"]}
    told = certificate_problems(changes, spec, NOW)
    told += served_certificate(Seen({"certificate": changes}, spec, {}))
    assert [one["text"] for one in told if one["level"] == "failure"] == failures
    assert [one["text"] for one in told if one["level"] == "warning"] == warnings
    assert made["apps"]["blog"]["hosts"]["web1"]["certificate"]["names"] == changes["names"]


@pytest.mark.parametrize(
    ("changes", "state", "failures", "warnings"),
    [
        ({}, "healthy", [], []),
        ({"release": None, "health": None}, "not deployed", ["has not been deployed yet"], []),
        (
            {"health": {"ok": False, "status": None, "error": "no answer within 5 s", "path": "/"}},
            "unhealthy", ["/ no answer within 5 s"], [],
        ),
        ({"processes": None}, "healthy", [], []),
        (
            {"release": {**statuses.release(), "interpreter": "/usr/bin/python3.11", "interpreter_missing": True}},
            "unhealthy",
            ["the Python of its release is missing (/usr/bin/python3.11): it cannot start again; run the setup "
             "playbook, which builds a new release"],
            [],
        ),
        (
            {"release": {**statuses.release(), "interpreter": "/usr/bin/python3.11"}},
            "warning",
            [],
            ["its release is built for /usr/bin/python3.11, the host has /usr/bin/python3.13; run the setup playbook, "
             "which builds a new release"],
        ),
        (
            {"processes": [web(running=0, instances=[instance(state="fatal", release="", detail="no such file")])]},
            "unhealthy", ["web: no slot serves (fatal: no such file)"], [],
        ),
        ({"processes": [web(running=0, instances=[])]}, "unhealthy", ["web: no slot serves"], []),
        (
            {"processes": [web(), queue(1, 1, instance(seconds=3))]},
            "warning",
            [],
            ["queue: was started 3 s ago, and its release is live for 3 h 12 min: its log shows whether it keeps "
             "ending"],
        ),
        (
            {"processes": [web(), queue(2, 2, instance(), instance(seconds=40, ended=3))]},
            "unhealthy",
            ["queue: has ended 3 times in the last 5 min; its log shows why (-e process=queue)"],
            [],
        ),
        ({"processes": [web(), queue(1, 1, instance(seconds=40, ended=1))]}, "healthy", [], []),
        (
            {"processes": [web(running=2, instances=[instance(), instance()])]},
            "unhealthy", ["web: both slots serve: a deploy was interrupted; deploy again"], [],
        ),
        (
            {"processes": [web(instances=[instance(), instance(state="stopped", release="")])]},
            "warning", [], ["web: the slot that should sleep does not run (stopped)"],
        ),
        (
            {"processes": [web(instances=[instance(release=OLD)])]},
            "unhealthy", [f"web runs {OLD}, which is not the live release; deploy again"], [],
        ),
        (
            {"processes": [queue(2, 1, instance(), instance(release=""))]},
            "unhealthy", ["queue: 1 of 2 run (the live release does not have it yet; deploy again)"], [],
        ),
        (
            {"processes": [queue(1, 2, instance(), instance())]},
            "warning", [], ["queue: 2 run, and 1 are declared"],
        ),
        (
            {"processes": [{"name": "old", "kind": "", "declared": None, "running": 1, "instances": [instance()]}]},
            "warning", [], ["old is among its processes, but not declared"],
        ),
        (
            {"schedules": [schedule(result="timeout", ended=None)]},
            "warning", [], ["digest: the last run ended with timeout"],
        ),
        (
            {"schedules": [schedule(result="signal", status=9)]},
            "warning", [], ["digest: the last run ended with signal 9 (2026-11-23 06:30 UTC)"],
        ),
        (
            {"schedules": [schedule(result="exit-code", status=3)]},
            "warning", [], ["digest: the last run ended with exit status 3 (2026-11-23 06:30 UTC)"],
        ),
        ({"schedules": [schedule(active=False)]}, "warning", [], ["digest: its timer is not active"]),
        ({"schedules": [schedule(calendar="")]}, "warning", [], ["digest is among its schedules, but not declared"]),
        ({"schedules": [schedule(result="running"), schedule(result="", last=None)]}, "healthy", [], []),
        ({"maintenance": NOW - 60}, "maintenance", [], ["has been in maintenance mode for 1 min"]),
        (
            {"deploys": [deploy(outcome="held", message="migrations:\nx\nDROP COLUMN")]},
            "warning", [], ["the last deploy (2026-11-23T20:48:00Z, anna@laptop): held: migrations: DROP COLUMN"],
        ),
        ({"deploys": [deploy(), deploy(outcome="failed")]}, "healthy", [], []),
        ({"lock": {**LOCK, "since": "2026-11-23T23:59:00Z"}}, "deploying", [], []),
        (
            {"lock": {"holder": "anna@laptop", "since": "2026-11-23T20:00:00.5Z", "run": "", "doing": ""}},
            "deploying", [], ["a deploy by anna@laptop has been running for 4 h"],
        ),
        (
            {"lock": LOCK, "processes": [web(running=2, instances=[instance(), instance(release=OLD)])]},
            "deploying", [],
            ["web: both slots serve: a deploy was interrupted; deploy again",
             f"web runs {OLD}, which is not the live release; deploy again"],
        ),
        ({"lock": LOCK, "release": None, "health": None}, "deploying", [], []),
        (
            {"lock": {"holder": "anna@laptop", "since": "2026-10-01T08:00:00Z", "run": "", "doing": ""}},
            "warning",
            [],
            ["the host was restarted during a deploy by anna@laptop; deploy again"],
        ),
    ],
)  # fmt: skip
def test_one_app(changes: dict[str, Any], state: str, failures: list[str], warnings: list[str]) -> None:
    made = one(changes)
    assert texts(made) == failures
    assert texts(made, "warning") == warnings
    assert made["apps"]["blog"]["hosts"]["web1"]["state"] == state
    assert made["level"] == ("failure" if failures else "warning" if warnings else "ok")


@pytest.mark.parametrize(("orphaned", "level"), [(False, "ok"), (True, "warning")])
def test_a_python_that_an_app_names(orphaned: bool, level: str) -> None:
    release = {
        **statuses.release(),
        "interpreter": "/usr/bin/python3.11",
        "interpreter_orphaned": orphaned,
    }
    here = status({"blog": {**found(), "release": release}})
    made = document({"web1": here}, specs(blog={"python": "3.11"}))
    assert made["level"] == level
    assert len(texts(made, "warning")) == orphaned


def test_visitors_do_not_reach_a_port_that_the_firewall_does_not_open() -> None:
    here = status({"blog": found()})
    here["differing"] = {"blog": {"service_config.firewall": ["web.port"]}}
    here["services"].update(nginx="active", postgresql="active")
    made = document({"web1": here}, specs(blog={}), {"app_servers": ["web1"], "database_servers": ["web1"]})
    assert texts(made) == [
        "visitors do not reach it: its port is not open in the firewall; run the setup playbook"
    ]
    assert texts(made, "warning") == []
    assert summary(made) == "1 of 1 app is unhealthy"


def test_visitors_reach_nothing_without_the_web_server() -> None:
    here = status({"blog": found()})
    here["services"].update(nginx="failed", postgresql="active")
    made = document({"web1": here}, specs(blog={}), {"app_servers": ["web1"], "database_servers": ["web1"]})
    assert texts(made) == ["nginx is failed", "visitors do not reach it: nginx is failed"]
    assert summary(made) == "1 of 1 app is unhealthy"


@pytest.mark.parametrize(
    ("changes", "failures", "warnings"),
    [
        ({"services": {"nginx": "active", "supervisor": "inactive"}}, ["supervisor is inactive"], []),
        ({"services": {"nginx": "active"}}, ["supervisor is not installed"], []),
        (
            {"services": {"nginx": "active", "supervisor": "active", "redis-server": "failed", "x": "inactive"}},
            [], ["redis-server has failed"],
        ),
        ({"supervisor": {"error": "supervisord does not answer: x"}}, ["supervisord does not answer: x"], []),
    ],
)  # fmt: skip
def test_services(changes: dict[str, Any], failures: list[str], warnings: list[str]) -> None:
    made = document({"web1": status({"blog": found()}, **changes)}, specs(blog={}))
    assert texts(made) == failures
    assert texts(made, "warning") == warnings


REDIS = "redis-server@blog-cache"
STORES = {"app_servers": ["web1", "web2"], "cache_servers": ["web1", "c1"], "broker_servers": ["c1"]}


def stored(**services: str) -> dict[str, Any]:
    """An app with a cache and a broker: on web1 the cache is its own host's, else both are on c1."""
    web1, web2 = status({"blog": found()}), status({"blog": found()})
    web1["services"][REDIS], web1["stores"] = "active", {REDIS: 4 << 20}
    c1 = status(services={REDIS: "active", "rabbitmq-server": "active", **services}, stores={REDIS: 5 << 20})
    blog = {"database": "none", "cache": "redis", "broker": "rabbitmq"}
    return document({"web1": web1, "web2": web2, "c1": c1}, specs(blog=blog), STORES)


def test_a_cache_and_a_broker() -> None:
    made = stored()
    assert made["problems"] == []
    here = made["apps"]["blog"]["hosts"]["web1"]
    cache = {"engine": "redis", "managed": True, "unit": REDIS, "state": "active"}
    assert here["cache"] == {**cache, "host": "web1", "memory": 4 << 20}
    assert here["broker"] == {
        "engine": "rabbitmq", "managed": True, "unit": "rabbitmq-server", "state": "active", "host": "c1",
        "memory": None,
    }  # fmt: skip
    first_of_the_group = made["apps"]["blog"]["hosts"]["web2"]["cache"]
    assert (first_of_the_group["host"], first_of_the_group["memory"]) == ("web1", 4 << 20)


def test_a_broker_that_does_not_run() -> None:
    made = stored(**{"rabbitmq-server": "failed"})
    own = "its broker does not run: rabbitmq-server on c1 is failed"
    assert texts(made) == ["rabbitmq-server is failed", own, own]
    assert {here["state"] for here in made["apps"]["blog"]["hosts"].values()} == {"unhealthy"}


def test_an_instance_that_is_not_there() -> None:
    here = status({"blog": found()})
    spec = specs(blog={"database": "none", "cache": {"engine": "memcached"}})
    made = document({"web1": here}, spec, {"app_servers": ["web1"], "cache_servers": ["web1"]})
    assert texts(made) == [
        "memcached@blog is not installed",
        "its cache does not run: memcached@blog on web1 is not installed",
    ]


def test_a_service_whose_host_is_not_known_is_no_problem_of_the_app() -> None:
    blog = {"database": "none", "cache": "redis"}
    groups = {"app_servers": ["web1"], "cache_servers": ["c1"]}
    left_out = document({"web1": status({"blog": found()})}, specs(blog=blog), groups)
    assert left_out["problems"] == []
    assert left_out["apps"]["blog"]["hosts"]["web1"]["cache"]["state"] is None
    gone = document({"web1": status({"blog": found()}), "c1": {"msg": "no python"}}, specs(blog=blog), groups)
    assert texts(gone) == ["could not be inspected: no python"]
    assert gone["hosts"]["c1"]["services"] == {}


def test_a_cache_elsewhere_is_told_without_its_password() -> None:
    blog = statuses.bad()["apps"]["blog"]["hosts"]["web1"]
    assert blog["cache"] == {
        "engine": "redis", "managed": False, "unit": "", "host": "cache.hoster.example", "state": None,
        "memory": None,
    }  # fmt: skip
    assert blog["broker"] is None


def test_disk_and_memory() -> None:
    here = status({"blog": found()})
    here["host"]["disks"] = [
        {"path": "/", "total": 1000 << 20, "free": 99 << 20},
        {"path": "/srv", "total": 1000 << 20, "free": 19 << 20},
        {"path": "/none", "total": 0, "free": 0},
    ]
    here["host"]["memory"] = {"total": 1000, "available": 10}
    made = document({"web1": here}, specs(blog={}))
    assert texts(made) == ["the disk of /srv has 19 MiB of 1000 MiB left"]
    assert texts(made, "warning") == [
        "the disk of / has 99 MiB of 1000 MiB left",
        "10 B of 1000 B memory are left",
    ]
    assert summary(made) == "1 app healthy, but not all hosts, 2 warnings"


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"cores": 4, "memory_mb": 7680}, ""),
        ({"cores": 2, "memory_mb": 7936}, "7.8 GiB of memory and 2 cores"),
        ({"cores": 1, "memory_mb": 1024}, "1.0 GiB of memory and 1 core"),
        ({}, ""),
    ],
)
def test_a_host_that_was_resized(before: dict[str, int], told: str) -> None:
    here = status({"blog": found()})
    here["host"]["size"] = before
    text = (
        f"had {told} when it was set up, and has 7.8 GiB of memory and 4 cores: run the playbook typical, which sizes "
        "services and workers by that"
    )
    assert texts(document({"web1": here}, specs(blog={})), "warning") == ([text] if told else [])


def test_an_upgrade_that_was_interrupted() -> None:
    here = status({"blog": found()})
    here["host"]["upgrade"] = {"closed": ["blog"], "undo": True}
    assert texts(document({"web1": here}, specs(blog={}))) == [
        "an upgrade of PostgreSQL has not ended and has closed blog to visitors; unless it still runs, run "
        "upgrade_postgresql with -e undo=true again"
    ]


def test_a_host_that_was_set_up_with_another_playbook() -> None:
    here = status({"blog": found()})
    here["host"]["setup"] = "simple"
    assert "was set up with the playbook simple" in texts(document({"web1": here}, specs(blog={})))[0]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (
            {"unreachable": True, "msg": "Task failed: Failed to\n connect"},
            "cannot be reached: Failed to connect",
        ),
        ({"failed": True, "msg": "no python"}, "could not be inspected: no python"),
        ({"msg": ""}, "could not be inspected: no answer"),
    ],
)
def test_hosts_that_do_not_answer(result: dict[str, Any], text: str) -> None:
    made = document({"web1": result, "web2": status({"blog": found()})}, specs(blog={}))
    assert texts(made) == [text]
    hosts = made["apps"]["blog"]["hosts"]
    assert {name: here["state"] for name, here in hosts.items()} == {"web1": "unknown", "web2": "healthy"}
    assert made["apps"]["blog"]["level"] == "failure"


def test_hosts_with_different_code() -> None:
    second = found(release=statuses.release("b" * 40))
    made = document({"web1": status({"blog": found()}), "web2": status({"blog": second})}, specs(blog={}))
    assert texts(made, "warning") == ["its hosts run different code: web1 has 9f3c2a1b7, web2 has bbbbbbbbb"]


def test_an_app_that_is_not_declared_there() -> None:
    database = status({"blog": found()}, services={"postgresql": "active"})
    made = document({"web1": status({"blog": found()}), "db1": database}, specs(blog={}))
    assert texts(made, "warning") == ["is on this host, but django_apps does not put it here"]
    assert made["apps"]["blog"]["hosts"]["db1"]["state"] == "not declared"


def test_one_app_alone() -> None:
    here = {"status": status({"blog": found()})}
    made = report({"web1": here}, specs(blog={}, shop={}), {"app_servers": ["web1"]}, "typical", "blog", NOW)
    assert list(made["apps"]) == ["blog"]


def test_hosts_that_were_left_out() -> None:
    made = document({"db1": status(services={"postgresql": "active"})}, specs(blog={}))
    assert (made["apps"], made["level"], summary(made)) == ({}, "ok", "no app was inspected")


def test_databases_elsewhere() -> None:
    made = statuses.bad()
    assert made["apps"]["wiki"]["database"]["hosts"] == ["db.hoster.example"]
    assert CANARY.replace("!", "") not in json.dumps(made)
    assert made["apps"]["new"]["database"]["engine"] == "sqlite"


def test_what_is_worse_comes_first() -> None:
    levels = [problem["level"] for problem in statuses.bad()["problems"]]
    assert levels == sorted(levels)
    assert worst([]) == "ok"
    assert worst(["ok", "failure", "warning"]) == "failure"


def test_the_input_is_left_alone() -> None:
    given = {"web1": {"status": status({"blog": found(schedules=[schedule()])})}}
    before = copy.deepcopy(given)
    report(given, specs(blog={}), statuses.GROUPS, "typical")
    assert given == before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (3661, "1 h 1 min"),
     (90061, "1 d 1 h"), (86400 * 3, "3 d"), (86400 * 400, "400 d")],
)  # fmt: skip
def test_ago(seconds: int | None, text: str) -> None:
    assert ago(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (5 << 20, "5 MiB"), (3 << 30, "3.0 GiB"),
     (5 << 40, "5.0 TiB")],
)  # fmt: skip
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("revision", "text"),
    [("a" * 40, "aaaaaaaaa"), ("sha256:" + "b" * 64, "bbbbbbbbb"), ("blog==1.4", "blog==1.4"),
     ("", ""), ("z" * 40, "z" * 40)],
)  # fmt: skip
def test_short(revision: str, text: str) -> None:
    assert short(revision) == text


def test_epoch() -> None:
    for text in ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00.123456+00:00", "2026-11-24 00:00:00 UTC"):
        assert epoch(text) == NOW
    assert epoch("") is None
    assert epoch(None) is None
    assert epoch("soon") is None


def test_brief() -> None:
    assert brief("one\ntwo") == "one"
    assert brief("migrate failed:\ntrace\n  KeyError: 'X'\n") == "migrate failed: KeyError: 'X'"
    assert brief("alone:") == "alone:"
    assert brief("") == ""
