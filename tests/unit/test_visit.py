"""Asking for an app's pages as visitors do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import visit as visiting
from ansible_collections.homeport.django.plugins.module_utils.host.sites import who_serves
from ansible_collections.homeport.django.plugins.module_utils.host.visit import problem_of
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import visits

from tests.unit.support import resolved


class Site(BaseHTTPRequestHandler):
    """Serves blog.example only, like a web server that closes the connection to all others."""

    statuses: dict[str, int] = {}
    asked: list[str] = []
    locations: dict[str, str] = {}
    cookies: dict[str, str] = {}

    def do_GET(self) -> None:
        if self.headers["Host"] not in ("blog.example", "www.blog.example"):
            self.close_connection = True
            return
        self.asked.append(f"{self.headers['X-Forwarded-Proto']} {self.path}")
        address = f"{self.headers['Host']}{self.path}"
        location = self.locations.get(address) or self.locations.get(self.path)
        if self.path in self.cookies and self.cookies[self.path] in self.headers.get("Cookie", ""):
            location = None
        self.send_response(301 if location else self.statuses.get(self.path, 200))
        if location:
            self.send_header("Location", location)
        if self.path in self.cookies:
            self.send_header("Set-Cookie", f"{self.cookies[self.path]}; Path=/; HttpOnly")
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(Site, "statuses", {})
    monkeypatch.setattr(Site, "asked", [])
    monkeypatch.setattr(Site, "locations", {})
    monkeypatch.setattr(Site, "cookies", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def visit(
    port: int, url: str = "http://blog.example", pages: dict[str, list[int]] | None = None
) -> dict[str, Any]:
    names = ["blog.example", "www.blog.example"]
    return {"url": url, "port": port, "tls": False, "pages": {"/": [], **(pages or {})}, "names": names}


def test_an_app_that_answers(port: int) -> None:
    assert problem_of(visit(port, pages={"/health/": [204]}), "/srv/blog") == (
        "http://blog.example/health/ answers visitors with status 200"
    )
    Site.statuses["/health/"] = 204
    assert problem_of(visit(port, pages={"/health/": [204]}), "/srv/blog") == ""
    assert Site.asked[-2:] == ["http /", "http /health/"]


@pytest.mark.parametrize(
    ("sites", "told"),
    [
        ({"blog": "blog.example www.blog.example"}, ""),
        ({"blog": "blog.example", "shop": "shop.example"}, ""),
        ({"blog": "blog.example", "shop": "blog.example"}, ""),  # the first that nginx reads answers
        (
            {"album": "album.example blog.example", "blog": "blog.example"},
            "the site album of nginx has this name",
        ),
        (
            {"shop": "blog.example"},
            "blog.example does not lead to blog: the site shop of nginx has this name, too",
        ),
    ],
)
def test_another_app_that_answers_by_the_same_name(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sites: dict[str, str], told: str
) -> None:
    for name, names in sites.items():
        (tmp_path / f"{name}.conf").write_text(f"server {{\n    listen 80;\n    server_name {names};\n}}\n")
    monkeypatch.setattr(visiting, "who_serves", lambda domain, _port: who_serves(domain, 80, str(tmp_path)))
    found = problem_of(visit(port), "/srv/blog")
    assert bool(found) == bool(told)
    assert told in found


@pytest.mark.parametrize(
    ("server", "port", "serves"),
    [
        ("server_name blog.example; location / { proxy_pass http://127.0.0.1:8000; }", 80, True),
        ("server_name blog.example; proxy_pass http://127.0.0.1:8000;", 8000, False),
        ("listen 8443 ssl; server_name blog.example", 443, False),
        ("listen 443 ssl http2; server_name shop.example\n  blog.example", 443, True),
        ("listen [::]:80; listen 443 ssl; server_name 'blog.example'", 443, True),
        ("listen [::1]; server_name blog.example", 80, True),
        ("listen unix:/run/x.sock; server_name blog.example", 80, False),
        ("listen 8000-8010; server_name blog.example", 8001, True),
        ("# server_name blog.example;\n return 200 '} server_name blog.example;'", 80, False),
        ("set $x ${y}z; server_name blog.example", 80, True),
    ],
)
def test_a_site_answers_at_its_own_ports(server: str, port: int, serves: bool, tmp_path: Path) -> None:
    text = f"map $a $b {{ default 1; }}\nserver {{ {server}; }}\nserver {{ listen 81; server_name x; }}\n"
    (tmp_path / "admin.conf").write_text(text)
    assert who_serves("blog.example", port, str(tmp_path)) == ("admin" if serves else "")


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
def test_what_shows_a_working_app(port: int, status: int) -> None:
    Site.statuses["/"] = status
    assert problem_of(visit(port), "/srv/blog") == ""


@pytest.mark.parametrize(
    ("status", "hint"), [(400, "ALLOWED_HOSTS"), (500, "log"), (502, "log"), (503, "log")]
)
def test_what_does_not(port: int, status: int, hint: str, tmp_path: Path) -> None:
    Site.statuses["/"] = status
    told = problem_of(visit(port), str(tmp_path))
    assert f"answers visitors with status {status}" in told
    assert hint in told


def test_an_app_that_was_closed_on_purpose(port: int, tmp_path: Path) -> None:
    Site.statuses["/"] = 503
    (tmp_path / "maintenance").mkdir()
    (tmp_path / "maintenance/on").touch()
    assert problem_of(visit(port), str(tmp_path)) == ""


def test_a_name_that_is_not_served(port: int) -> None:
    told = problem_of(visit(port, "http://shop.example"), "/srv/shop")
    assert told.startswith("http://shop.example/ does not answer visitors: the connection is closed")


def test_a_server_that_does_not_run(port: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as other:
        free = other.server_port
    assert problem_of(visit(free), "/srv/blog").endswith(f"nothing listens on port {free}")


def test_a_server_that_says_nothing(port: int) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as silent:
        told = problem_of(visit(silent.server_port), "/srv/blog", 0.2)
    assert told.endswith("no answer within 0.2 s")


@pytest.mark.parametrize(
    ("setup", "fields", "port", "tls"),
    [
        ("typical", {}, 80, False),
        ("typical", {"tls": "selfsigned"}, 443, True),
        ("simple", {}, 80, False),
        (
            "typical",
            {"tls": "proxy", "proxy": {"trusted_proxies": ["10.0.0.7"], "public_port": 8443}},
            80,
            False,
        ),
    ],
)
def test_where_visitors_meet_it(setup: str, fields: dict[str, Any], port: int, tls: bool) -> None:
    app = resolved(setup=setup, health="/up/", **fields)
    found = visits({"blog": app})["blog"]
    assert (found["port"], found["tls"], found["url"]) == (port, tls, app["site_url"])
    assert list(found["pages"]) == ["/", "/up/"]


# Where a page leads


@pytest.mark.parametrize(
    "locations",
    [
        {"/": "/login/?next=/"},
        {"/": "http://blog.example/login/"},
        {"/": "https://sso.example/start"},
        {"/": "http://blog.example:8000/"},
        {"/": "/en/", "/en/": "/en/start/"},
    ],
)
def test_a_page_may_lead_to_another(locations: dict[str, str], port: int) -> None:
    Site.locations.update(locations)
    assert problem_of(visit(port), "/srv/blog") == ""


@pytest.mark.parametrize(
    "location", ["http://blog.example:None/", "http://blog.example:99999/", "http://[bad/"]
)
def test_a_page_that_leads_to_no_address(location: str, port: int) -> None:
    Site.locations["/"] = location
    assert "http://blog.example/ leads visitors to an invalid address: " in problem_of(
        visit(port), "/srv/blog"
    )


def test_a_page_that_leads_to_a_path_that_is_not_ascii(port: int) -> None:
    Site.locations["/"] = "/a b/caf\u00e9/?q=%C3%A9"
    assert problem_of(visit(port), "/srv/blog") == ""
    assert Site.asked == ["http /", "http /a%20b/caf%E9/?q=%C3%A9"]


def test_https_that_nobody_serves(port: int) -> None:
    Site.locations["/"] = "https://blog.example/"
    found = problem_of(visit(port), "/srv/blog")
    assert found.startswith(
        "http://blog.example/ leads visitors to https://blog.example/, where nothing answers"
    )
    assert "tls" in found
    assert "SECURE_SSL_REDIRECT" in found
    assert problem_of({**visit(port), "trusted": True}, "/srv/blog").count("in a circle") == 1


def test_https_of_a_page_that_is_led_to(port: int) -> None:
    Site.locations.update({"/": "/start/", "/start/": "https://www.blog.example/start/"})
    assert "where nothing answers" in problem_of(visit(port), "/srv/blog")


def test_a_status_that_is_declared_is_not_followed(port: int) -> None:
    Site.locations["/old/"] = "https://blog.example/"
    assert problem_of(visit(port, pages={"/old/": [301]}), "/srv/blog") == ""


def test_a_circle_of_names(port: int) -> None:
    Site.locations.update(
        {"blog.example/": "http://www.blog.example/", "www.blog.example/": "http://blog.example/"}
    )
    found = problem_of(visit(port), "/srv/blog")
    circle = "http://blog.example/ -> http://www.blog.example/ -> http://blog.example/"
    assert f"leads visitors in a circle: {circle}: domains" in found


def test_a_circle_of_one_page_behind_a_proxy(port: int) -> None:
    Site.locations["/"] = "https://blog.example/"
    assert "SECURE_PROXY_SSL_HEADER" in problem_of(visit(port, "https://blog.example"), "/srv/blog")


def test_a_page_that_asks_for_a_cookie(port: int) -> None:
    Site.locations["/"] = "/"
    Site.cookies["/"] = "seen=1"
    assert problem_of(visit(port), "/srv/blog") == ""


@pytest.mark.parametrize(
    ("status", "wrong"), [(200, False), (404, False), (405, False), (400, True), (500, True)]
)
def test_what_the_page_that_is_led_to_answers(status: int, wrong: bool, port: int) -> None:
    Site.locations["/"] = "/login/"
    Site.statuses["/login/"] = status
    assert (f"/login/, which answers with status {status}" in problem_of(visit(port), "/srv/x")) == wrong
