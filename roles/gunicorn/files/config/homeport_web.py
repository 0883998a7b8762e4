# Written by Homeport (role gunicorn).
"""What stands before the app in each of gunicorn's workers: the maintenance page, and the other releases' files.

gunicorn.conf.py loads it. It needs Python's own library, and for static files whitenoise.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

# A hash of the content in the name, as nginx takes it for one.
HASHED = r"[.-][0-9a-f]{8,64}\.[A-Za-z0-9]+(\.map)?$"
NO_PAGE = b"This site is closed for maintenance. Please come back in a little while.\n"
BLOCK = 1 << 16
# What visitors send is read before they are answered: a browser that still sends does not listen.
LARGEST_BODY = 32 << 20

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[str, str]]


class Gate:
    """Whether a request reaches the app. The flag is looked for each time, which takes a microsecond."""

    def __init__(self, app: Any, folder: str, static_url: str, proxies: Iterable[str]) -> None:
        self.app = app
        self.folder = folder
        self.static_url = static_url
        self.proxies = list(proxies)

    def keeps_out(self, path: str, peer: str, forwarded: str) -> bool:
        if not os.path.exists(f"{self.folder}/on"):
            return False
        if self.static_url and path.startswith(self.static_url):
            return False
        rules = self.rules()
        return path not in rules.get("open", []) and not within(
            self.client(peer, forwarded), rules.get("allow", [])
        )

    def client(self, peer: str, forwarded: str) -> str:
        """The last of X-Forwarded-For is what a load balancer saw; what stands before it, anybody can write."""
        trusted = "*" in self.proxies or within(peer, self.proxies)
        return forwarded.rpartition(",")[2].strip() if forwarded and trusted else peer

    def rules(self) -> dict[str, Any]:
        try:
            with open(f"{self.folder}/rules.json", encoding="utf-8") as stream:
                found: dict[str, Any] = json.load(stream)
                return found
        except (OSError, ValueError):  # closed to all, then
            return {}

    def answer(self) -> tuple[Headers, bytes]:
        try:
            with open(f"{self.folder}/page.html", "rb") as stream:
                page, kind = stream.read(), "text/html"
        except OSError:
            page, kind = NO_PAGE, "text/plain"
        headers = [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Retry-After", str(self.rules().get("retry_after", 300))),
            ("Cache-Control", "no-store"),
        ]
        return headers, page


def within(client: str, networks: Iterable[str]) -> bool:
    try:
        address = ip_address(client)
    except ValueError:  # a unix socket has none
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ip_network(network) for network in networks)


class WsgiGate(Gate):
    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        peer, forwarded = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", "")
        if not self.keeps_out(path, peer, forwarded):
            answer: Iterable[bytes] = self.app(environ, start_response)
            return answer
        left = LARGEST_BODY
        while left > 0 and (block := environ["wsgi.input"].read(BLOCK)):
            left -= len(block)
        headers, page = self.answer()
        start_response("503 Service Unavailable", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [page]


class AsgiGate(Gate):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        peer = (scope.get("client") or ("",))[0]
        fields = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not self.keeps_out(scope["path"], peer, ",".join(fields)):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1013})
        else:
            left = LARGEST_BODY
            while left > 0 and (message := await receive()).get("more_body"):
                left -= len(message["body"])
            headers, page = self.answer()
            await respond(send, 503, headers, [] if scope["method"] == "HEAD" else [page])


def published_files(app: Any, folder: str, url: str, own: str) -> Any:
    """whitenoise over ``folder``, which has the static files of all kept releases, for what ``own`` lacks.

    A page that one release made asks another for its files: during a switch, and long after.
    """
    from whitenoise import WhiteNoise

    class PublishedFiles(WhiteNoise):
        def find_file(self, path: str) -> Any:
            if not path.startswith(url) or os.path.isfile(own + path[len(url) :]):
                return None
            return super().find_file(path)

    return PublishedFiles(
        app,
        root=folder,
        prefix=url,
        autorefresh=True,
        immutable_file_test=HASHED,
        add_headers_function=lambda headers, *_file: headers.setdefault("X-Content-Type-Options", "nosniff"),
    )


class AsgiPublishedFiles:
    """The same before an ASGI app, which whitenoise itself does not know."""

    def __init__(self, app: Asgi, folder: str, url: str, own: str) -> None:
        self.app = app
        self.files = published_files(None, folder, url, own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self.files.find_file(scope["path"]) if scope["type"] == "http" else None
        if file is None:
            await self.app(scope, receive, send)
            return
        fields = {
            f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in scope["headers"]
        }
        answer = file.get_response(scope["method"], fields)
        await respond(send, int(answer.status), list(answer.headers), blocks(answer.file))


def blocks(stream: Any) -> Iterator[bytes]:
    if stream is not None:
        with stream:
            yield from iter(lambda: stream.read(BLOCK), b"")


async def respond(send: Send, status: int, headers: Headers, body: Iterable[bytes]) -> None:
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    rest = iter(body)
    while block := await asyncio.to_thread(next, rest, b""):
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def install(worker: Any, release: str, server: str, published: str, maintenance: str) -> None:
    """Puts what is wanted before the worker's app; a folder that is empty is not wanted."""
    name = "asgi" if hasattr(worker, "asgi") else "wsgi"  # other workers keep an ASGI app there, too
    is_asgi = name == "asgi" or server == "asgi"
    with open(f"{release}/release.json", encoding="utf-8") as stream:
        record = json.load(stream)
    own, below = record["static_root"], urlsplit(record["static_url"]).path.strip("/")
    url = f"/{below}/" if own and below else ""
    app = getattr(worker, name)
    if published and url:
        app = (AsgiPublishedFiles if is_asgi else published_files)(app, published, url, own.rstrip("/") + "/")
    # A release that is only tried out answers whoever asks.
    if maintenance and "HOMEPORT_SLOT" in os.environ:
        app = (AsgiGate if is_asgi else WsgiGate)(app, maintenance, url, worker.cfg.forwarded_allow_ips)
    setattr(worker, name, app)
