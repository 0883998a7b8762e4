# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether an app answers the way a visitor asks: through what stands in front of it, by its name and scheme."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import string
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    cut,
    healthy,
    refuses_on_purpose,
)
from ansible_collections.homeport.django.plugins.module_utils.host.sites import who_serves

SECONDS = 10  # for each page
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 10


class Answer(NamedTuple):
    status: int
    location: str  # of a redirect, complete; else empty
    cookies: dict[str, str]


def problem_of(visit: Mapping[str, Any], home: str, seconds: float = SECONDS) -> str:
    """What is wrong with the answers to a visitor, asked from the host itself; empty when nothing is."""
    domain = domain_of(visit)
    site = who_serves(domain, visit["port"])
    if site not in ("", os.path.basename(home)):
        return (
            f"{domain} does not lead to {os.path.basename(home)}: the site {site} of nginx has this name, too"
        )
    for page, statuses in visit["pages"].items():
        started = time.monotonic()
        try:
            answer = ask(visit, f"{visit['url']}{page}", {}, seconds)
            if answer.location and not statuses:
                led = redirected(visit, page, answer, home, seconds)
                if led:
                    return led
        except (OSError, http.client.HTTPException) as error:
            late = time.monotonic() - started >= seconds
            why = f"no answer within {seconds:g} s" if late else reason(error, visit)
            return f"{visit['url']}{page} does not answer visitors: {why}"
        except ValueError as error:  # of urllib
            return f"{visit['url']}{page} leads visitors to an invalid address: {error}"
        status = answer.status
        if not healthy(status, statuses) and not refuses_on_purpose(status, home):
            return f"{visit['url']}{page} answers visitors with status {status}{hint(status)}"
    return ""


def redirected(visit: Mapping[str, Any], page: str, answer: Answer, home: str, seconds: float) -> str:
    """What is wrong with where a page leads, as long as it leads to the app itself."""
    start, followed, cookies = f"{visit['url']}{page}", [f"{visit['url']}{page}"], dict(answer.cookies)
    ways: set[tuple[str, tuple[tuple[str, str], ...]]] = {(start, ())}
    end_time = time.monotonic() + seconds
    while answer.location and is_own(answer.location, visit):
        if problem := served_by_nobody(visit, page, answer.location):
            return problem
        followed.append(answer.location)
        way = answer.location, tuple(sorted(cookies.items()))
        if way in ways or len(followed) > MOST_REDIRECTS:
            return f"{start} leads visitors in a circle: {' -> '.join(followed[:4])}{circle_hint(followed)}"
        ways.add(way)
        answer = ask(visit, answer.location, cookies, max(0.1, end_time - time.monotonic()))
        cookies.update(answer.cookies)
    broken = answer.status == 400 or answer.status >= 500
    if broken and not refuses_on_purpose(answer.status, home):
        shown = f"{answer.status}{hint(answer.status)}"
        return f"{start} leads visitors to {followed[-1]}, which answers with status {shown}"
    return ""


def is_own(url: str, visit: Mapping[str, Any]) -> bool:
    """Whether an address is one of the app's: by its names, at the ports that its visitors use."""
    parts, site = urlsplit(url), urlsplit(visit["url"])
    usual = {"http": 80, "https": 443}
    if parts.scheme not in usual or parts.hostname not in {*visit.get("names", []), site.hostname}:
        return False
    ports = {site.port or usual[site.scheme], *(() if site.port else usual.values())}
    return (parts.port or usual[parts.scheme]) in ports


def served_by_nobody(visit: Mapping[str, Any], page: str, location: str) -> str:
    """That a page leads to the app's own address with HTTPS, which is not served; a trusted proxy in front may."""
    if not visit or visit.get("trusted") or not visit["url"].startswith("http:"):
        return ""
    url = urljoin(f"{visit['url']}{page}", location)
    if not url.startswith("https:") or not is_own(url, visit):
        return ""
    return (
        f"{visit['url']}{page} leads visitors to {url.partition('?')[0]}, where nothing answers, since the app has no "
        "TLS: set certificates_email or tls, tls: proxy where a proxy in front has it, or switch SECURE_SSL_REDIRECT "
        "off in the settings"
    )


def circle_hint(followed: list[str]) -> str:
    if len({urlsplit(url).hostname for url in followed}) > 1:
        return (
            ": domains begins with the name that nginx leads all others to; PREPEND_WWW and others must agree"
        )
    if followed[0].startswith("https:"):
        return ": does the app see HTTPS? It needs SECURE_PROXY_SSL_HEADER in its settings"
    return ""


def ask(visit: Mapping[str, Any], url: str, cookies: Mapping[str, str], seconds: float) -> Answer:
    scheme = visit["url"].partition("://")[0]  # what is asked without TLS, nginx leads to the same with it
    parts = urlsplit(url)
    name, domain = parts.netloc, parts.hostname or ""
    page = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
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
        if cookies:
            headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in cookies.items())
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        given = [entry.partition(";")[0] for entry in answer.headers.get_all("Set-Cookie", [])]
        found = {
            key.strip(): value.strip() for key, _equals, value in (entry.partition("=") for entry in given)
        }
        location = answer.getheader("Location", "") if answer.status in REDIRECTS else ""
        # as browsers do; headers are read as latin-1
        location = quote(location.encode("latin-1"), safe=string.punctuation)
        return Answer(answer.status, urljoin(url, location) if location else "", found)
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
