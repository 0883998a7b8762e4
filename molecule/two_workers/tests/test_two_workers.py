"""Workers on two servers, with one broker and one database: what is scheduled runs once."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import testinfra

from tests.acceptance import services
from tests.acceptance.album import Album

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


@pytest.fixture(scope="module")
def minutes(host: Any, other: Any) -> list[str]:
    """Whole minutes in which everything ran, as HH:MM."""
    time.sleep(60 - time.time() % 60)
    first = int(time.time())
    # what is due in the last one may take a while to be done, on machines that do much else
    time.sleep(60 * MINUTES + 40)
    return [time.strftime("%H:%M", time.gmtime(first + 60 * number)) for number in range(MINUTES)]


@pytest.mark.parametrize("app", QUEUES)
def test_once_a_minute_by_the_queue(host: Any, minutes: list[str], app: str) -> None:
    query = "select to_char(at at time zone 'UTC' - interval '2 seconds', 'HH24:MI') from album_digestrun"
    ran = Counter(sql(host, app, query))
    # a cluster of Django-Q2 looks twice a minute, and so may be half a minute late, but never twice or not at all
    late = 1 if app == "memories" else 0
    assert [ran[minute] for minute in minutes[late:]] == [1] * (MINUTES - late), ran


def test_once_a_minute_by_a_timer(host: Any, other: Any, minutes: list[str]) -> None:
    lines = [
        line
        for server in (host, other)
        for line in server.check_output(
            "cat /var/log/homeport/memories/minute.log 2>/dev/null || true"
        ).split()
    ]
    assert [Counter(lines)[minute] for minute in minutes] == [1] * MINUTES
    assert not other.file("/etc/systemd/system/memories.minute.timer").exists


@pytest.mark.parametrize("app", QUEUES)
def test_workers_of_both_servers_work(host: Any, other: Any, app: str) -> None:
    """Tasks are done where the worker runs: with the first server's stopped, by the second's."""
    names = host.check_output("hostname"), other.check_output("hostname")
    host.check_output(f"supervisorctl stop {app}.queue:*")
    try:
        before = len(sql(host, app, f"select 1 from album_digestrun where host = '{names[1]}'"))
        release = host.check_output(f"readlink -e /srv/{app}/current")
        code = "from album import queue, tasks; queue.enqueue(tasks.send_digest)"
        host.check_output(
            f"runuser -u {app} -- /usr/local/lib/homeport/run {release} manage.py shell -c %s", code
        )
        for _ in range(100):
            if len(sql(host, app, f"select 1 from album_digestrun where host = '{names[1]}'")) > before:
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"nobody on {names[1]} did the task")
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
        "import socket, sys; stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).makefile('rwb'); "
        "stream.write(b'PING\\r\\n'); stream.flush(); print(stream.readline().decode())"
    )
    assert "NOAUTH" in other.check_output(f'python3 -c "{ask}" {address} {port}')
    listening = host.check_output("ss -Hltn")
    assert f"{address}:{port}" in listening
    assert f"{address}:5672" in listening
    for hidden in (4369, 25672):
        services.check_unreachable(other, address, hidden)


def test_pages_of_both_servers(host: Any, other: Any) -> None:
    for server in (host, other):
        album = Album(server.ansible.get_variables()["ansible_host"], "memories.example")
        assert album.health()["status"] == "ok"
