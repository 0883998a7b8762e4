"""Workers on two servers, with one broker and one database: what is scheduled runs once."""

from __future__ import annotations

import re
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import testinfra

from tests.acceptance import services
from tests.acceptance.album import Album
from tests.acceptance.under_load import wait_for

testinfra_hosts = ["ansible://web1"]

MINUTES = 3
QUEUES = ("memories", "celery", "huey", "rq")


@pytest.fixture(scope="module")
def other(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://web2", ansible_inventory=inventory, sudo=True)


def sql(host: Any, database: str, query: str) -> list[str]:
    command = "runuser -u postgres -- psql -XqAt -d %s -c %s"
    return str(host.check_output(command, database, query)).split()


def began(server: Any, app: str) -> float:
    """When the queue's process was started, in seconds since 1970."""
    pid = server.check_output(f"supervisorctl pid {app}.queue:0")
    return time.time() - int(server.check_output(f"ps -o etimes= -p {pid}"))


def since(host: Any, app: str, moment: int) -> list[float]:
    """When the queue ran what is scheduled."""
    query = f"select extract(epoch from at) from album_digestrun where extract(epoch from at) >= {moment} order by at"
    return [float(found) for found in sql(host, app, query)]


@pytest.fixture(scope="module")
def first(host: Any, other: Any) -> int:
    """When the first of the whole minutes began in which everything ran, in seconds since 1970. They have passed."""
    found = int(max(began(server, app) for server in (host, other) for app in QUEUES)) // 60 * 60 + 60
    time.sleep(max(0, found + 60 * MINUTES - time.time()))
    # what is due in the last one may take a while to be done, on machines that do much else
    wait_for(lambda: all(len(since(host, app, found)) >= MINUTES for app in QUEUES), 120)
    return found


@pytest.mark.parametrize("app", QUEUES)
def test_once_a_minute_by_the_queue(host: Any, first: int, app: str) -> None:
    """Neither twice nor not at all. huey looks once a minute since it was started, and Django-Q2 twice a minute, so
    that the latter may be half a minute late."""
    ran = [moment - first for moment in since(host, app, first)]
    assert len(ran) >= MINUTES, ran
    assert all(20 < later - earlier < 100 for earlier, later in pairwise(ran)), ran


def test_once_a_minute_by_a_timer(host: Any, other: Any, first: int) -> None:
    lines = [
        line
        for server in (host, other)
        for line in server.check_output(
            "cat /var/log/homeport/memories/minute.log 2>/dev/null || true"
        ).split()
    ]
    minutes = [time.strftime("%H:%M", time.gmtime(first + 60 * number)) for number in range(MINUTES)]
    assert [Counter(lines)[minute] for minute in minutes] == [1] * MINUTES
    for server in (host, other):
        assert server.service("memories.minute.timer").is_running


def holder(host: Any, app: str, name: str) -> str:
    """The host that has a lease now, or an empty text."""
    now = "extract(epoch from clock_timestamp())"
    found = sql(
        host, app, f"select holder from homeport_leases where name = '{app}.{name}' and expires >= {now}"
    )
    return "".join(found)


# Each queue's scheduler, and the process that has the lease.
SCHEDULERS = (("celery", "beat"), ("huey", "queue"), ("rq", "cron"))


def test_another_server_schedules_when_the_one_that_did_is_lost(host: Any, other: Any, first: int) -> None:
    """A scheduler that has stopped leaves its lease to expire, as one that is lost does."""
    before = {app: holder(host, app, name) for app, name in SCHEDULERS}
    assert all(before.values()), before
    running = {app: server for app, _name in SCHEDULERS for server in (host, other) if schedules(server, app)}
    assert set(running) == set(before)
    host.check_output("systemctl stop memories.minute.timer")
    for app, name in SCHEDULERS:
        running[app].check_output(f"supervisorctl stop {app}.{name}:0")
    try:
        moment = int(time.time())
        wait_for(
            lambda: all(holder(host, app, name) not in ("", before[app]) for app, name in SCHEDULERS), 120
        )
        wait_for(lambda: all(len(since(host, app, moment + 60)) > 0 for app, _name in SCHEDULERS), 150)
        minutes = {time.strftime("%H:%M", time.gmtime(moment + 60 * number)) for number in (1, 2)}
        log = "cat /var/log/homeport/memories/minute.log"
        wait_for(lambda: minutes <= set(other.check_output(log).split()), 150)
    finally:
        host.check_output("systemctl start memories.minute.timer")
        for app, name in SCHEDULERS:
            running[app].check_output(f"supervisorctl start {app}.{name}:0")


def schedules(server: Any, app: str) -> bool:
    """Whether the process that hands out what is scheduled runs here, below its launcher."""
    seen = server.check_output(f"ps -u {app} -o args=")
    words = {"celery": r"celery .* beat ", "huey": r"run_huey --workers 1$", "rq": r"rqcron "}[app]
    return any(
        re.search(words, line) for line in seen.splitlines() if "lease.py" not in line and "sh " not in line
    )


@pytest.mark.parametrize("app", QUEUES)
def test_workers_of_both_servers_work(host: Any, other: Any, app: str) -> None:
    """Tasks are done where the worker runs: with the first server's stopped, by the second's."""
    names = host.check_output("hostname"), other.check_output("hostname")
    host.check_output(f"supervisorctl stop {app}.queue:*")
    try:
        before = len(sql(host, app, f"select 1 from album_digestrun where host = '{names[1]}'"))
        release = host.check_output(f"readlink -e /srv/{app}/current")
        # more than the schedule adds meanwhile
        code = "from album import queue, tasks; [queue.enqueue(tasks.send_digest) for _ in range(3)]"
        host.check_output(
            f"runuser -u {app} -- /usr/local/lib/homeport/run {release} manage.py shell -c %s", code
        )
        there = f"select 1 from album_digestrun where host = '{names[1]}'"
        wait_for(lambda: len(sql(host, app, there)) >= before + 3, 120)
    finally:
        host.check_output(f"supervisorctl start {app}.queue:*")


def test_the_broker_asks_who_comes_from_another_server(host: Any, other: Any) -> None:
    address = host.ansible.get_variables()["ansible_host"]
    environment = other.check_output(
        '. /srv/memories/config/env && echo "$REDIS_HOST $REDIS_PORT $REDIS_PASSWORD"'
    )
    assert environment.split()[0] == address
    port = environment.split()[1]
    ask = (
        "import socket, ssl, sys; plain = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); "
        "trust = ssl.create_default_context(cafile='/etc/ssl/homeport/authority.pem'); "
        "stream = trust.wrap_socket(plain, server_hostname=sys.argv[1]); "
        "stream.sendall(b'PING\\r\\n'); print(stream.recv(100).decode())"
    )
    assert "NOAUTH" in other.check_output(f'python3 -c "{ask}" {address} {port}')
    listening = host.check_output("ss -Hltn")
    assert f"{address}:{port}" in listening
    assert f"{address}:567" in listening
    for hidden in (4369, 568, 569):
        services.check_unreachable(other, address, hidden)


def test_pages_of_both_servers(host: Any, other: Any) -> None:
    for server in (host, other):
        album = Album(server.ansible.get_variables()["ansible_host"], "memories.example")
        assert album.health()["status"] == "ok"
