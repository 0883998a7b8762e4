"""Whether services let an app in: servers that say what real ones say."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import service_logins
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import refused

from tests.unit.releases import write
from tests.unit.support import CANARY

Serve = Callable[[Callable[[Any], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Has a function talk to the one who connects; returns the port."""
    listeners = []

    def start(talk: Callable[[Any], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            connection = listener.accept()[0]
            with connection, connection.makefile("rwb") as stream:
                talk(stream)

        threading.Thread(target=run, daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def redis(answer: bytes, heard: list[bytes]) -> Callable[[Any], None]:
    def talk(stream: Any) -> None:
        for _ in range(5):
            heard.append(stream.readline())
        stream.write(answer)

    return talk


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"+OK\r\n", []),
        (
            b"-WRONGPASS invalid username-password pair\r\n",
            ["the cache answers: WRONGPASS invalid username-password pair"],
        ),
        (b"-LOADING Redis is loading the dataset in memory\r\n", []),
        (b"", []),
    ],
)
def test_redis(serve: Serve, answer: bytes, told: list[str]) -> None:
    heard: list[bytes] = []
    port = serve(redis(answer, heard))
    assert refused({"CACHE_URL": f"redis://:p%2F{CANARY}@127.0.0.1:{port}/0"}, {}) == told
    assert f"p/{CANARY}\r\n".encode() in heard


def method(first: int, second: int, arguments: bytes = b"") -> bytes:
    payload = struct.pack(">HH", first, second) + arguments
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


REFUSAL = b"ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (method(10, 30, b"\0" * 8), []),
        (
            method(10, 50, struct.pack(">HB", 403, len(REFUSAL)) + REFUSAL + b"\0" * 4),
            [f"the broker answers: {REFUSAL.decode()}"],
        ),
        (b"", []),
        (b"HTTP/1.1 400 Bad Request\r\n", []),
    ],
)
def test_rabbitmq(serve: Serve, answer: bytes, told: list[str]) -> None:
    heard: list[bytes] = []

    def talk(stream: Any) -> None:
        assert stream.read(8) == b"AMQP\0\0\x09\x01"
        stream.write(method(10, 10))
        stream.flush()
        size = struct.unpack(">BHI", stream.read(7))[2]
        heard.append(stream.read(size + 1))
        stream.write(answer)

    port = serve(talk)
    assert refused({"BROKER_URL": f"amqp://blog.1:{CANARY}@127.0.0.1:{port}/blog"}, {}) == told
    assert f"\0blog.1\0{CANARY}".encode() in heard[0]


@pytest.mark.parametrize(
    ("psql", "ready", "told"),
    [
        ("exit 0", 0, []),
        ("echo 'FATAL:  Passwort falsch' >&2; exit 2", 0, ["the database answers: FATAL: Passwort falsch"]),
        ("echo 'could not connect' >&2; exit 2", 2, []),
    ],
)  # fmt: skip
def test_postgres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, psql: str, ready: int, told: list[str]
) -> None:
    seen = tmp_path / "seen"
    write(
        tmp_path / "psql", f'#!/bin/sh\necho "$@" "$PGPASSWORD" "$PGUSER" "$PGSSLMODE" >{seen}\n{psql}\n'
    ).chmod(0o755)
    write(tmp_path / "pg_isready", f"#!/bin/sh\nexit {ready}\n").chmod(0o755)
    monkeypatch.setattr(service_logins, "PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    url = f"postgres://blog.0123abcd:{CANARY}@db:5432/blog?sslmode=require"
    assert refused({"DATABASE_URL": url}, {}) == told
    assert seen.read_text().endswith(f"{CANARY} blog.0123abcd require\n")
    # one that somebody else runs
    assert refused({"DATABASE_URL": url.replace("blog.0123abcd", "blog")}, {}) == []


def test_what_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        service_logins, "ASK", dict.fromkeys(service_logins.ASK, lambda _parts, _trusted: "asked")
    )
    url = "redis://:x@h:1/0"
    assert refused({"CACHE_URL": url}, {}) == ["the cache answers: asked"]
    assert refused({"CACHE_URL": url}, {"CACHE_URL": url}) == []  # as the live release
    for other in ("redis://h:1/0", "pymemcache:///s", "amqp://:x@[", ""):
        assert refused({"CACHE_URL": other}, {}) == []


def test_a_server_that_is_away_refuses_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    addresses = {
        "CACHE_URL": f"redis://:x@127.0.0.1:{port}/0",
        "BROKER_URL": f"amqp://u:x@127.0.0.1:{port}/v",
    }
    assert refused(addresses, {}) == []


def test_what_is_not_there_any_more(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    there = serve(lambda _stream: None)
    known = {"blog"}
    monkeypatch.setattr(service_logins, "has_database", known.__contains__)
    path = write(tmp_path / "db.sqlite3", "")
    for url, place in (
        (f"redis://:x@127.0.0.1:{there}/0", ""),
        (f"redis://:x@127.0.0.1:{closed}/0", f"127.0.0.1:{closed}"),
        (f"amqp://u:x@127.0.0.1:{closed}/v", f"127.0.0.1:{closed}"),
        ("redis://no-such-host.invalid/0", "no-such-host.invalid:6379"),
        (f"pymemcache://{path}", ""),
        ("pymemcache:///run/memcached-none/memcached.sock", "/run/memcached-none/memcached.sock"),
        ("postgres://blog@/blog?host=/var/run/postgresql", ""),
        ("postgres://blog@/old?host=/var/run/postgresql", "the database old of this host's PostgreSQL"),
        ("postgres:///old?host=/var/run/postgresql", "the database old of this host's PostgreSQL"),
        ("postgres:///blog", ""),
        ("postgres://blog@/old?host=/elsewhere", ""),
        ("postgres://blog@%2Fvar%2Frun%2Fpostgresql/blog", ""),
        ("postgres://%2Frun%2Fpostgresql/old", "the database old of this host's PostgreSQL"),
        ("postgis://blog@/blog?host=/var/run/postgresql", ""),
        ("psql://blog@/old?host=/var/run/postgresql", "the database old of this host's PostgreSQL"),
        (f"sqlite:///{path}", ""),
        (f"spatialite:///{path}", ""),
        ("sqlite:////none/db.sqlite3", "/none/db.sqlite3"),
        ("amqp://u:x@[", ""),
    ):
        expected = {"broker": place} if place else {}
        assert service_logins.missing({"BROKER_URL": url}, {}) == expected, url
        assert service_logins.missing({"BROKER_URL": url}, {"BROKER_URL": url}) == {}  # as the live release


def test_a_variable_of_the_apps_own_is_no_database() -> None:
    for url in ("none", "sqlite://:memory:", "sqlite:////none/db.sqlite3"):
        wanted = {"LEGACY_DATABASE_URL": url}
        assert service_logins.missing(wanted, {}, ["reports"]) == {}
    assert service_logins.missing(wanted, {}, ["legacy"]) == {"databases.legacy": "/none/db.sqlite3"}
