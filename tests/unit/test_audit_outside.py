"""What an audit sees of a host from outside: real sockets, and a TLS server in every state."""

from __future__ import annotations

import datetime
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.reports import audit_outside, audit_tls
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_outside import (
    answer,
    ask,
    certificate,
    context,
    cookie,
    foreign,
    hidden,
    host_of,
    look,
    probe,
    questions,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_tls import (
    OLD,
    TLS_1_2,
    accepted,
    weak_client,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = "127.0.0.1"
NAME = "blog.example.org"
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/": (200, {"Server": "nginx", "X-Frame-Options": "DENY", "X-Secret": "canary",
                "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
                "Set-Cookie": "sessionid=canary; Secure; HttpOnly"}, b""),
    "/.git/HEAD": (200, {"Content-Type": "text/plain"}, b"ref: refs/heads/main\n"),
    "/.git/config": (200, {"Content-Type": "text/html"}, b"[core]"),  # the page of an app for every address
    "/.env": (200, {"Content-Type": "application/octet-stream"}, b"# secrets\nexport SECRET_KEY=x\n"),
    "/manage.py": (404, {}, b"#!/usr/bin/env python"),
    "/db.sqlite3": (302, {"Location": "https://blog.example.org/login?token=canary"}, b""),
}  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = PAGES.get(self.path, (404, {}, b""))
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_words: Any) -> None:
        """A client that ends its handshake is no error."""


def served(tls: ssl.SSLContext | None = None) -> tuple[Server, int]:
    server = Server((HERE, 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, server.server_address[1]


@pytest.fixture
def plain() -> Iterator[int]:
    server, port = served()
    yield port
    server.shutdown()
    server.server_close()


def signed(folder: Path, days: int = 90) -> tuple[Path, Path]:
    """A certificate that has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.timezone.utc)
    found = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(found.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, private


def speaking(
    chain: Path, key: Path, ciphers: str = "", lowest: Any = ssl.TLSVersion.TLSv1_2
) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(chain, key)
    found.minimum_version = lowest
    if ciphers:
        found.set_ciphers(ciphers)
    return found


# HTTP


def test_no_value_that_may_be_secret_is_kept(plain: int) -> None:
    found = ask(HERE, plain, NAME, "/", None)
    assert found == {
        "status": 200,
        "headers": {"server": "nginx", "x-frame-options": "DENY"},
        "location": "",
        "framing": True,
        "cookies": [{"name": "sessionid", "secure": True, "httponly": True, "samesite": False}],
    }
    assert ask(HERE, plain, NAME, "/db.sqlite3", None)["location"] == "https"


def test_what_must_not_be_served(plain: int) -> None:
    assert hidden(HERE, plain, NAME, None) == ["/.git/HEAD", "/.env"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=b; Path=/; Secure; HttpOnly; SameSite=Lax", ("a", True, True, True)),
        ("csrftoken=x=y; secure", ("csrftoken", True, False, False)),
        ("a=Secure; Path=/HttpOnly", ("a", False, False, False)),
    ],
)
def test_the_attributes_of_a_cookie(text: str, found: tuple[Any, ...]) -> None:
    assert tuple(cookie(text).values()) == found


def test_ports_that_are_open_and_closed(plain: int) -> None:
    assert probe(HERE, plain) == {"open": True, "source": HERE}
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
    assert probe(HERE, port)["open"] is False


def test_who_closes_the_connection_gives_no_answer() -> None:
    with socket.create_server((HERE, 0)) as server:

        def hang_up() -> None:
            connection, _address = server.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert answer(ask, HERE, server.getsockname()[1], NAME, "/", None) == {
            "found": None,
            "error": "closed",
        }
        thread.join()


@pytest.mark.parametrize(
    ("address", "other"),
    [("192.0.2.7", True), ("web1.example.org", True), ("127.0.0.1", False), ("::1", False), ("localhost", False),
     ("", False)],
)  # fmt: skip
def test_forwarded_ports_of_this_machine_are_not_the_hosts(address: str, other: bool) -> None:
    assert foreign(address) is other
    if not other:
        assert look(address, [22], {})["reached"] is False


def test_a_host_is_looked_at(plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_outside, "foreign", lambda _address: True)
    site = {"names": [NAME], "canonical": NAME, "tls": False, "port": plain}
    found = look(HERE, [plain], {"blog": site}, common_ports=[])
    assert (found["reached"], found["source"], found["ports"]) == (True, HERE, [plain])
    assert found["unknown_names"][str(plain)]["found"]["status"] == 200
    assert found["sites"]["blog"].keys() == {"plain", "page", "hidden"}
    assert found["sites"]["blog"]["hidden"]["found"] == ["/.git/HEAD", "/.env"]
    with socket.create_server((HERE, 0)) as server:
        closed = server.getsockname()[1]
    found = look(HERE, [closed], {"blog": site}, common_ports=[])
    assert (found["reached"], found["ports"], found["sites"]) == (False, [], {})


def test_what_a_site_over_tls_is_asked() -> None:
    site = {"names": [NAME, "*.blog.example.org"], "canonical": NAME, "tls": True, "port": 80}
    found = questions(HERE, site, context(""), [80, 443])
    assert found.keys() == {f"certificate {NAME}", "certificate *.blog.example.org", "old", "weak", "plain", "page",
                            "hidden"}  # fmt: skip
    assert host_of("*.blog.example.org") == "audit.blog.example.org"
    assert "plain" not in questions(HERE, site, context(""), [443])


def test_where_tls_ends_in_front_a_site_is_asked_by_its_name() -> None:
    site = {"names": ["a.example"], "canonical": "a.example", "tls": True, "port": 80, "front_port": 8443}
    found = questions(HERE, site, context(""), [80])
    assert set(found) == {"plain", "page", "hidden"}
    assert found["plain"][1:4] == (HERE, 80, "a.example")
    assert found["page"][1:4] == ("a.example", 8443, "a.example")


# TLS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("ciphers", "lowest", "old", "weak"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", ssl.TLSVersion.TLSv1_2, "", ""),
        ("", ssl.TLSVersion.TLSv1_3, "", ""),
        ("ECDHE-ECDSA-AES128-SHA", ssl.TLSVersion.TLSv1_2, "", "TLS 1.2 ECDHE-ECDSA-AES128-SHA"),
        (
            "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0",
            ssl.TLSVersion.TLSv1,
            "TLS 1.1 ECDHE-ECDSA-AES256-SHA",
            "TLS 1.2 ECDHE-ECDSA-AES256-SHA",
        ),
    ],
)
def test_the_worst_that_a_server_accepts(
    ciphers: str, lowest: Any, old: str, weak: str, tmp_path: Path
) -> None:
    server, port = served(speaking(*signed(tmp_path), ciphers, lowest))
    try:
        assert accepted(HERE, port, NAME, OLD, 5) == old
        assert accepted(HERE, port, NAME, TLS_1_2, 5) == weak
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_speaks_no_tls_accepts_nothing(plain: int) -> None:
    assert accepted(HERE, plain, NAME, TLS_1_2, 5) == ""


def test_weak_suites_are_those_without_forward_secrecy_or_authenticated_encryption() -> None:
    names = {suite["name"] for suite in weak_client(TLS_1_2).get_ciphers() if suite["protocol"] != "TLSv1.3"}
    assert {"AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA256"} <= names
    assert not any(name.startswith(("ECDHE-RSA-AES128-GCM", "ECDHE-RSA-CHACHA20", "DHE-RSA-AES")) and "GCM" in name
                   for name in names)  # fmt: skip


def test_a_controller_that_cannot_offer_it_has_not_looked(
    monkeypatch: pytest.MonkeyPatch, plain: int
) -> None:
    def without_protocols(_newest: ssl.TLSVersion) -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        found.minimum_version, found.maximum_version = ssl.TLSVersion.TLSv1_3, TLS_1_2
        return found

    monkeypatch.setattr(audit_tls, "weak_client", without_protocols)
    found = answer(accepted, HERE, plain, NAME, OLD, 5)
    assert found == {"found": None, "error": "the OpenSSL of this machine cannot offer it"}


@pytest.mark.parametrize(("days", "trusted", "code"), [(90, True, 0), (90, False, 18), (-1, False, 18)])
def test_a_certificate_and_whether_it_is_trusted(
    days: int, trusted: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, key = signed(tmp_path, days)
    server, port = served(speaking(chain, key))
    real = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda _address, **options: real((HERE, port), **options)
    )
    try:
        found = certificate(HERE, NAME, context(str(chain) if trusted else ""))
    finally:
        server.shutdown()
        server.server_close()
    assert (found["names"], found["self_signed"], found["code"]) == ([NAME], True, code)
    assert bool(found["untrusted"]) is not trusted
    assert round((found["until"] - found["from"]) / 86400) == 100 + days
