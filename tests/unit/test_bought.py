"""Services that somebody else runs, asked for before anything is changed."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.filter.host import site_tls
from ansible_collections.homeport.django.plugins.filter.parts import unproven
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import (
    revoked_passwords,
    used_logins,
)
from ansible_collections.homeport.django.plugins.module_utils.host.bought import service_problems

from tests.unit.support import SECRET, resolved

OTHER = "another secret of the same length"
HERE = "127.0.0.1"


def joined(service: dict[str, str]) -> str:
    return "; ".join(service_problems(service))


@contextmanager
def serving(folder: Path, before: bytes = b"", answer: bytes = b"", address: str = HERE) -> Iterator[int]:
    """A server with a certificate of the site; ``before`` is what it reads in the clear first, and answers."""
    made = site_tls([SECRET], address)
    (folder / "server.pem").write_text(made["key"] + made["certificate"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    def serve(listener: socket.socket) -> None:
        try:
            connection, _address = listener.accept()
            with connection:
                if before:
                    assert connection.recv(8) == before
                    connection.sendall(answer)
                if answer != b"N":
                    context.wrap_socket(connection, server_side=True).close()
        except OSError:
            return

    with socket.create_server((HERE, 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
    thread.join(10)


ASKED = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
CA = site_tls([SECRET], HERE)["authority"]
WRONG = site_tls([OTHER], HERE)["authority"]


@pytest.mark.parametrize(
    ("mode", "ca", "answer", "problem"),
    [
        ("verify-full", CA, b"S", ""),
        ("verify-full", WRONG, b"S", "is refused: self-signed certificate in certificate chain"),
        ("verify-ca", WRONG, b"S", "is refused: self-signed certificate in certificate chain"),
        ("verify-full", "", b"S", ""),  # libpq has a file of the user's own
        ("require", "", b"S", ""),
        ("require", "", b"N", "does not speak TLS, and the address asks for it (sslmode=require)"),
    ],
)
def test_postgres(mode: str, ca: str, answer: bytes, problem: str, tmp_path: Path) -> None:
    with serving(tmp_path, ASKED, answer) as port:
        url = f"postgres://u@{HERE}:{port}/n?sslmode={mode}"
        found = joined({"url": url, "ca": ca})
    assert found.endswith(problem)
    assert bool(found) == bool(problem)


def test_a_name_that_the_certificate_is_not_for(tmp_path: Path) -> None:
    with serving(tmp_path, ASKED, b"S", "10.0.0.3") as port:
        url = f"postgres://u@localhost:{port}/n?sslmode=verify-full"
        assert "Hostname mismatch" in joined({"url": url, "ca": CA})
    with serving(tmp_path, ASKED, b"S", "10.0.0.3") as port:
        url = f"postgres://u@localhost:{port}/n?sslmode=verify-ca"
        assert joined({"url": url, "ca": CA}) == ""


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", "self-signed certificate in certificate chain"),
        ("?ssl_cert_reqs=none", ""),
        ("?ssl_ca_certs={folder}/ca.pem", ""),
    ],
)
def test_redis(query: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA)
    with serving(tmp_path) as port:
        url = f"rediss://{HERE}:{port}/0{query.format(folder=tmp_path)}"
        found = joined({"url": url})
    assert found.endswith(problem)
    assert bool(found) == bool(problem)


def test_rabbitmq(tmp_path: Path) -> None:
    with serving(tmp_path) as port:
        assert joined({"url": f"amqps://{HERE}:{port}/v"}) == ""


def test_nobody_answers() -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
        assert joined({"url": f"redis://{HERE}:{port}/0"}) == ""  # in the clear nothing is said
    found = joined({"url": f"redis://:x@{HERE}:{port}/0"})
    assert found == f"{HERE}:{port} does not answer: Connection refused"
    assert joined({"url": "mysql://u:x@no-such-host.invalid:3306/n"}).startswith(
        "no-such-host.invalid is not found in the DNS: "
    )


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////srv/x/db.sqlite3",
        "postgres://x@/n?host=/run/postgresql",
        "postgres://%2Frun/n",
        "redis://[",
    ],
)
def test_what_is_no_connection_is_not_asked(url: str) -> None:
    assert joined({"url": url}) == ""


def test_only_what_no_live_release_uses() -> None:
    vault = {"database_url": "postgres://u:p@DB.example:6432/n", "cache_url": "rediss://:p@c.example/0"}
    apps = {"blog": resolved(vault, setup="site")}
    live = {"blog": used_logins({"DATABASE_URL": "postgres://u:p@db.example:6432/n?sslmode=require"})}
    facts = {"logins": live}
    assert set(unproven(apps, {"logins": {}})) == {"django_apps.blog.database", "django_apps.blog.cache"}
    assert set(unproven(apps, facts)) == {"django_apps.blog.cache"}
    assert unproven(apps, facts, ["shop"]) == {}
    changed = {
        "blog": resolved({**vault, "database_url": "postgres://u:new@db.example:6432/n"}, setup="site")
    }
    assert "django_apps.blog.database" in unproven(changed, facts)
    assert unproven({"blog": resolved(setup="simple")}, {"logins": {}}) == {}
    assert unproven({"blog": resolved(setup="site", broker="rabbitmq")}, {"logins": {}}) == {}


def test_a_service_without_a_password_is_asked_once() -> None:
    urls = {
        "database_url": "postgres://u@d.example/n",
        "cache_url": "redis://c.example",
        "broker_url": "amqp://b.example/v",
    }
    apps = {"blog": resolved(urls, setup="site")}
    live = {"blog": used_logins(apps["blog"]["environment"])}
    assert len(unproven(apps, {"logins": {}})) == 3
    assert unproven(apps, {"logins": live}) == {}
    assert revoked_passwords(apps, live) == []
    # nor is one revoked that a service gets only now
    assert revoked_passwords({"blog": resolved(setup="site", cache="redis")}, live) == []


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers what it is asked on its second connection; the first one is for whether it is there."""
    seen: list[bytes] = []

    def serve() -> None:
        listener.accept()[0].close()
        with listener.accept()[0] as connection:
            seen.append(connection.recv(1024))
            connection.sendall(answer)

    with socket.create_server((HERE, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], seen
        thread.join()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"+OK\r\n", ""),
        (b"-WRONGPASS invalid pair\r\n", "rejects the login: WRONGPASS invalid pair"),
        (b"", ""),
    ],
)
def test_a_login_that_is_rejected(answer: bytes, told: str) -> None:
    with answering(answer) as (port, seen):
        found = joined({"url": f"redis://u:secret-of-u@{HERE}:{port}/0"})
    assert found == (f"{HERE}:{port} {told}" if told else "")
    assert b"AUTH" in seen[0]
    assert "secret-of-u" not in found
