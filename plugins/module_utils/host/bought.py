# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a service that somebody else runs can be reached from here, and is the one that its address asks for.

Before anything is changed there is no client on the host yet: this opens the connection, for what asks for TLS shakes
hands, and logs in. What the role of a database may do there: bought_database.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, engine_of
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host.bought_database import (
    Refusal,
    database_problems,
    pools_transactions,
)
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_session import (
    Rejected,
    Session,
    Unknown,
)
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import (
    ASK,
    Trusted,
    option,
    password,
    user,
)

TIMEOUT = 10  # seconds
# PostgreSQL's question whether a server speaks TLS
SSL_REQUEST = struct.pack(">II", 8, 80877103)
ENCRYPTED = ("require", "verify-ca", "verify-full")
NO_DATABASE = "3D000"


# Ports of databases that Homeport does not run.
PORTS = dict.fromkeys(("mysql", "mysql2", "mysqlgis"), 3306)


def service_problems(service: Mapping[str, Any]) -> list[str]:
    """What keeps the host from a service: its C(url), certificates of an authority, C(ca), in PEM, and of a database
    C(direct), the address that leads to the server itself where the url leads to a pooler (and what database_problems
    reads); empty where nothing is found."""
    parts = place_of(service["url"])
    if not parts:
        return []
    server = name_of(parts)
    try:
        if engine_of(service["url"]) == "postgres":
            return postgres_problems(parts, service)
        with opened(parts, str(service.get("ca", ""))):
            pass
        problem = login_problem(parts, server, str(service.get("ca", "")))
        return [problem] if problem else []
    except Refusal as refusal:
        return [str(refusal)]


def place_of(url: str) -> SplitResult | None:
    """The parts of an address that leads to one port of one host."""
    try:
        parts = urlsplit(url)
        host = unquote(parts.hostname or "")
        known = port_of(parts)
    except ValueError:
        return None  # the check of the definitions says so
    # several hosts are libpq's own
    return parts if host and not host.startswith("/") and "," not in host and known else None


def port_of(parts: SplitResult) -> int:
    engine, scheme = engine_of(f"{parts.scheme}://"), parts.scheme.partition("+")[0]
    return parts.port or (FACTS[engine].schemes[scheme] if engine else PORTS.get(scheme, 0))


def name_of(parts: SplitResult) -> str:
    return f"{parts.hostname}:{port_of(parts)}"


@contextlib.contextmanager
def opened(parts: SplitResult, ca: str) -> Iterator[socket.socket]:
    """A connection to a service, encrypted where its address asks for that. Raises Refusal."""
    server, host = name_of(parts), parts.hostname or ""
    try:
        with socket.create_connection((host, port_of(parts)), TIMEOUT) as connection:
            context = context_of(connection, parts, ca)
            if not context:
                yield connection
                return
            with context.wrap_socket(connection, server_hostname=host) as encrypted:
                yield encrypted
    except socket.gaierror as error:
        raise Refusal(f"{host} is not found in the DNS: {error.strerror}") from error
    except ssl.SSLCertVerificationError as error:
        raise Refusal(f"the certificate of {server} is refused: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise Refusal(f"{server} speaks no TLS that this host knows: {error.reason or error}") from error
    except OSError as error:
        raise Refusal(f"{server} does not answer: {reason(error)}") from error


def reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)


def login_problem(parts: SplitResult, server: str, ca: str) -> str:
    """What a service answers that rejects the login. A client of the app may trust others than this does."""
    ask = ASK.get(parts.scheme)
    with contextlib.suppress(OSError, ValueError, struct.error):
        answer = ask(parts, Trusted(ca)) if ask and parts.password else ""
        return f"{server} rejects the login: {plain(answer)}" if answer else ""
    return ""


def postgres_problems(parts: SplitResult, service: Mapping[str, Any]) -> list[str]:
    ca, server = str(service.get("ca", "")), name_of(parts)
    if unverifiable(parts, service):
        return [
            "the address asks for sslmode="
            + option(parts, "sslmode")
            + ", and nothing says by which certificates the "
            "server is verified: name the provider's file in ca, or write sslrootcert=system into the address"
        ]
    if not asked_here(parts):
        with opened(parts, ca):
            return []
    return in_session(parts, ca, lambda session: rights_problems(parts, service, session, server))


def in_session(parts: SplitResult, ca: str, judge: Callable[[Session], list[str]]) -> list[str]:
    """What ``judge`` finds in a session, or what the server has against one. Raises Refusal."""
    try:
        with session_of(parts, ca) as session:
            try:
                return judge(session)
            except Rejected as answer:
                why = plain(str(answer))
                return [f"{name_of(parts)} rejects a query about what the role may do: {why}"]
    except Unknown:
        return []
    except Rejected as answer:
        return [rejection(parts, name_of(parts), answer)]
    except (ValueError, KeyError, struct.error):
        return [f"{name_of(parts)} does not speak PostgreSQL's protocol"]


def rights_problems(
    parts: SplitResult, service: Mapping[str, Any], session: Session, server: str
) -> list[str]:
    """Those of the role, asked of the server itself."""
    ca, direct = str(service.get("ca", "")), place_of(str(service.get("direct", "")))
    if direct:
        return [f"{service['direct_field']}: {problem}" for problem in direct_problems(direct, service)]
    if service.get("migrate", True) and pools_transactions(session, lambda: session_of(parts, ca)):
        return [
            f"{server} is a pooler that changes the connection with each transaction, as PgBouncer does with "
            "pool_mode = transaction. Settings of migrations and dumps would stay there for the queries of "
            f"visitors: name the server itself in {service.get('direct_field', 'database_direct_url')}"
        ]
    return [plain(problem) for problem in database_problems(session, service, server)]


def direct_problems(parts: SplitResult, service: Mapping[str, Any]) -> list[str]:
    ca, server = str(service.get("ca", "")), name_of(parts)

    def judge(session: Session) -> list[str]:
        if pools_transactions(session, lambda: session_of(parts, ca)):
            return [f"{server} is a pooler, too, and not the server itself"]
        return [plain(problem) for problem in database_problems(session, service, server)]

    try:
        return in_session(parts, ca, judge)
    except Refusal as refusal:
        return [str(refusal)]


def rejection(parts: SplitResult, server: str, answer: Rejected) -> str:
    if answer.state == NO_DATABASE:
        return (
            f"{server} has no database {plain(unquote(parts.path[1:]))}: have it created, owned by the role"
        )
    return f"{server} rejects the login: {plain(str(answer))}"


def asked_here(parts: SplitResult) -> bool:
    """Whether all that the login needs is in the address: not a certificate of the client's, nor a password file."""
    return bool(parts.password and parts.username and not option(parts, "sslcert"))


@contextlib.contextmanager
def session_of(parts: SplitResult, ca: str) -> Iterator[Session]:
    login = {"user": user(parts), "database": unquote(parts.path[1:]) or user(parts)}
    if option(parts, "options"):
        login["options"] = option(parts, "options")
    with opened(parts, ca) as connection, connection.makefile("rwb") as stream:
        yield Session(stream, login, password(parts))


def unverifiable(parts: SplitResult, service: Mapping[str, Any]) -> bool:
    """Whether libpq would find nothing to verify the server by: the app's user may have a file of its own."""
    home = service.get("home")
    if not home or not option(parts, "sslmode").startswith("verify-"):
        return False
    own = os.path.lexists(f"{home}/home/.postgresql/root.crt")
    return not (service.get("ca") or option(parts, "sslrootcert") or own)


def context_of(connection: socket.socket, parts: SplitResult, ca: str) -> ssl.SSLContext | None:
    """How the connection is to be encrypted, and the server to be verified. Raises Refusal where it has no TLS."""
    scheme = parts.scheme.partition("+")[0]
    if engine_of(f"{parts.scheme}://") == "postgres":
        mode = option(parts, "sslmode") or "prefer"
        if mode in ("disable", "allow"):
            return None
        connection.sendall(SSL_REQUEST)
        if connection.recv(1) != b"S":
            if mode == "prefer":
                return None
            raise Refusal(
                f"{parts.hostname} does not speak TLS, and the address asks for it (sslmode={mode})"
            )
        trusted = option(parts, "sslrootcert")
        # without any, libpq looks where only the app's user has something
        judged = mode in ENCRYPTED and bool(ca or trusted == "system" or os.path.isfile(trusted))
        named = mode == "verify-full"
    elif scheme in ("rediss", "valkeys"):
        trusted = option(parts, "ssl_ca_certs")
        judged = option(parts, "ssl_cert_reqs") not in ("none", "CERT_NONE")
        named = option(parts, "ssl_check_hostname").lower() != "false"
    elif scheme == "amqps":
        # py-amqp verifies who has signed, and no name; without a ca the project may have an authority of its own
        trusted, judged, named = "", bool(ca), False
    else:
        return None
    context = ssl.create_default_context(
        cadata=ca or None, cafile=trusted if not ca and os.path.isfile(trusted) else None
    )
    if scheme not in ("rediss", "valkeys"):
        # which newer Pythons ask for; of the clients only redis-py does
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not judged or not named:
        context.check_hostname = False
    if not judged:
        context.verify_mode = ssl.CERT_NONE
    return context
