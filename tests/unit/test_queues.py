# ruff: noqa: E501  (a table reads best with one case a line)
from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.connections import most_connections
from ansible_collections.homeport.django.plugins.module_utils.app.processes import resolve_process
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.queues.table import (
    BROKERS,
    QUEUES,
    default_broker,
    needs_broker,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.budget import LEASE, budget
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import process_scripts

from tests.unit.support import app, problems, resolved

COMMANDS: list[tuple[dict[str, Any], bool, str]] = [
    ({"kind": "django_q"}, True, "env TASK_WORKERS=1 manage.py qcluster"),
    ({"kind": "django_q", "queues": ["mails"], "concurrency": 3}, True, "env TASK_WORKERS=3 manage.py qcluster --name mails"),
    ({"kind": "celery"}, True, 'celery --app "$HOMEPORT_PACKAGE" worker --loglevel INFO --concurrency 1 --hostname queue."${HOMEPORT_INSTANCE:-0}"@%h'),
    (
        {"kind": "celery", "application": "blog.celery:app", "queues": ["a", "b"], "concurrency": 4, "options": "--pool threads"},
        True,
        'celery --app blog.celery:app worker --loglevel INFO --concurrency 4 --hostname queue."${HOMEPORT_INSTANCE:-0}"@%h --queues a,b --pool threads',
    ),
    ({"kind": "celery_beat"}, True, 'celery --app "$HOMEPORT_PACKAGE" beat --loglevel INFO --pidfile= --schedule /srv/blog/shared/data/celerybeat-schedule'),
    ({"kind": "huey", "concurrency": 2}, True, 'manage.py run_huey --workers 2 $([ "${HOMEPORT_INSTANCE:-0}" = 0 ] || echo --no-periodic)'),
    ({"kind": "huey"}, False, "manage.py run_huey --workers 1 --no-periodic"),
    ({"kind": "rq", "queues": ["high", "low"]}, True, "manage.py rqworker high low --with-scheduler"),
    ({"kind": "rq"}, False, "manage.py rqworker default --with-scheduler"),
    ({"kind": "django_tasks", "queues": ["a"], "options": "--interval 1"}, True, "manage.py db_worker --interval 0.2 --queue-name a --interval 1"),
    ({"kind": "rq_cron", "application": "blog.schedule"}, True, "manage.py rqcron blog.schedule"),
]  # fmt: skip


@pytest.mark.parametrize(("process", "scheduler", "command"), COMMANDS, ids=[case[2] for case in COMMANDS])
def test_commands(process: dict[str, Any], scheduler: bool, command: str) -> None:
    assert resolve_process("queue", {"count": 1, **process}, "/srv/blog", scheduler)["command"] == command


@pytest.mark.parametrize("kind", [*QUEUES, ""])
def test_the_process_list_is_plain_data_and_names_no_supervisor(kind: str) -> None:
    process: dict[str, Any] = {"kind": kind, "application": "blog.tasks"} if kind else {"command": "bin/x"}
    process = {
        key: value
        for key, value in process.items()
        if key != "application" or "application" in QUEUES[kind].fields
    }
    broker = QUEUES[kind].brokers[0] if kind else "none"
    found = resolved(setup="worker", broker=broker, processes={"queue": process})["processes"]["queue"]
    assert {
        "name",
        "kind",
        "command",
        "count",
        "env",
        "start_seconds",
        "stop_signal",
        "stop_timeout",
        "memory",
    } <= found.keys()
    assert found == json.loads(json.dumps(found))
    assert "SUPERVISOR" not in found["command"] and "%(" not in found["command"]


def test_an_option_reaches_the_command_as_one_word() -> None:
    process = {"kind": "rq", "count": 1, "options": "--name 'a $(b) c'"}
    words = shlex.split(resolve_process("queue", process, "/srv/blog", True)["command"])
    assert words[-1] == "a $(b) c"


def test_stops() -> None:
    def stop(process: dict[str, Any]) -> tuple[str, int]:
        found = resolve_process("queue", {"count": 1, **process}, "/srv/blog", True)
        return found["stop_signal"], found["stop_timeout"]

    assert stop({"command": "x"}) == ("TERM", 60)
    assert stop({"kind": "huey"}) == ("INT", 60)
    assert stop({"kind": "celery"}) == ("TERM", 120)
    assert stop({"kind": "celery", "stop_signal": "QUIT", "stop_timeout": 7}) == ("QUIT", 7)


@pytest.mark.parametrize("scheduler", [True, False])
def test_a_scheduler_runs_on_one_host_only(scheduler: bool) -> None:
    host = {"scheduler": scheduler}
    processes = {"beat": {"kind": "celery_beat"}, "queue": {"kind": "celery", "count": 2}}
    schedules = {"digest": {"command": "x", "calendar": "daily"}}
    found = resolved(setup="worker", host=host, processes=processes, schedules=schedules)
    assert found["processes"]["beat"]["count"] == int(scheduler)
    assert found["processes"]["queue"]["count"] == 2
    assert bool(found["schedules"]) == scheduler


@pytest.mark.parametrize(
    ("kinds", "setup", "broker"),
    [
        ([], "worker", "none"),
        (["django_q"], "worker", "redis"),
        (["django_q"], "typical", "database"),
        (["celery", "celery_beat"], "worker", "redis"),
        (["celery"], "typical", "none"),
        (["django_tasks"], "worker", "database"),
        (["django_tasks", "rq"], "worker", "redis"),
        (["huey"], "simple", "database"),
    ],
)
def test_the_broker_of_an_app_that_does_not_say(kinds: list[str], setup: str, broker: str) -> None:
    assert default_broker(kinds, SETUPS[setup].brokers) == broker


WITH_LEASE: dict[str, Any] = {
    "processes": {
        "beat": {"kind": "celery_beat"},
        "cron": {"kind": "rq_cron", "application": "blog.schedule"},
        "huey": {"kind": "huey", "count": 2},
        "queue": {"kind": "celery", "count": 2},
        "own": {"command": "bin/x"},
    },
    "schedules": {"digest": {"command": "x", "calendar": "daily"}},
}


@pytest.mark.parametrize("scheduler", [True, False])
def test_each_of_several_hosts_has_the_schedulers_with_a_lease(scheduler: bool) -> None:
    host = {"scheduler": scheduler, "worker_hosts": 2}
    found = resolved(setup="worker", host=host, **WITH_LEASE)
    assert {name: process["count"] for name, process in found["processes"].items()} == {
        "beat": 1,
        "cron": 1,
        "huey": 2,
        "queue": 2,
        "own": 1,
    }
    alone = {name: process["alone"] for name, process in found["processes"].items() if process["alone"]}
    assert alone == {
        "beat": {"state": "/srv/blog/shared/data/celerybeat-schedule", "standby": ""},
        "cron": {"state": "", "standby": ""},
        "huey": {"state": "", "standby": "--no-periodic"},
    }
    assert found["schedules"]["digest"]["alone"] is True
    lease = "exec python /usr/local/lib/homeport/lease.py hold blog"
    scripts = process_scripts(found)
    assert scripts["beat"].startswith(
        f"{lease}.beat TERM 20 --state=/srv/blog/shared/data/celerybeat-schedule celery --app"
    )
    assert scripts["cron"] == f"{lease}.cron TERM 20 manage.py rqcron blog.schedule\n"
    first, second = scripts["huey"].splitlines()
    assert first.startswith('[ "${SUPERVISOR_PROCESS_NAME:-0}" = 0 ] || exec manage.py run_huey')
    assert first.endswith(" --no-periodic")
    assert second.startswith(f"{lease}.huey INT 60 --standby=--no-periodic manage.py run_huey")
    for name in ("queue", "own"):
        assert "lease" not in scripts[name]


def test_a_host_with_the_web_alone_has_no_schedule_where_others_have_leases() -> None:
    host = {"scheduler": False, "workers": False, "worker_hosts": 2}
    found = resolved(setup="worker", host=host, **WITH_LEASE)
    assert found["schedules"] == {}
    assert not any(process["count"] for process in found["processes"].values())


@pytest.mark.parametrize("scheduler", [True, False])
@pytest.mark.parametrize("database", ["none", {"url": "sqlite:////mnt/db"}, {"url": "oracle://h/db"}])
def test_without_a_database_for_leases_the_first_host_has_the_schedulers(
    database: Any, scheduler: bool
) -> None:
    host = {"scheduler": scheduler, "worker_hosts": 2}
    fields = {**WITH_LEASE, "processes": {"beat": {"kind": "celery_beat"}}}
    found = resolved(setup="worker", host=host, database=database, **fields)
    assert bool(found["schedules"]) is scheduler
    assert found["processes"]["beat"]["count"] == int(scheduler)
    assert found["processes"]["beat"]["alone"] == {}


@pytest.mark.parametrize(
    ("database", "leased"),
    [({"url": "postgres://reader@db.example.org/crm"}, False), ({"url": "mysql://r@db.example.org/crm"}, False),
     ("postgres", True)],
)  # fmt: skip
def test_a_bought_database_that_is_not_migrated_has_no_leases(database: Any, leased: bool) -> None:
    host = {"scheduler": False, "worker_hosts": 2}
    fields = {**WITH_LEASE, "processes": {"beat": {"kind": "celery_beat"}}}
    found = resolved(setup="worker", host=host, database=database, migrate=False, **fields)
    assert bool(found["schedules"]) is leased
    assert bool(found["processes"]["beat"]["alone"]) is leased
    assert found["processes"]["beat"]["count"] == int(leased)


def test_a_single_host_has_no_lease() -> None:
    found = resolved(setup="worker", host={"worker_hosts": 1}, **WITH_LEASE)
    assert not any(process["alone"] for process in found["processes"].values())
    assert found["schedules"]["digest"]["alone"] is False


def test_a_lease_needs_a_connection_and_memory() -> None:
    one, two = (resolved(setup="worker", host={"worker_hosts": number}, **WITH_LEASE) for number in (1, 2))
    # each of four, on each of two hosts
    assert most_connections(two, 1, 2) - most_connections(one, 1, 2) == 4 * 2
    idle = [budget({"blog": found}, 8000, ["apps"]).idle for found in (one, two)]
    assert idle[1] - idle[0] == 3 * LEASE


PAIRS = [(kind, broker) for kind in QUEUES for broker in (*BROKERS, "none")]


@pytest.mark.parametrize(("kind", "broker"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_every_pair_is_taken_or_refused(kind: str, broker: str) -> None:
    process = {"kind": kind, **({"application": "blog.schedule"} if kind == "rq_cron" else {})}
    found = problems(app(broker=broker, processes={"queue": process}), setup="worker")
    if broker in QUEUES[kind].brokers or not needs_broker(kind):
        assert found == []
    else:
        [problem] = found
        assert problem.startswith(f"django_apps.blog.processes.queue.kind: {kind} works with")
        assert all(other in problem for other in QUEUES[kind].brokers)


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"processes": {"q": {"kind": "sellery"}}}, "worker", "django_apps.blog.processes.q.kind: must be one of"),
    ({"processes": {"q": {"kind": "celery", "command": "x"}}}, "worker", "django_apps.blog.processes.q: needs exactly one of command, kind (not both)"),
    ({"processes": {"q": {"command": "x", "concurrency": 2}}}, "worker", "django_apps.blog.processes.q.concurrency: goes with the kinds django_q, celery, huey only"),
    ({"processes": {"q": {"command": "x", "options": "y"}}}, "worker", "django_apps.blog.processes.q.options: goes with"),
    ({"processes": {"q": {"kind": "rq", "concurrency": 2}}}, "worker", "django_apps.blog.processes.q.concurrency: goes with"),
    ({"processes": {"q": {"kind": "huey", "queues": ["a"]}}}, "worker", "django_apps.blog.processes.q.queues: goes with"),
    ({"processes": {"q": {"kind": "django_q", "queues": ["a", "b"]}}}, "worker", "django_apps.blog.processes.q.queues: must be one"),
    ({"processes": {"q": {"kind": "celery", "queues": ["a; b"]}}}, "worker", "django_apps.blog.processes.q.queues[0]: must be the name of a queue"),
    ({"processes": {"q": {"kind": "celery", "options": "a; b"}}}, "worker", "django_apps.blog.processes.q.options: must be one command"),
    ({"processes": {"q": {"kind": "rq_cron"}}}, "worker", "django_apps.blog.processes.q.application: is required"),
    ({"processes": {"q": {"kind": "celery_beat", "count": 2}}}, "worker", "django_apps.blog.processes.q.count: must be at most 1"),
    ({"processes": {"q": {"kind": "celery"}}}, "typical", "django_apps.blog.processes.q.kind: celery works with redis, valkey, rabbitmq; the app has no broker, and the typical setup has none of them: use worker or site"),
    ({"processes": {"q": {"kind": "django_tasks"}}, "database": "none"}, "worker", "django_apps.blog.processes.q.kind: django_tasks keeps its tasks in the database, and the app has none"),
    ({"processes": {"q": {"kind": "huey"}}, "broker": "database", "database": "none"}, "worker", "django_apps.blog.processes.q.kind: huey keeps its tasks in the database, and the app has none"),
    ({"broker": "redis"}, "typical", "django_apps.blog.broker: redis is not part of the typical setup, which has database, none"),
    ({"broker": "memcached"}, "worker", "django_apps.blog.broker.engine: must be one of"),
    ({"cache": "redis"}, "typical", "django_apps.blog.cache: redis is not part of the typical setup, which has none; multi_app, worker, cache, site and external_services have it: set homeport_setup to one of them, and run its playbook"),
    ({"cache": "memcached"}, "typical", "django_apps.blog.cache: memcached is not part of the typical setup, which has none"),
    ({"cache": {"engine": "memcached", "port": 11211}}, "cache", "django_apps.blog.cache.port: goes with redis and valkey only"),
    ({"cache": {"url": "example.org"}}, "typical", "django_apps.blog.cache.url: must be a URL such as redis://host:6379/0"),
    ({"cache": {"engine": "redis", "memory": 1}}, "cache", "django_apps.blog.cache.memory: must be"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "setup", "message"), BAD, ids=[json.dumps(case[0]) for case in BAD])
def test_bad(fields: dict[str, Any], setup: str, message: str) -> None:
    found = problems(app(**fields), setup=setup)
    assert [problem for problem in found if problem.startswith(message)], found


def test_a_queue_on_a_broker_that_exists_already() -> None:
    queue = {"processes": {"queue": {"kind": "celery"}}}
    for url in ("redis://h", "amqps://h/v", "sqs://"):
        assert problems(app(broker={"url": url}, **queue), setup="typical") == []
    [problem] = problems(app(broker={"url": "amqp://h"}, processes={"queue": {"kind": "rq"}}), setup="site")
    assert "rq works with redis, valkey; the app's broker is rabbitmq" in problem
