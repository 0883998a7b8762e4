# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How an app's health page is asked for, and what answers count as healthy."""

from __future__ import annotations

import http.client
import os

from ansible_collections.homeport.django.plugins.module_utils.supervisor_client import UnixConnection


def healthy(status: int, expected: list[int]) -> bool:
    """By default anything that shows a working app: a redirect or a refusal does, a bad request does not."""
    return status in expected if expected else (200 <= status < 400 or status in (401, 403, 404))


def refuses_on_purpose(status: int, home: str) -> bool:
    """Whether the answer is that of an app in ``home`` which its operator has closed, where no nginx says so."""
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
