# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a service that somebody else runs can be reached from here, and is the one that its address asks for.

Before anything is changed there is no client on the host yet: this opens the connection, for what asks for TLS shakes
hands, and logs in to Redis, Valkey and RabbitMQ. A login to a database is tried later (service_logins.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, engine_of
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import ASK

TIMEOUT = 10  # seconds
# PostgreSQL's question whether a server speaks TLS
SSL_REQUEST = struct.pack(">II", 8, 80877103)
ENCRYPTED = ("require", "verify-ca", "verify-full")


def service_problem(service: Mapping[str, Any]) -> str:
    """What keeps the host from a service (its C(url), and certificates of an authority, C(ca), in PEM); empty where
    nothing is found."""
    url = service["url"]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""  # the check of the definitions says so
    engine = engine_of(url)
    port = port or (FACTS[engine].schemes[parts.scheme.partition("+")[0]] if engine else 0)
    # several hosts are libpq's own
    if not host or unquote(host).startswith("/") or "," in host or not port:
        return ""
    try:
        with socket.create_connection((host, port), TIMEOUT) as connection:
            problem = tls_problem(connection, parts, engine, str(service.get("ca", "")))
        return problem or login_problem(parts, f"{host}:{port}")
    except socket.gaierror as error:
        return f"{host} is not found in the DNS: {error.strerror}"
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {host}:{port} is refused: {error.verify_message}"
    except ssl.SSLError as error:
        return f"{host}:{port} speaks no TLS that this host knows: {error.reason or error}"
    except OSError as error:
        return f"{host}:{port} does not answer: {error.strerror or 'no answer in time'}"


def login_problem(parts: SplitResult, server: str) -> str:
    """What a service answers that rejects the login. A client of the app may trust others than this does."""
    ask = ASK.get(parts.scheme)
    with contextlib.suppress(OSError, ValueError, struct.error):
        answer = ask(parts) if ask and parts.password else ""
        return f"{server} rejects the login: {answer}" if answer else ""
    return ""


def tls_problem(connection: socket.socket, parts: SplitResult, engine: str, ca: str) -> str:
    """Shakes hands where the address asks for TLS. Raises an error of ssl where that fails."""
    options = {key: values[0] for key, values in parse_qs(parts.query).items()}
    if engine == "postgres":
        mode = options.get("sslmode", "")
        if mode not in ENCRYPTED:
            return ""
        connection.sendall(SSL_REQUEST)
        if connection.recv(1) != b"S":
            return f"{parts.hostname} does not speak TLS, and the address asks for it (sslmode={mode})"
        trusted = options.get("sslrootcert", "")
        # without any, libpq looks where only the app's user has something
        judged = mode.startswith("verify-") and bool(ca or trusted == "system" or os.path.isfile(trusted))
        named = mode == "verify-full"
    elif parts.scheme.partition("+")[0] in ("rediss", "valkeys"):
        trusted = options.get("ssl_ca_certs", "")
        judged = options.get("ssl_cert_reqs", "required") not in ("none", "CERT_NONE")
        named = options.get("ssl_check_hostname", "true").lower() != "false"
    elif parts.scheme.partition("+")[0] == "amqps":
        trusted, judged, named = "", False, False
    else:
        return ""
    context = ssl.create_default_context(
        cadata=ca or None, cafile=trusted if not ca and os.path.isfile(trusted) else None
    )
    # which newer Pythons ask for, and no client of these services
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not judged or not named:
        context.check_hostname = False
    if not judged:
        context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connection, server_hostname=parts.hostname):
        return ""
