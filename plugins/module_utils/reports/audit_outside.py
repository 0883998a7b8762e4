# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A host as visitors and port scanners see it. Runs on the controller, and sends nothing but requests."""

from __future__ import annotations

import errno
import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.reports.audit_tls import (
    OLD,
    TLS_1_2,
    accepted,
    described,
)

TIMEOUT = 4.0  # seconds for each step of a question
PROBE_TIMEOUT = 2.0  # seconds for a port to answer
# Where something that nobody meant to show would most likely be found.
COMMON_PORTS = (
    21, 22, 23, 25, 80, 110, 111, 139, 143, 443, 445, 631, 873, 1433, 2049, 2375, 2376, 3000, 3306, 3389, 4369, 5000,
    5432, 5555, 5672, 5900, 6379, 6432, 8000, 8001, 8008, 8080, 8081, 8443, 8888, 9000, 9001, 9090, 9100, 9200, 10250,
    11211, 15672, 25672, 27017,
)  # fmt: skip
# What must never be served, and what its beginning looks like. A page for every address is none of them.
HIDDEN = {
    "/.git/HEAD": rb"\A(ref: refs/|[0-9a-f]{40}\s*\Z)",
    "/.git/config": rb"^\[core\]",
    "/.env": rb"^\s*(export\s+)?\w+=",
    "/manage.py": rb"\A(#!|import |from |\"\"\")",
    "/db.sqlite3": rb"\ASQLite format 3",
    "/static../manage.py": rb"\A(#!|import |from |\"\"\")",
}
UNKNOWN_NAME = "nobody.invalid"  # a name that no host has


def look(
    address: str,
    ports: Iterable[int],
    sites: Mapping[str, Mapping[str, Any]],
    roots: str = "",
    common_ports: Iterable[int] = COMMON_PORTS,
) -> dict[str, Any]:
    """Which ports of a host answer, and what its sites answer there.

    sites: by name C(names), C(canonical), C(tls) (boolean), the C(port) for plain HTTP, and C(front_port), where
    something in front ends TLS.
    """
    if not foreign(address):
        return {"reached": False, "reason": f"{address} is this machine itself", "ports": {}, "sites": {}}
    # a port that a firewall drops takes the whole timeout: all at once
    with ThreadPoolExecutor(max_workers=64) as pool:
        asked = {port: pool.submit(probe, address, port) for port in sorted({*ports, *common_ports})}
        states = {port: answer.result() for port, answer in asked.items()}
        open_ports = [port for port, state in states.items() if state["open"]]
        result: dict[str, Any] = {
            "reached": bool(open_ports),
            "reason": "" if open_ports else f"no port of {address} answers this machine",
            "source": next((state["source"] for state in states.values() if state["open"]), ""),
            "ports": open_ports,
            "sites": {},
        }
        if not open_ports:
            return result
        trust = context(roots)
        later: dict[str, dict[str, Future[Any]]] = {}
        plain = sorted({site["port"] for site in sites.values()} & set(open_ports))
        unknown_names: dict[str, Future[Any]] = {
            str(port): pool.submit(answer, ask, address, port, UNKNOWN_NAME, "/", None) for port in plain
        }
        if 443 in open_ports:
            unknown_names["443"] = pool.submit(answer, serves_any_name, address)
        for name, site in sites.items():
            later[name] = {
                part: pool.submit(answer, *words)
                for part, words in questions(address, site, trust, open_ports).items()
            }
        result["unknown_names"] = {port: future.result() for port, future in unknown_names.items()}
        result["sites"] = {
            name: {part: future.result() for part, future in parts.items()} for name, parts in later.items()
        }
    return result


def questions(
    address: str, site: Mapping[str, Any], trust: ssl.SSLContext, open_ports: Iterable[int]
) -> dict[str, tuple[Any, ...]]:
    """What a site is asked, by the part of the answer that it gives."""
    name = site["canonical"]
    found: dict[str, tuple[Any, ...]] = {}
    secure = site["tls"]
    if site["port"] in open_ports:
        found["plain"] = (ask, address, site["port"], name, "/", None)
    if site.get("front_port"):
        # asked as a visitor asks: what ends TLS is another machine, which its name leads to
        found["page"] = (ask, name, site["front_port"], name, "/", trust)
        found["hidden"] = (hidden, name, site["front_port"], name, trust)
        return found
    if secure:
        found.update(
            {f"certificate {each}": (certificate, address, host_of(each), trust) for each in site["names"]}
        )
        found["old"] = (accepted, address, 443, name, OLD, TIMEOUT)
        found["weak"] = (accepted, address, 443, name, TLS_1_2, TIMEOUT)
    port, wrapped = (443, unchecked()) if secure else (site["port"], None)
    found["page"] = (ask, address, port, name, "/", wrapped)
    found["hidden"] = (hidden, address, port, name, wrapped)
    return found


def host_of(name: str) -> str:
    """A host name that a name of a certificate stands for."""
    return f"audit.{name[2:]}" if name.startswith("*.") else name


def foreign(address: str) -> bool:
    """Whether an address is another machine's: forwarded ports of this one say nothing about a host."""
    if address in ("", "localhost"):
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


def answer(question: Callable[..., Any], *words: Any) -> dict[str, Any]:
    """What comes back, or why nothing does."""
    try:
        return {"found": question(*words), "error": ""}
    except ConnectionError:  # of which a connection that is closed without an answer is one
        return {"found": None, "error": "closed"}
    except (OSError, http.client.HTTPException) as error:
        return {"found": None, "error": str(getattr(error, "reason", "") or error) or type(error).__name__}


def probe(address: str, port: int) -> dict[str, Any]:
    """Whether a port answers, and the address from which this machine asks."""
    try:
        with socket.create_connection((address, port), timeout=PROBE_TIMEOUT) as connection:
            return {"open": True, "source": connection.getsockname()[0]}
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return {"open": False, "source": ""}


# HTTP

# Of other headers only the names are kept: a value may be a secret.
KEPT_HEADERS = ("server", "x-powered-by", "x-content-type-options", "x-frame-options", "referrer-policy",
        "strict-transport-security")  # fmt: skip


def fetch(
    address: str, port: int, name: str, path: str, wrapped: ssl.SSLContext | None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and the beginning of what a site answers."""
    sock = socket.create_connection((address, port), timeout=TIMEOUT)
    connection = http.client.HTTPConnection(name, timeout=TIMEOUT)
    try:
        connection.sock = wrapped.wrap_socket(sock, server_hostname=name) if wrapped else sock
        connection.request("GET", path, headers={"Host": name, "User-Agent": "homeport-audit"})
        found = connection.getresponse()
        headers = [(key.lower(), value) for key, value in found.getheaders()]
        return found.status, headers, found.read(400)
    finally:
        connection.close()
        sock.close()


def ask(address: str, port: int, name: str, path: str, wrapped: ssl.SSLContext | None) -> dict[str, Any]:
    """Status and headers of a page, as far as they are judged."""
    status, headers, _start = fetch(address, port, name, path, wrapped)
    values = dict(headers)
    return {
        "status": status,
        "headers": {key: value for key, value in headers if key in KEPT_HEADERS},
        "location": urlsplit(values.get("location", "")).scheme,
        "framing": "frame-ancestors" in values.get("content-security-policy", ""),
        "cookies": [cookie(value) for key, value in headers if key == "set-cookie"],
    }


def cookie(text: str) -> dict[str, Any]:
    """Name and attributes of a cookie, without its value."""
    name, *attributes = (part.strip() for part in text.split(";"))
    words = {attribute.partition("=")[0].lower() for attribute in attributes}
    return {
        "name": name.partition("=")[0],
        **{word: word in words for word in ("secure", "httponly", "samesite")},
    }


def hidden(address: str, port: int, name: str, wrapped: ssl.SSLContext | None) -> list[str]:
    """Which of the paths that must not be served are."""
    found = []
    for path, pattern in HIDDEN.items():
        status, headers, start = fetch(address, port, name, path, wrapped)
        if (
            status == 200
            and "html" not in dict(headers).get("content-type", "")
            and re.search(pattern, start, re.MULTILINE)
        ):
            found.append(path)
    return found


# TLS


def context(roots: str) -> ssl.SSLContext:
    """The roots that this machine trusts, and those of a file."""
    found = ssl.create_default_context()
    if roots:
        found.load_verify_locations(cafile=roots)
    return found


def unchecked() -> ssl.SSLContext:
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def handshake(address: str, name: str, trust: ssl.SSLContext | None) -> bytes:
    """The certificate that is served for a name."""
    with (
        socket.create_connection((address, 443), timeout=TIMEOUT) as plain,
        (trust or unchecked()).wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def serves_any_name(address: str) -> bool:
    """Whether somebody who asks for a name that is not here gets a certificate."""
    try:
        return bool(handshake(address, UNKNOWN_NAME, None))
    except ssl.SSLError:
        return False


def certificate(address: str, name: str, trust: ssl.SSLContext) -> dict[str, Any]:
    """What is known of the certificate that is served for a name, and why it is not trusted, if it is not."""
    try:
        return {**described(handshake(address, name, trust)), "untrusted": "", "code": 0}
    except ssl.SSLCertVerificationError as error:
        found = described(handshake(address, name, None))
        return {**found, "untrusted": error.verify_message, "code": error.verify_code}
