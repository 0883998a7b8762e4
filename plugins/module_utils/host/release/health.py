# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How an app's health page is asked for, and what answers count as healthy. How visitors ask is in visit.py."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import UnixConnection


def healthy(status: int, expected: list[int]) -> bool:
    """By default anything that shows a working app: a redirect or a refusal does, a bad request does not."""
    return status in expected if expected else (200 <= status < 400 or status in (401, 403, 404))


def refuses_on_purpose(status: int, home: str) -> bool:
    """Whether the answer is that of an app in ``home`` which its operator has closed, where no nginx does that."""
    return status == 503 and os.path.exists(f"{home}/maintenance/on")


def connect(address: str, timeout: float) -> http.client.HTTPConnection:
    """A connection to a unix socket's path, to ``unix://path`` or to ``tcp://address:port``."""
    kind, _colon, rest = address.rpartition("://")
    if kind != "tcp":
        return UnixConnection(rest, timeout=timeout)
    host, _colon, port = rest.rpartition(":")
    return http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, int(port), timeout=timeout)


def visitor_headers(site_url: str) -> dict[str, str]:
    """The headers that the app gets of a visitor to its canonical address."""
    scheme, _colon, name = site_url.partition("://")
    return {
        "Host": name,
        "X-Forwarded-Proto": scheme,
        "X-Forwarded-For": "127.0.0.1",
        "User-Agent": "homeport-health",
    }


class Page(NamedTuple):
    status: int
    kind: str
    text: str
    location: str


def ask(address: str, path: str, site_url: str, timeout: float, most: int) -> Page:
    """What a visitor to ``site_url`` would get of ``path``, with the first ``most`` bytes of its text."""
    connection = connect(address, timeout)
    connection.connect()
    # each single wait is bounded by the timeout, and all of them together by this
    alarm = threading.Timer(timeout, cut, [connection.sock])
    alarm.start()
    try:
        connection.request("GET", path, headers=visitor_headers(site_url))
        answer = connection.getresponse()
        text = answer.read(most).decode(errors="replace")
        location = answer.getheader("Location", "") if 300 <= answer.status < 400 else ""
        return Page(answer.status, answer.headers.get_content_type(), text, location)
    finally:
        alarm.cancel()
        connection.close()


def health_page(spec: Mapping[str, Any], address: str, timeout: float) -> Page:
    """An app's health page."""
    return ask(address, spec["health"]["path"], spec["site_url"], timeout, 20000)


def cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def own_socket(path: str, uid: int) -> Iterator[str]:
    """A name for the unix socket at ``path`` that stays the same, if it is that user's: the folder is that user's, too,
    who could have put a link there to what root alone may talk to."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            raise OSError(f"{path} is no socket of the app's")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
