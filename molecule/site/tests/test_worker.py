"""Each task queue on each broker: real tasks through real brokers, and what happens when one of them dies."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import checks, services
from tests.acceptance.album import Album
from tests.acceptance.browser import Browser, check_upload
from tests.acceptance.operator import Operator
from tests.acceptance.tasks import Worker, state, upload, wait_until_done
from tests.acceptance.under_load import wait_for

testinfra_hosts = ["ansible://web1"]

# What to kill, by app: the unit that its tasks are kept in.
DATABASE = "postgresql@17-main.service"
BROKERS = {
    "memories": "redis-server@memories-broker.service",
    "django-q-database": DATABASE,
    "celery-rabbitmq": "rabbitmq-server.service",
    "celery-valkey": "valkey-server@celery-valkey-broker.service",
    "huey-redis": "redis-server@huey-redis-broker.service",
    "huey-database": DATABASE,
    "rq-redis": "redis-server@rq-redis-broker.service",
    "tasks-database": DATABASE,
}


def site(host: Any, app: str) -> Album:
    return Album(host.ansible.get_variables()["ansible_host"], f"{app}.example")


def test_every_pair_is_there(apps: dict[str, Any]) -> None:
    assert {name for name, app in apps.items() if "processes" in app} == set(BROKERS)


def test_brokers_are_not_open(host: Any) -> None:
    """Nobody gets in without the password, nor from outside, and no packaged instance runs."""
    assert checks.outside(host) <= {22, 80}
    services.check_no_packaged_instance(host)
    found = {app: services.redis_of(host, app, "broker") for app in ("memories", "celery-valkey")}
    # before the journal hears of it from what is tried next
    for _place, password in found.values():
        services.check_password_is_nowhere(host, password)
    for place, password in found.values():
        services.check_redis_refuses(host, place, password)
        services.check_redis_serves(host, place, password)
    users = host.check_output("rabbitmqctl --quiet list_users --no-table-headers")
    assert re.fullmatch(r"celery-rabbitmq\.[0-9a-f]{8}\s+\[\]", users)
    checks.check_exposure(host, "redis-server@", "valkey-server@", "rabbitmq-server")


@pytest.mark.parametrize("app", BROKERS)
def test_a_task_outlives_its_broker(host: Any, apps: dict[str, Any], app: str) -> None:
    """A photo waits for its worker, also when the broker is killed meanwhile, and then gets its images."""
    album, worker = site(host, app), Worker(host, app)
    health = album.health()
    assert health["queue"] == apps[app]["env"]["TASK_QUEUE"]
    assert health["checks"].get("broker", "ok") == "ok"
    worker.supervisor("stop")
    try:
        photo = upload(album)
        assert state(album, photo) == "processing"
        unit = BROKERS[app]
        before = host.check_output(f"systemctl show --value --property=MainPID {unit}")
        host.check_output(f"systemctl kill --kill-whom=main --signal=KILL {unit}")
        wait_for(
            lambda: (
                host.check_output(f"systemctl show --value --property=MainPID {unit}") not in (before, "0")
            ),
            60,
        )
        wait_for(lambda: album.get("/health/").status_code == 200, 60)
        assert state(album, photo) == "processing"
    finally:
        worker.supervisor("start")
    wait_until_done(album, photo, 180)


@pytest.mark.parametrize("app", BROKERS)
def test_a_worker_that_is_killed_is_back(host: Any, app: str) -> None:
    album = site(host, app)

    def done_by_the_web() -> int:
        """Tasks that the queue did not take, which the album then does itself."""
        return int(
            host.check_output(f"cat /var/log/homeport/{app}/web-*.log | grep -c 'does not take' || true")
        )

    # the first one may find out that the broker was restarted since
    wait_until_done(album, upload(album), 180)
    before = done_by_the_web()
    Worker(host, app).kill()
    wait_until_done(album, upload(album), 180)
    assert done_by_the_web() == before


def test_a_visitor_sees_it_happen(host: Any, browser: Browser, tmp_path: Path) -> None:
    """Upload through the form, "processing", then the thumbnail, without reloading."""
    worker = Worker(host, "memories")
    worker.supervisor("stop")
    try:
        found = check_upload(
            browser, site(host, "memories"), tmp_path, 120, lambda: worker.supervisor("start")
        )
    finally:
        worker.supervisor("start")
    assert found["processing"]


def test_what_a_broker_confirmed_it_keeps(host: Any) -> None:
    place, password = services.redis_of(host, "memories", "broker")
    services.check_acknowledged_writes_survive(host, BROKERS["memories"], place, password)


ROTATED = {"memories": BROKERS["memories"], "celery-rabbitmq": BROKERS["celery-rabbitmq"]}


def test_passwords_are_replaced_while_tasks_come_in(
    host: Any, operator: Operator, apps: dict[str, Any]
) -> None:
    """No broker is restarted, no photo is lost, and the old password is good until it is named no more."""
    albums = {app: site(host, app) for app in ROTATED}
    pids = "systemctl show --value --property=MainPID " + " ".join(ROTATED.values())
    before = host.check_output(pids)
    place, old = services.redis_of(host, "memories", "broker")
    photos: list[tuple[str, str]] = []
    stopping = threading.Event()

    def visit() -> None:
        while not stopping.wait(0.5):
            photos.extend((app, upload(album)) for app, album in albums.items())

    def rotate(*generations: int) -> str:
        rotation = {"rotation": {"broker_password": list(generations)}}
        done = operator.run(
            "site", "-vvv", "--diff", apps={**apps, **{app: {**apps[app], **rotation} for app in ROTATED}}
        )
        assert done.status == 0, done.output
        return str(host.check_output("rabbitmqctl --quiet list_users --no-table-headers | cut -f 1 | sort"))

    (first,) = host.check_output("rabbitmqctl --quiet list_users --no-table-headers | cut -f 1").split()
    untaken = "cat /var/log/homeport/*/web-*.log | grep -c 'does not take' || true"
    known = host.check_output(untaken)
    with ThreadPoolExecutor(1) as pool:
        visitor = pool.submit(visit)
        try:
            assert len(rotate(2, 1).split()) == 2
            assert services.ask(host, place, old, "PING") == "PONG"
            (second,) = rotate(2).split()
        finally:
            stopping.set()
        visitor.result()
    assert second != first
    assert services.ask(host, place, old, "PING").startswith("-WRONGPASS")
    assert host.check_output(pids) == before
    assert len(photos) > 20
    for app, photo in photos:
        wait_until_done(albums[app], photo, 180)
    assert host.check_output(untaken) == known


def test_no_other_app_takes_the_ports_of_a_broker(host: Any) -> None:
    """It would get the passwords of the clients, and keep the broker from coming back."""
    place, _password = services.redis_of(host, "celery-valkey", "broker")
    services.check_ports_are_kept(host, BROKERS["celery-valkey"], "memories", place)
    # AMQP, and Erlang's own protocol, by which root's tools rule the node; there is no port mapper to ask or to replace
    services.check_ports_are_kept(
        host, BROKERS["celery-rabbitmq"], "memories", "127.0.0.1:567", "127.0.0.1:568"
    )
    wait_for(lambda: host.run("rabbitmqctl --quiet list_users").rc == 0, 60)
    assert host.run("pgrep -x epmd").rc == 1
    wait_for(lambda: site(host, "celery-rabbitmq").get("/health/").status_code == 200, 60)


def test_there_is_one_scheduler(host: Any) -> None:
    status = host.check_output("supervisorctl status celery-rabbitmq.beat:* || true").splitlines()
    assert [line.split()[1] for line in status] == ["RUNNING"]
