# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether the services of an app answer and accept its logins, asked as the app asks: by address, user and password.

For a new release only a refused login counts: a service that does not answer may answer again soon. A rollback also
looks for services that no longer exist (docs/decisions/0034).
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.authority import AUTHORITY
from ansible_collections.homeport.django.plugins.module_utils.common.derive import is_login
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, engine_of
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import ADDRESSES, addresses
from ansible_collections.homeport.django.plugins.module_utils.host.layout import PATH, DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster, quote_text

TIMEOUT = 5  # seconds


class Trusted(NamedTuple):
    """Authorities besides the system's and the site's: certificates (PEM), and folders as in SSL_CERT_DIR."""

    ca: str = ""
    folders: str = ""


def refused(wanted: Mapping[str, str], known: Mapping[str, str]) -> list[str]:
    """Services that refuse the logins of a release with the environment ``wanted``, with their answers. An address
    that is also in ``known``, the environment of the live release, is not asked."""
    found = []
    for service, name in ADDRESSES.items():
        address = wanted.get(name, "")
        if not address or address == known.get(name):
            continue
        try:
            parts = urlsplit(address)
            ask = ask_postgres if service == "database" else ASK.get(parts.scheme)
            trusted = Trusted(folders=wanted.get("SSL_CERT_DIR", ""))
            answer = ask(parts, trusted) if ask and parts.password else ""
        except (OSError, ValueError, struct.error):
            continue
        if answer:
            found.append(f"the {service} answers: {answer}")
    return found


def missing(
    wanted: Mapping[str, str], known: Mapping[str, str], databases: Collection[str] = ()
) -> dict[str, str]:
    """Services of the environment ``wanted`` that do not exist, each with its place. An address that is also in
    ``known``, the environment of the live release, is not looked for, nor a further database that is not among
    ``databases``: its variable may be the app's own. A timeout proves nothing."""
    found = {}
    services = {*ADDRESSES, *(f"databases.{alias}" for alias in databases)}
    for service, name in addresses(wanted).items():
        address = wanted.get(name, "")
        if service not in services or not address or address == known.get(name):
            continue
        try:
            place = absent(urlsplit(address))
        except (TimeoutError, ValueError):
            continue
        if place:
            found[service] = place
    return found


def absent(parts: SplitResult) -> str:
    """The place where nothing serves an address; empty where something does, or where that remains unknown."""
    scheme, host = parts.scheme.partition("+")[0], unquote(parts.hostname or "")
    engine = engine_of(f"{parts.scheme}://")
    if engine == "postgres" and (not host or host.startswith("/")):
        name = unquote(parts.path[1:])
        options = dict(pair.partition("=")[::2] for pair in parts.query.split("&"))
        if (host or options.get("host", "")) not in OWN_CLUSTER or has_database(name):
            return ""
        return f"the database {name} of this host's PostgreSQL"
    if engine == "sqlite":
        return "" if os.path.exists(unquote(parts.path[1:])) else unquote(parts.path[1:])
    if not host:
        path = unquote(parts.path)
        return "" if os.path.exists(path) else path
    port = parts.port or (FACTS[engine].schemes[scheme] if engine else 0)
    try:
        if port:
            socket.create_connection((host, port), TIMEOUT).close()
    except (ConnectionRefusedError, socket.gaierror):
        return f"{host}:{port}"
    except OSError:
        return ""
    return ""


def has_database(name: str) -> bool:
    try:
        return (
            Cluster().ask(f"SELECT 1 FROM pg_database WHERE datname = {quote_text(name)};\n", TIMEOUT) != ""
        )
    except DeployError:
        return False


OWN_CLUSTER = ("", "/var/run/postgresql", "/run/postgresql")


def ask_redis(parts: SplitResult, trusted: Trusted) -> str:
    words = [word.encode() for word in ("AUTH", *filter(None, (user(parts),)), password(parts))]
    with connected(parts, 6379, trusted) as stream:
        stream.write(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        )
        stream.flush()
        answer = stream.readline().decode(errors="replace").strip()
    return answer[1:] if answer.startswith(("-WRONGPASS", "-ERR")) else ""


def ask_postgres(parts: SplitResult, _trusted: Trusted) -> str:
    """By psql, and only with a login of Homeport's own: other logins may need more than psql is given. Its message
    depends on the server's language, so that any failure at a server that is ready is a refusal."""
    if not is_login(user(parts), user(parts).rpartition(".")[0]) or not shutil.which("psql", path=PATH):
        return ""
    environment = {
        "PATH": PATH,
        "HOME": "/nonexistent",
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": user(parts),
        "PGPASSWORD": password(parts),
        "PGDATABASE": unquote(parts.path[1:]),
        "PGSSLMODE": option(parts, "sslmode") or "prefer",
        "PGSSLROOTCERT": option(parts, "sslrootcert"),
        "PGCONNECT_TIMEOUT": str(TIMEOUT),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    tried = run("psql", "--no-psqlrc", "-qAt", "-c", "select 1")
    if tried.returncode == 0 or run("pg_isready", "-q").returncode:
        return ""
    return " ".join(tried.stderr.split()) or "no"


def ask_rabbitmq(parts: SplitResult, trusted: Trusted) -> str:
    """The handshake of AMQP 0-9-1, up to the answer to the password."""
    login = f"\0{user(parts)}\0{password(parts)}".encode()
    # without it RabbitMQ waits a while, then closes without an answer
    able = short("authentication_failure_close") + b"t\x01"
    able = long(short("capabilities") + b"F" + long(able))
    with connected(parts, 5671 if parts.scheme == "amqps" else 5672, trusted) as stream:
        stream.write(b"AMQP\0\0\x09\x01")
        stream.flush()
        if frame(stream)[0] != (10, 10):
            return ""
        payload = struct.pack(">HH", 10, 11) + able + short("PLAIN") + long(login) + short("en_US")
        stream.write(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")
        stream.flush()
        method, arguments = frame(stream)
    return arguments[3 : 3 + arguments[2]].decode(errors="replace") if method == (10, 50) else ""


ASK: dict[str, Callable[[SplitResult, Trusted], str]] = {
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), ask_redis),
    **dict.fromkeys(("amqp", "amqps"), ask_rabbitmq),
}


def user(parts: SplitResult) -> str:
    return unquote(parts.username or "")


def option(parts: SplitResult, name: str) -> str:
    return parse_qs(parts.query).get(name, [""])[0]


def password(parts: SplitResult) -> str:
    return unquote(parts.password or "")


def connected(parts: SplitResult, port: int, trusted: Trusted) -> Any:
    # the stream keeps the connection open until it is closed itself
    with socket.create_connection((parts.hostname or "", parts.port or port), TIMEOUT) as connection:
        if parts.scheme not in ("rediss", "valkeys", "amqps"):
            return connection.makefile("rwb")
        with trust(parts, trusted).wrap_socket(connection, server_hostname=parts.hostname) as encrypted:
            return encrypted.makefile("rwb")


def trust(parts: SplitResult, trusted: Trusted) -> ssl.SSLContext:
    """Whom an address says to trust, else the system's authorities, the site's, and those that are named."""
    named = "" if trusted.ca else option(parts, "ssl_ca_certs")
    context = ssl.create_default_context(cafile=named or None, cadata=trusted.ca or None)
    for folder in filter(None, trusted.folders.split(":")):
        context.load_verify_locations(capath=folder)
    if not named and os.path.exists(AUTHORITY):
        context.load_verify_locations(AUTHORITY)
    unverified = option(parts, "ssl_cert_reqs") in ("none", "CERT_NONE")
    if unverified or option(parts, "ssl_check_hostname").lower() == "false":
        context.check_hostname = False
    if unverified:
        context.verify_mode = ssl.CERT_NONE
    return context


def short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def frame(stream: Any) -> tuple[tuple[int, int], bytes]:
    """Class and method of the next frame, and what follows them."""
    _kind, _channel, size = struct.unpack(">BHI", read(stream, 7))
    payload = read(stream, size + 1)
    first, second = struct.unpack(">HH", payload[:4])
    return (first, second), payload[4:-1]


def read(stream: Any, size: int) -> bytes:
    found: bytes = stream.read(size)
    if len(found) < size:
        raise OSError("closed")
    return found
