"""A PostgreSQL that somebody else runs, and what its role may do there: a server that says what real ones say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import bought_database
from ansible_collections.homeport.django.plugins.module_utils.host.bought import service_problems

from tests.unit.support import CANARY

HERE = "127.0.0.1"
SALT, ROUNDS = b"0123456789abcdef", 4096
ABOUT = {
    "version": "170005", "encoding": "UTF8", "replica": "f", "read_only": "off", "schema": "public",
    "creates": "t", "creates_schemas": "f", "role": "blog", "database": "blog", "quoted": "public",
}  # fmt: skip


class Server:
    """PostgreSQL's side of the protocol. ``pids`` are the processes that answer one query after another; ``named`` is
    the one that a login names."""

    def __init__(self, **options: Any) -> None:
        self.login = options.get("login", "scram")
        self.error = options.get("error")
        self.about = {**ABOUT, **options.get("about", {})}
        self.foreign: list[str] = options.get("foreign", [])
        self.extensions: Mapping[str, str] = options.get("extensions", {})
        self.named = options.get("named", 1)
        self.pids = iter(options.get("pids", [1, 1, 1, 1, 1, 1, 1, 1]))
        self.most = options.get("most", 9)
        self.unknown = options.get("unknown", "-")
        self.seen: list[str] = []

    def talk(self, stream: Any) -> None:
        if stream.read(8) != b"\x00\x00\x00\x08\x04\xd2\x16\x2f":
            return
        self.write(stream, b"N")
        (size,) = struct.unpack(">I", stream.read(4))
        self.seen.append(stream.read(size - 4)[4:].decode())
        if len(self.seen) > self.most:
            return
        if self.error:
            state, text = self.error
            self.message(stream, b"E", b"SFATAL\0C%s\0M%s\0\0" % (state.encode(), text.encode()))
            return
        if not getattr(self, f"by_{self.login}")(stream):
            self.message(stream, b"E", b"SFATAL\0C28P01\0Mpassword authentication failed\0\0")
            return
        self.message(stream, b"R", struct.pack(">I", 0))
        self.message(stream, b"S", b"server_version\x0017\0")
        self.message(stream, b"K", struct.pack(">II", self.named, 7))
        self.message(stream, b"Z", b"I")
        while kind := stream.read(1):
            query = self.payload(stream)
            if kind != b"Q":
                return
            if self.unknown in query.decode():
                self.message(stream, b"E", b"SERROR\0C42P01\0Mno such relation\0\0")
                self.message(stream, b"Z", b"I")
                continue
            for row in self.rows(query.decode()):
                body = b"".join(struct.pack(">i", len(cell)) + cell.encode() for cell in row)
                self.message(stream, b"D", struct.pack(">H", len(row)) + body)
            self.message(stream, b"C", b"SELECT\0")
            self.message(stream, b"Z", b"I")

    def rows(self, query: str) -> list[list[str]]:
        if "server_version_num" in query:
            return [list(self.about.values())]
        if "pg_backend_pid" in query:
            return [[str(next(self.pids))]]
        if "pg_available_extensions" in query:
            return [[name, there] for name, there in self.extensions.items()]
        return [[name] for name in self.foreign]

    def by_clear(self, stream: Any) -> bool:
        self.message(stream, b"R", struct.pack(">I", 3))
        return self.answer(stream) == CANARY.encode() + b"\0"

    def by_md5(self, stream: Any) -> bool:
        self.message(stream, b"R", struct.pack(">I", 5) + b"salt")
        inner = hashlib.md5(f"{CANARY}blog".encode()).hexdigest().encode()
        return self.answer(stream) == b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode() + b"\0"

    def by_unknown(self, stream: Any) -> bool:
        self.message(stream, b"R", struct.pack(">I", 7))
        stream.read(1)
        return True

    def by_impostor(self, stream: Any) -> bool:
        return self.by_scram(stream, b"another password")

    def by_scram(self, stream: Any, password: bytes = CANARY.encode()) -> bool:
        self.message(stream, b"R", struct.pack(">I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
        first = self.answer(stream).partition(b"n,,")[2].decode()
        challenge = f"{first.partition('r=')[2]}server"
        challenge = f"r={challenge},s={base64.b64encode(SALT).decode()},i={ROUNDS}"
        self.message(stream, b"R", struct.pack(">I", 11) + challenge.encode())
        final = self.answer(stream).decode()
        without, _, proof = final.partition(",p=")
        text = f"{first},{challenge},{without}".encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, SALT, ROUNDS)
        key = hmac.new(salted, b"Client Key", "sha256").digest()
        mask = hmac.new(hashlib.sha256(key).digest(), text, "sha256").digest()
        right = base64.b64encode(bytes(a ^ b for a, b in zip(key, mask, strict=True))).decode() == proof
        signed = hmac.new(hmac.new(salted, b"Server Key", "sha256").digest(), text, "sha256").digest()
        if right or self.login == "impostor":
            self.message(stream, b"R", struct.pack(">I", 12) + b"v=" + base64.b64encode(signed))
        return right or self.login == "impostor"

    def answer(self, stream: Any) -> bytes:
        assert stream.read(1) == b"p"
        return self.payload(stream)

    def payload(self, stream: Any) -> bytes:
        (size,) = struct.unpack(">I", stream.read(4))
        return bytes(stream.read(size - 4))

    def message(self, stream: Any, kind: bytes, payload: bytes) -> None:
        self.write(stream, kind + struct.pack(">I", len(payload) + 4) + payload)

    def write(self, stream: Any, data: bytes) -> None:
        stream.write(data)
        stream.flush()


@contextmanager
def serving(server: Server) -> Iterator[int]:
    listener = socket.create_server((HERE, 0))

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            server.talk(stream)

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=one, args=[connection], daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def asked(server: Server, password: str = CANARY, **service: Any) -> list[str]:
    with serving(server) as port:
        found = service_problems({"url": f"postgres://blog:{password}@{HERE}:{port}/blog", **service})
        assert CANARY not in str(found)
        return [problem.replace(f"{HERE}:{port}", "SERVER") for problem in found]


@pytest.mark.parametrize("login", ["scram", "md5", "clear", "unknown"])
def test_each_kind_of_login(login: str) -> None:
    server = Server(login=login)
    assert asked(server) == []
    assert server.seen[0].startswith("user\0blog\0database\0blog\0")


@pytest.mark.parametrize("login", ["scram", "md5", "clear"])
def test_a_wrong_password(login: str) -> None:
    assert asked(Server(login=login), "wrong") == ["SERVER rejects the login: password authentication failed"]


def test_a_server_that_does_not_know_the_password() -> None:
    assert asked(Server(login="impostor")) == [
        "SERVER rejects the login: the server does not know the password"
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (("3D000", 'database "blog" does not exist'), "SERVER has no database blog: have it created"),
        (
            ("28000", 'no pg_hba.conf entry, "no encryption"'),
            "SERVER rejects the login: no pg_hba.conf entry",
        ),
        (("53300", "too many\x1b[2J clients"), "SERVER rejects the login: too many\\x1b[2J clients"),
    ],
)
def test_a_login_that_ends(error: tuple[str, str], told: str) -> None:
    (found,) = asked(Server(error=error))
    assert found.startswith(told)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"creates": "f"}, "GRANT CREATE, USAGE ON SCHEMA public TO blog"),
        (
            {"schema": "", "creates": "f"},
            "leads to no schema: have CREATE SCHEMA blog AUTHORIZATION blog run",
        ),
        ({"encoding": "LATIN1"}, "its encoding is LATIN1"),
        ({"replica": "t"}, "SERVER is a replica, and migrations write"),
        ({"read_only": "on"}, "SERVER allows only reading"),
    ],
)
def test_what_a_role_lacks(about: dict[str, str], told: str) -> None:
    (found,) = asked(Server(about=about))
    assert told in found


def deployed(home: Path, django: str) -> str:
    (home / "current").mkdir()
    (home / "current/release.json").write_text(json.dumps({"django": django}))
    return str(home)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    server = Server(
        about={"creates": "f", "version": "110000"},
        foreign=[*(f"album_{number}" for number in range(6)), "django_migrations"],
        extensions={"citext": "f", "vector": "t"},
    )
    home = deployed(tmp_path, "5.2.1")
    found = asked(server, extensions=["vector", "citext", "postgis"], home=home)
    assert len(found) == 5
    assert "album_0, album_1, album_2, album_3, album_4 and 2 more. Have ALTER TABLE" in found[2]
    assert found[3].startswith("extensions: the server does not have postgis: ask the provider")
    assert found[4] == 'extensions: have these created in the database blog: CREATE EXTENSION "citext"'


def test_a_query_that_is_rejected_is_no_login() -> None:
    (found,) = asked(Server(unknown="pg_depend"))
    assert found == "SERVER rejects a query about what the role may do: no such relation"


def test_tables_of_others_may_be_beside_the_apps() -> None:
    assert asked(Server(foreign=["awsdms_ddl_audit", "crm"])) == []


@pytest.mark.parametrize(
    ("django", "version", "needed"),
    [
        ("3.2.25", "90624", 0),
        ("4.0", "90624", 10),
        ("4.1.13", "100023", 11),
        ("4.2", "110022", 12),
        ("", "90624", 0),
    ],
)
def test_the_oldest_server_of_each_django(tmp_path: Path, django: str, version: str, needed: int) -> None:
    found = asked(Server(about={"version": version}), home=deployed(tmp_path, django))
    assert len(found) == bool(needed)
    assert all(f"Django {django[:3]} needs {needed}: upgrade it" in problem for problem in found)


def test_a_database_that_is_not_migrated_may_be_read_only() -> None:
    server = Server(about={"creates": "f", "replica": "t"}, foreign=["crm"])
    assert asked(server, migrate=False) == []


def test_django_and_pg_dump_have_their_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(Server(about={"version": "140010"}), home=deployed(tmp_path, "6.1.3"))
    assert found == ["SERVER is PostgreSQL 14, and the app's Django 6.1 needs 15: upgrade it"]
    monkeypatch.setattr(bought_database, "newest_client", lambda: 15)
    (found_,) = asked(Server(), dumped=True)
    assert "pg_dump of this host (15) dumps none that is newer: install postgresql-client-17" in found_
    assert asked(Server(), dumped=False) == []


def test_a_pooler_of_transactions_needs_the_server_itself() -> None:
    pooler = {"named": 99, "pids": [1, 1, 1, 1]}
    (found,) = asked(Server(**pooler), direct_field="vault_django_apps.blog.database_direct_url")
    assert "pool_mode = transaction" in found
    assert found.endswith("name the server itself in vault_django_apps.blog.database_direct_url")
    # each client has a server process of its own, or waits for its turn
    assert asked(Server(named=99, pids=[1], most=1)) == []
    assert asked(Server(named=99, pids=[1, 2, 1, 2, 1, 2, 1])) == []


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        ({}, []),
        ({"about": {"creates": "f"}}, ["DIRECT: the role may not create tables in the schema public"]),
        ({"named": 98}, ["DIRECT: 127.0.0.1:0 is a pooler, too, and not the server itself"]),
        ({"error": ("28P01", "no")}, ["DIRECT: 127.0.0.1:0 rejects the login: no"]),
    ],
)
def test_the_server_behind_a_pooler_is_asked_for_rights(behind: dict[str, Any], told: list[str]) -> None:
    pooler = Server(named=99, pids=[1, 1, 1, 1], about={"creates": "f"})
    with serving(Server(**behind)) as port:
        direct = f"postgres://blog:{CANARY}@{HERE}:{port}/blog"
        found = asked(pooler, direct=direct, direct_field="DIRECT")
        found = [problem.replace(f":{port}", ":0") for problem in found]
    assert len(found) == len(told)
    for problem, start in zip(found, told, strict=True):
        assert problem.startswith(start)


def test_nothing_says_by_which_certificates_the_server_is_verified(tmp_path: Path) -> None:
    service = {"url": "postgres://blog@db.invalid/blog?sslmode=verify-full", "home": str(tmp_path)}
    (found,) = service_problems(service)
    assert "name the provider's file in ca, or write sslrootcert=system" in found
    assert "not found in the DNS" in service_problems({**service, "ca": ""} | {"home": ""})[0]
