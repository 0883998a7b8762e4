"""What stands before an app in gunicorn's workers."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HASHED = "style.0123456789ab.css"


def load() -> ModuleType:
    path = ROOT / "roles/gunicorn/files/config/homeport_web.py"
    spec = importlib.util.spec_from_file_location("homeport_web", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


web = load()


def claims_of(fields: dict[str, str]) -> str:
    return json.dumps(
        {name: value for name, value in fields.items() if web.CLAIMS.fullmatch(name)}, sort_keys=True
    )


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    names = {key[5:].lower().replace("_", "-") for key in environ if key.startswith("HTTP_")}
    told = [("X-Client", environ["REMOTE_ADDR"]), ("X-Got", " ".join(sorted(names)))]
    told.append(("X-Scheme", environ["wsgi.url_scheme"]))
    told.append(("X-Address", environ.get("HTTP_X_FORWARDED_FOR", "")))
    told.append(
        ("X-Claims", claims_of({name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in names}))
    )
    start_response("200 OK", [("X-App", "yes"), *told])
    return [b"app"]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        fields = dict(scope["headers"])
        told = [(b"x-client", (scope["client"] or ("",))[0].encode()), (b"x-got", b" ".join(sorted(fields)))]
        told.append((b"x-scheme", scope["scheme"].encode()))
        told.append((b"x-address", fields.get(b"x-forwarded-for", b"")))
        known = {name.decode(): value.decode() for name, value in fields.items()}
        told.append((b"x-claims", claims_of(known).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes"), *told]})
        await send({"type": "http.response.body", "body": b"app"})


class Answer:
    def __init__(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.is_apps = self.headers.get("x-app") == "yes"


class Site:
    """An app in a worker of gunicorn, asked as gunicorn asks."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind
        self.sent: list[dict[str, Any]] = []
        self.app: Any = None

    def install(self, server: str = "", proxies: tuple[str, ...] = (), **folders: str) -> None:
        app = wsgi_app if self.kind == "wsgi" else asgi_app
        worker = SimpleNamespace(cfg=SimpleNamespace(forwarded_allow_ips=["127.0.0.1"]), wsgi=app)
        if self.kind == "asgi" and not server:
            worker = SimpleNamespace(cfg=worker.cfg, asgi=app)
        wanted = {"published": "", "maintenance": "", **folders}
        web.install(worker, str(self.folder / "release"), server or self.kind, **wanted, proxies=proxies)
        self.app = getattr(worker, "asgi", None) or worker.wsgi

    def ask(
        self, path: str, peer: str = "198.51.100.1", method: str = "GET", body: bytes = b"", **fields: str
    ) -> Answer:
        if self.kind == "wsgi":
            return self.ask_wsgi(path, peer, method, body, fields)
        return self.ask_asgi(path, peer, method, body, fields)

    def ask_wsgi(self, path: str, peer: str, method: str, body: bytes, fields: dict[str, str]) -> Answer:
        started: list[Any] = []
        self.stream = io.BytesIO(body)
        environ = {
            "PATH_INFO": path.encode().decode("latin-1"),
            "REMOTE_ADDR": peer,
            "wsgi.url_scheme": "http",
            "REQUEST_METHOD": method,
            "wsgi.input": self.stream,
            **{f"HTTP_{name.upper()}": value for name, value in fields.items()},
        }
        found = b"".join(self.app(environ, lambda *arguments: started.extend(arguments)))
        return Answer(int(started[0].split()[0]), started[1], found)

    def ask_asgi(self, path: str, peer: str, method: str, body: bytes, fields: dict[str, str]) -> Answer:
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        scope = {
            "type": "http",
            "path": path,
            "client": (peer, 1) if peer else None,
            "scheme": "http",
            "method": method,
            "headers": headers,
        }
        self.run(scope, body)
        start, *rest = self.sent
        pairs = [(name.decode(), value.decode()) for name, value in start["headers"]]
        return Answer(start["status"], pairs, b"".join(message["body"] for message in rest))

    def run(self, scope: dict[str, Any], body: bytes = b"") -> None:
        self.sent = []
        self.stream = io.BytesIO(body)

        async def receive() -> dict[str, Any]:
            block = self.stream.read(1 << 16)
            return {"type": "http.request", "body": block, "more_body": self.stream.tell() < len(body)}

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        asyncio.run(self.app(scope, receive, send))


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("HOMEPORT_SLOT", "0")
    for name in ("release/static/css", "published/css", "maintenance"):
        (tmp_path / name).mkdir(parents=True)
    record = {"static_root": str(tmp_path / "release/static"), "static_url": "/static/"}
    (tmp_path / "release/release.json").write_text(json.dumps(record))
    found = Site(tmp_path, request.param)
    (tmp_path / "maintenance/page.html").write_text("<p>é closed")
    write_rules(tmp_path)
    return found


def write_rules(folder: Path, **changes: Any) -> None:
    rules = {"allow": ["203.0.113.0/24", "2001:db8::/32"], "open": ["/héalth/"], "retry_after": 77, **changes}
    (folder / "maintenance/rules.json").write_text(json.dumps(rules))


@pytest.fixture
def closed(site: Site) -> Site:
    site.install(maintenance=str(site.folder / "maintenance"))
    (site.folder / "maintenance/on").touch()
    return site


def test_the_file_closes_and_opens_at_once(closed: Site) -> None:
    flag = closed.folder / "maintenance/on"
    for _round in range(3):
        assert closed.ask("/").status == 503
        flag.unlink()
        assert closed.ask("/").is_apps
        flag.touch()


def test_visitors_get_the_page(closed: Site) -> None:
    answer = closed.ask("/albums/")
    assert (answer.status, answer.body.decode()) == (503, "<p>é closed")
    assert answer.headers == {
        "content-type": "text/html; charset=utf-8",
        "content-length": "12",
        "retry-after": "77",
        "cache-control": "no-store",
    }
    head = closed.ask("/", method="HEAD")
    assert (head.status, head.headers, head.body) == (503, answer.headers, b"")


def test_what_visitors_send_is_read_to_its_end(closed: Site) -> None:
    body = b"x" * 300_000
    assert closed.ask("/", method="POST", body=body).status == 503
    assert closed.stream.tell() == len(body)


def test_endless_bodies_are_not_read_to_their_end(closed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_BODY", 100_000)
    assert closed.ask("/", method="POST", body=b"x" * 300_000).status == 503
    assert closed.stream.tell() == 131_072


@pytest.mark.parametrize(
    ("path", "is_let_in"),
    [
        ("/héalth/", True),
        ("/héalth", False),
        ("/héalth/x", False),
        ("/static/css/x.css", True),
        ("/static", False),
        ("/statics/x", False),
        ("/", False),
        ("", False),
    ],
)
def test_paths(path: str, is_let_in: bool, closed: Site) -> None:
    assert closed.ask(path).is_apps is is_let_in


@pytest.mark.parametrize(
    ("peer", "forwarded", "is_let_in"),
    [
        ("203.0.113.9", "", True),
        ("::ffff:203.0.113.9", "", True),
        ("2001:db8::1", "", True),
        ("203.0.114.9", "", False),
        ("2001:db9::1", "", False),
        ("", "", False),
        # a load balancer that is trusted is believed in what it adds, anybody else in nothing
        ("198.51.100.1", "203.0.113.9", False),
        ("10.0.0.7", "203.0.113.9", True),
        ("10.0.0.7", "203.0.113.9, 198.51.100.1", False),
        ("10.0.0.7", "198.51.100.1, 203.0.113.9", True),
        ("10.0.0.7", "", False),
        ("10.0.0.7", "nonsense", False),
        ("203.0.113.9", "198.51.100.1", True),
    ],
)
def test_addresses(peer: str, forwarded: str, is_let_in: bool, site: Site) -> None:
    site.install(proxies=("10.0.0.0/24", "::1"), maintenance=str(site.folder / "maintenance"))
    (site.folder / "maintenance/on").touch()
    assert site.ask("/", peer=peer, x_forwarded_for=forwarded).is_apps is is_let_in


def test_where_everybody_is_trusted_the_last_word_counts(site: Site) -> None:
    site.install(proxies=("*",), maintenance=str(site.folder / "maintenance"))
    (site.folder / "maintenance/on").touch()
    assert site.ask("/", x_forwarded_for="203.0.113.9, 198.51.100.1").status == 503
    assert site.ask("/", x_forwarded_for="198.51.100.1, 203.0.113.9").is_apps


def test_a_closed_app_stays_closed_whatever_is_missing(closed: Site) -> None:
    for name in ("rules.json", "page.html"):
        (closed.folder / "maintenance" / name).unlink()
    answer = closed.ask("/héalth/", peer="203.0.113.9")
    assert (answer.status, answer.body) == (503, web.NO_PAGE)
    assert answer.headers["content-type"].startswith("text/plain")
    (closed.folder / "maintenance/rules.json").write_text("{")
    assert closed.ask("/", peer="203.0.113.9").status == 503


def test_changed_rules_hold_at_once(closed: Site) -> None:
    assert closed.ask("/", peer="192.0.2.1").status == 503
    write_rules(closed.folder, allow=["192.0.2.1/32"])
    assert closed.ask("/", peer="192.0.2.1").is_apps
    assert closed.ask("/", peer="203.0.113.9").status == 503


def test_a_release_that_is_tried_out_answers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMEPORT_SLOT")
    site.install(maintenance=str(site.folder / "maintenance"))
    (site.folder / "maintenance/on").touch()
    assert site.ask("/").is_apps


def test_behind_nginx_the_address_is_the_one_that_nginx_vouches_for(site: Site) -> None:
    site.install(proxies=())
    answer = site.ask("/", peer="", x_forwarded_for="203.0.113.9", x_real_ip="203.0.113.9")
    assert answer.headers["x-client"] == "203.0.113.9"
    assert site.ask("/", peer="").headers["x-client"] == ""


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.8", "203.0.113.9"),
        ("192.0.2.1, 203.0.113.9, 10.0.0.8,10.0.0.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("203.0.113.9, unknown", "10.0.0.7"),
        ("10.0.0.8", "10.0.0.8"),
    ],
)
def test_chains_of_proxies(forwarded: str, client: str, site: Site) -> None:
    site.install(proxies=("10.0.0.0/24",))
    headers = site.ask("/", peer="10.0.0.7", x_forwarded_for=forwarded, x_real_ip="192.0.2.66").headers
    assert (headers["x-client"], headers["x-address"]) == (client, client)


def test_who_is_no_trusted_proxy_claims_nothing(site: Site) -> None:
    site.install(proxies=("10.0.0.0/24",))
    claims: dict[str, Any] = dict.fromkeys(
        ("x_forwarded_for", "x_forwarded_proto", "x_forwarded_host", "x_forwarded_ssl", "x_real_ip", "forwarded",
         "cf_connecting_ip", "true_client_ip", "x_client_ip", "x_scheme"), "203.0.113.9")  # fmt: skip
    headers = site.ask("/", peer="198.51.100.1", accept="text/html", **claims).headers
    assert (headers["x-client"], headers["x-got"]) == ("198.51.100.1", "accept")
    assert site.ask("/", peer="198.51.100.1", x_forwarded_proto="https").headers["x-scheme"] == "http"
    for claimed, scheme in (("https", "https"), ("http", "http"), ("https,http", "http"), ("gopher", "http")):
        assert site.ask("/", peer="10.0.0.7", x_forwarded_proto=claimed).headers["x-scheme"] == scheme
    assert site.ask("/", peer="10.0.0.7", x_forwarded_proto="HTTPS").headers["x-scheme"] == "https"


SET_BY_NGINX = (
    *web.CLIENT, "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
)  # fmt: skip


def test_what_a_trusted_proxy_passes_on_is_no_claim_of_its_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a visitor has sent reaches the app as behind nginx: set, or not at all."""
    monkeypatch.setenv("SITE_URL", "https://blog.example:8443")
    site.install(proxies=("10.0.0.0/24",))
    nginx = yaml.safe_load((ROOT / "roles/nginx/vars/main/main.yml").read_text())
    names = [*nginx["__nginx_claims"], *nginx["__nginx_client_headers"]]
    assert [name for name in names if not web.CLAIMS.fullmatch(name.lower())] == []
    assert sorted(web.CLIENT) == sorted(name.lower() for name in nginx["__nginx_client_headers"])
    claims: dict[str, Any] = {name.lower().replace("-", "_"): "192.0.2.66" for name in names}
    claims |= {"x_forwarded_host": "evil.example", "x_forwarded_port": "1", "x_real_ip": "192.0.2.66"}
    given = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https", "host": "blog.example:99"}
    for sent in ({**claims, **given}, given):
        headers = site.ask("/", peer="10.0.0.7", **sent).headers
        assert headers["x-got"].split() == sorted([*SET_BY_NGINX, "host"])
        assert headers["x-claims"] == json.dumps(
            {
                **dict.fromkeys(web.CLIENT, "203.0.113.9"),
                "x-forwarded-for": "203.0.113.9",
                "x-forwarded-host": "blog.example:8443",
                "x-forwarded-port": "8443",
                "x-forwarded-proto": "https",
                "x-real-ip": "203.0.113.9",
            },
            sort_keys=True,
        )
    # without a word of the proxy's own, it is the visitor itself
    monkeypatch.delenv("SITE_URL")
    site.install(proxies=("10.0.0.0/24",))
    headers = site.ask("/", peer="10.0.0.7", **claims, host="blog.example").headers
    told = json.loads(headers["x-claims"])
    assert (headers["x-client"], headers["x-scheme"]) == ("10.0.0.7", "http")
    assert (told["x-real-ip"], told["x-forwarded-port"]) == ("10.0.0.7", "80")
    assert "192.0.2.66" not in headers["x-claims"]


@pytest.mark.parametrize("path", ["/static/.env", "/static/css/.git/HEAD", "/static/.git/x.css"])
def test_hidden_files_are_not_served(path: str, serving: Site) -> None:
    file = serving.folder / "published" / path.removeprefix("/static/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("secret")
    answer = serving.ask(path)
    assert (answer.status, answer.body) == (404, b"")
    assert not answer.is_apps
    assert serving.ask("/tags/.net/").is_apps


@pytest.fixture
def serving(site: Site) -> Site:
    for folder in ("release/static/css", "published/css"):
        (site.folder / folder / "own.css").write_text(folder)
    (site.folder / "published/css" / HASHED).write_text("a" * 1000)
    (site.folder / "published/css" / f"{HASHED}.gz").write_bytes(b"packed")
    (site.folder / "published/css/plain.css").write_text("plain")
    (site.folder / "secret").write_text("secret")
    site.install(published=str(site.folder / "published"))
    return site


def test_files_of_other_releases(serving: Site) -> None:
    answer = serving.ask(f"/static/css/{HASHED}")
    assert (answer.status, answer.body) == (200, b"a" * 1000)
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["cache-control"] == "max-age=315360000, public, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    packed = serving.ask(f"/static/css/{HASHED}", accept_encoding="gzip")
    assert (packed.headers["content-encoding"], packed.body) == ("gzip", b"packed")
    assert "immutable" not in serving.ask("/static/css/plain.css").headers["cache-control"]
    same = serving.ask(f"/static/css/{HASHED}", if_none_match=answer.headers["etag"])
    assert (same.status, same.body) == (304, b"")
    part = serving.ask(f"/static/css/{HASHED}", range="bytes=0-9")
    assert (part.status, part.body) == (206, b"a" * 10)
    head = serving.ask(f"/static/css/{HASHED}", method="HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "1000", b"")
    assert serving.ask(f"/static/css/{HASHED}", method="POST").status == 405


def test_what_is_published_later_is_found_and_what_is_withdrawn_is_not(serving: Site) -> None:
    path = serving.folder / "published/css/later.css"
    for _round in range(2):
        assert serving.ask("/static/css/later.css").is_apps
        path.write_text("later")
        assert serving.ask("/static/css/later.css").body == b"later"
        path.unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/", "/static/css/own.css", "/static/css/none.css", "/static/css/", "/static/css", "/static/", "/css/plain.css",
        "/static/../secret", "/static/css/../../secret", "/static//css/plain.css",
        "/static/\\..\\secret", "/x/static/css/plain.css",
    ],
)  # fmt: skip
def test_everything_else_is_the_apps(path: str, serving: Site) -> None:
    assert serving.ask(path).is_apps


def test_files_stay_served_while_closed(serving: Site) -> None:
    maintenance = serving.folder / "maintenance"
    serving.install(published=str(serving.folder / "published"), maintenance=str(maintenance))
    (maintenance / "on").touch()
    assert serving.ask(f"/static/css/{HASHED}").body == b"a" * 1000
    assert serving.ask("/static/css/own.css").is_apps
    assert serving.ask("/css/").status == 503


@pytest.mark.parametrize(
    "url", ["static/", "/static/", "https://cdn.example.org/static/", "https://cdn.example.org/static"]
)
def test_addresses_of_static_files(url: str, serving: Site) -> None:
    write_record(serving, static_url=url)
    serving.install(published=str(serving.folder / "published"))
    assert serving.ask(f"/static/css/{HASHED}").status == 200
    assert not serving.ask(f"/static/css/{HASHED}").is_apps


@pytest.mark.parametrize(
    "record", [{"static_root": ""}, {"static_url": "https://cdn.example.org/"}, {"static_url": "/"}]
)
def test_without_static_files_of_its_own(record: dict[str, str], serving: Site) -> None:
    write_record(serving, **record)
    maintenance = serving.folder / "maintenance"
    serving.install(published=str(serving.folder / "published"), maintenance=str(maintenance))
    assert serving.ask(f"/static/css/{HASHED}").is_apps
    (maintenance / "on").touch()
    assert serving.ask("/").status == 503
    assert serving.ask("//").status == 503


def write_record(site: Site, **changes: str) -> None:
    record = {"static_root": str(site.folder / "release/static"), "static_url": "/static/", **changes}
    (site.folder / "release/release.json").write_text(json.dumps(record))


@pytest.mark.parametrize("site", ["asgi"], indirect=True)
def test_other_kinds_of_connections(closed: Site) -> None:
    closed.run({"type": "lifespan"})
    assert closed.sent == [{"type": "lifespan.startup.complete"}]
    scope = {"type": "websocket", "path": "/chat/", "client": ("198.51.100.1", 1), "headers": []}
    closed.run(scope)
    assert closed.sent == [{"type": "websocket.close", "code": 1013}]
    closed.run({**scope, "client": ("203.0.113.9", 1)})
    assert closed.sent == [{"type": "websocket.accept"}]


@pytest.mark.parametrize("site", ["asgi"], indirect=True)
def test_workers_that_keep_an_asgi_app_as_their_wsgi(closed: Site) -> None:
    closed.install(server="asgi", maintenance=str(closed.folder / "maintenance"))
    assert closed.ask("/").status == 503


def test_an_asgi_app_is_known_wherever_a_worker_keeps_it() -> None:
    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            pass

    class Handler:
        def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
            return []

    assert web.takes_asgi(asgi_app)
    assert web.takes_asgi(Application())
    assert not web.takes_asgi(wsgi_app)
    assert not web.takes_asgi(Handler())
