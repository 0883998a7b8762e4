# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether an app answers the way a visitor asks: through what stands in front of it, by its name and scheme."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    cut,
    healthy,
    refuses_on_purpose,
)
from ansible_collections.homeport.django.plugins.module_utils.host.sites import who_serves

SECONDS = 10  # for each page


def problem_of(visit: Mapping[str, Any], home: str, seconds: float = SECONDS) -> str:
    """What is wrong with the answers to a visitor, asked from the host itself; empty when nothing is."""
    domain = domain_of(visit)
    site = who_serves(domain)
    if site not in ("", os.path.basename(home)):
        return (
            f"{domain} does not lead to {os.path.basename(home)}: the site {site} of nginx has this name, too"
        )
    for page, statuses in visit["pages"].items():
        started = time.monotonic()
        try:
            status = ask(visit, page, seconds)
        except (OSError, http.client.HTTPException) as error:
            late = time.monotonic() - started >= seconds
            why = f"no answer within {seconds:g} s" if late else reason(error, visit)
            return f"{visit['url']}{page} does not answer visitors: {why}"
        if not healthy(status, statuses) and not refuses_on_purpose(status, home):
            return f"{visit['url']}{page} answers visitors with status {status}{hint(status)}"
    return ""


def ask(visit: Mapping[str, Any], page: str, seconds: float) -> int:
    scheme, _colon, name = visit["url"].partition("://")
    domain = domain_of(visit)
    connection = http.client.HTTPConnection(domain, timeout=seconds)
    connection.sock = socket.create_connection(("127.0.0.1", visit["port"]), timeout=seconds)
    # each single wait is bounded by the timeout, and all of them together by this
    alarm = threading.Timer(seconds, cut, [connection.sock])
    alarm.start()
    try:
        if visit["tls"]:
            # the certificate has a check of its own
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=domain)
        headers = {"Host": name, "X-Forwarded-Proto": scheme, "User-Agent": "homeport-visit"}
        connection.request("GET", page, headers=headers)
        return connection.getresponse().status
    finally:
        alarm.cancel()
        connection.close()


def domain_of(visit: Mapping[str, Any]) -> str:
    return str(visit["url"]).partition("://")[2].partition(":")[0]


def reason(error: Exception, visit: Mapping[str, Any]) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on port {visit['port']}"
    if isinstance(error, (ConnectionResetError, http.client.RemoteDisconnected)):
        return "the connection is closed, as for a name that is not served"
    return str(error)


def hint(status: int) -> str:
    if status == 400:
        return ": is the name among the live release's ALLOWED_HOSTS?"
    return ": see the app's log, and nginx's error log" if status >= 500 else ""
