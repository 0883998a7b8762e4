# Written by Homeport (role gunicorn).
"""What stands before the app in each of gunicorn's workers: the visitor's address, the maintenance page, and the other
releases' files.

gunicorn.conf.py loads it. It needs Python's own library, and for static files whitenoise.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
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


SCHEMES = {"http": "ws", "https": "wss"}
HTTP = {websocket: scheme for scheme, websocket in SCHEMES.items()}
# What only a trusted proxy may say about a request; the same names as in the role nginx.
CLAIMS = re.compile(
    r"forwarded|x-forwarded-.*|x-real-ip|x-scheme|front-end-https|(true|x|x-cluster|fastly)-client-ip|cf-connecting-ip"
)
# What content delivery networks call the visitor's address.
CLIENT = ("cf-connecting-ip", "fastly-client-ip", "true-client-ip", "x-client-ip", "x-cluster-client-ip")


class Visitor:
    """Gives the app the address of the visitor, and keeps from it what a peer claims that is no trusted proxy. Of a
    trusted one X-Forwarded-For and X-Forwarded-Proto count; it passes on what visitors claim in other headers.

    A unix socket is nginx's, which has set X-Forwarded-For to the one address that it vouches for.
    """

    def __init__(self, app: Any, proxies: Iterable[str]) -> None:
        self.app = app
        given = list(proxies)
        self.all_trusted = "*" in given
        # as declared, never as in the Host that a visitor sends; none where it is the scheme's own
        self.port = port_of(os.environ.get("SITE_URL", ""))
        self.networks = [ip_network(each, strict=False) for each in given if each != "*"]

    def trusts(self, peer: str) -> bool:
        return not peer or self.all_trusted or within(peer, self.networks)

    def address(self, peer: str, forwarded: str) -> str:
        """The nearest of X-Forwarded-For that is no trusted proxy; what stands before it, anybody can write."""
        found = peer
        for entry in reversed(forwarded.split(",")):
            host = re.sub(r"^\[(.*)\](:\d+)?$|^([^:]*):\d+$", r"\1\3", entry.strip())
            if not is_address(host):
                break
            found = host
            if self.all_trusted or not within(host, self.networks):
                break
        return found

    def scheme(self, claimed: str, own: str) -> str:
        return claimed.lower() if claimed.lower() in SCHEMES else own

    def vouched(self, peer: str, address: str, scheme: str, host: str) -> dict[str, str]:
        """The headers that say whose request it is; behind a proxy also those that nginx would set."""
        found = {"x-forwarded-for": address, "x-real-ip": address}
        if not peer:  # nginx has
            return found
        found.update(dict.fromkeys(CLIENT, address))
        found["x-forwarded-proto"] = scheme
        if host:
            name = re.sub(r":\d*$", "", host)
            found["x-forwarded-host"] = f"{name}:{self.port}" if self.port else name
        found["x-forwarded-port"] = str(self.port or (443 if scheme == "https" else 80))
        return found


def port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # an app may have a SITE_URL of its own
        return None


def claims(name: str) -> bool:
    """Whether a variable of WSGI is a header that only a trusted proxy may set."""
    return name.startswith("HTTP_") and bool(CLAIMS.fullmatch(name[5:].lower().replace("_", "-")))


class WsgiVisitor(Visitor):
    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.correct(environ)
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer

    def correct(self, environ: Environ) -> None:
        peer = environ.get("REMOTE_ADDR", "")
        if not self.trusts(peer):
            for name in [name for name in environ if claims(name)]:
                del environ[name]
            return
        fields = {name: value for name, value in environ.items() if claims(name)}
        forwarded = fields.get("HTTP_X_FORWARDED_FOR", "")
        scheme = self.scheme(fields.get("HTTP_X_FORWARDED_PROTO", ""), environ["wsgi.url_scheme"])
        address = self.address(peer, forwarded)
        for name in fields if peer else ():
            del environ[name]
        if peer or forwarded:
            for name, value in self.vouched(peer, address, scheme, environ.get("HTTP_HOST", "")).items():
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        environ["wsgi.url_scheme"] = scheme
        if forwarded:
            environ["REMOTE_ADDR"] = address
            environ.pop("REMOTE_PORT", None)  # the proxy's


class AsgiVisitor(Visitor):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, **self.told(scope)}
        await self.app(scope, receive, send)

    def told(self, scope: Scope) -> Scope:
        peer = (scope.get("client") or ("",))[0]
        fields = scope["headers"]
        if not self.trusts(peer):
            kept = [field for field in fields if not CLAIMS.fullmatch(field[0].decode("latin-1").lower())]
            return {"headers": kept}
        known = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in fields}
        own = scope.get("scheme", "http")
        own = HTTP.get(own, own)
        scheme = self.scheme(known.get("x-forwarded-proto", ""), own)
        told: Scope = {"scheme": scheme if scope["type"] == "http" else SCHEMES[scheme]}
        forwarded = ",".join(value.decode("latin-1") for name, value in fields if name == b"x-forwarded-for")
        if not peer and not forwarded:
            return told
        address = self.address(peer, forwarded)
        vouched = self.vouched(peer, address, scheme, known.get("host", ""))
        rest = [
            field
            for field in fields
            if (name := field[0].decode("latin-1").lower()) not in vouched
            if not (peer and CLAIMS.fullmatch(name))
        ]
        told["headers"] = [
            *rest,
            *((name.encode(), value.encode("latin-1")) for name, value in vouched.items()),
        ]
        return {**told, "client": (address, 0)} if forwarded else told


class Gate:
    """Whether a request reaches the app. The flag is looked for each time, which takes a microsecond."""

    def __init__(self, app: Any, folder: str, static_url: str) -> None:
        self.app = app
        self.folder = folder
        self.static_url = static_url

    def keeps_out(self, path: str, client: str) -> bool:
        if not os.path.exists(f"{self.folder}/on"):
            return False
        if self.static_url and path.startswith(self.static_url):
            return False
        rules = self.rules()
        allowed = [ip_network(network) for network in rules.get("allow", [])]
        return path not in rules.get("open", []) and not within(client, allowed)

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


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def within(client: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(client)
    except ValueError:  # a unix socket has none
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


class WsgiGate(Gate):
    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        if not self.keeps_out(path, environ.get("REMOTE_ADDR", "")):
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
        if not self.keeps_out(scope["path"], (scope.get("client") or ("",))[0]):
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


def is_hidden(path: str, url: str) -> bool:
    """Whether a path below that of the static files names a hidden file, such as .env or .git."""
    return (
        path.startswith(url) and re.search(r"/\.(?!\.?(/|$)|well-known/)", path[len(url) - 1 :]) is not None
    )


def published_files(app: Any, folder: str, url: str, own: str) -> Any:
    """whitenoise over ``folder``, which has the static files of all kept releases, for what ``own`` lacks.

    A page that one release made asks another for its files: during a switch, and long after.
    """
    from whitenoise import WhiteNoise

    class PublishedFiles(WhiteNoise):
        def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            if is_hidden(environ.get("PATH_INFO", ""), url):
                start_response("404 Not Found", [("Content-Length", "0")])
                return []
            answer: Iterable[bytes] = super().__call__(environ, start_response)
            return answer

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
        self.url = url
        self.files = published_files(None, folder, url, own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_hidden(scope["path"], self.url):
            await respond(send, 404, [("Content-Length", "0")], [])
            return
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


def takes_asgi(app: Any) -> bool:
    """Whether an app is one of ASGI, which workers of others keep in the place of one of WSGI."""
    return any(inspect.iscoroutinefunction(each) for each in (app, getattr(app, "__call__", None)))  # noqa: B004


def other_settings(release: str, wanted: str) -> str:
    """That the app has loaded other settings than ``wanted``, which the release was checked and migrated with."""
    settings = getattr(sys.modules.get("django.conf"), "settings", None)
    if not wanted or settings is None or not settings.configured:
        return ""
    found = getattr(
        settings, "SETTINGS_MODULE", None
    )  # there is none where the app configures them by itself
    if found in (None, wanted) or file_of(found) == file_of(wanted):
        return ""
    with open(f"{release}/config/application", encoding="utf-8") as stream:
        module = stream.read().partition(":")[0].strip()
    return (
        f"{setter(module)} sets DJANGO_SETTINGS_MODULE to {found}, but the release was checked and migrated with "
        f"{wanted}: write os.environ.setdefault there, or name the module in the field settings"
    )


def file_of(module: str) -> str | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return f"no {module}"
    return found.origin if found and found.origin else f"no {module}"


def setter(module: str) -> str:
    """Where a module sets the variable, by its line where it does."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                if "DJANGO_SETTINGS_MODULE" in line and not line.lstrip().startswith("#"):
                    return f"{path}, line {number},"
    return f"The application {module}"


def install(
    worker: Any,
    release: str,
    server: str,
    published: str,
    maintenance: str,
    proxies: Iterable[str],
    settings: str = "",
) -> None:
    """Puts what is wanted before the worker's app; a folder that is empty is not wanted.

    Raises RuntimeError where the app has other settings than the module ``settings``.
    """
    if problem := other_settings(release, settings):
        raise RuntimeError(problem)
    name = "asgi" if hasattr(worker, "asgi") else "wsgi"  # other workers keep an ASGI app there, too
    app = getattr(worker, name)
    is_asgi = name == "asgi" or server == "asgi" or takes_asgi(app)
    if published or maintenance:
        with open(f"{release}/release.json", encoding="utf-8") as stream:
            record = json.load(stream)
        own, below = record["static_root"], urlsplit(record["static_url"]).path.strip("/")
        url = f"/{below}/" if own and below else ""
        if published and url:
            app = (AsgiPublishedFiles if is_asgi else published_files)(
                app, published, url, own.rstrip("/") + "/"
            )
        # A release that is only tried out answers whoever asks.
        if maintenance and "HOMEPORT_SLOT" in os.environ:
            app = (AsgiGate if is_asgi else WsgiGate)(app, maintenance, url)
    app = (AsgiVisitor if is_asgi else WsgiVisitor)(app, [*worker.cfg.forwarded_allow_ips, *proxies])
    setattr(worker, name, app)
