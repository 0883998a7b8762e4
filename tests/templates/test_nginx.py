"""nginx itself reads the configuration, and gixy finds nothing wrong with it."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites

from tests.environments import programs
from tests.templates.conftest import LONGEST_DOMAIN, SECRET, Files, Render, resolved, write

BROTLI = "/usr/share/nginx/modules/ngx_http_brotli_static_module.so"
IPV6 = os.path.exists("/proc/net/if_inet6")


def nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        pytest.fail("this test needs Debian's package nginx, which bin/test installs", pytrace=False)
    return found


def put(folder: Path, files: Files) -> str:
    """Writes the configuration below ``folder``, where anyone may read and listen; returns its main file."""
    moved = {}
    for path, text in files.items():
        if path.startswith("/etc/nginx/"):
            text = re.sub(r"(/etc/nginx|/run/nginx\.pid|/var/log/nginx)", rf"{folder}\1", text)
            text = re.sub(r"listen (\[::\]:)?80\b", r"listen \g<1>18080", text)
            moved[path] = re.sub(r"listen (\[::\]:)?443\b", r"listen \g<1>18443", text)
    write(folder, moved)
    for name in ("var/log/nginx", "run", "etc/nginx/modules-enabled"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if "brotli_static on;" in "".join(moved.values()):
        (folder / "etc/nginx/modules-enabled/brotli.conf").write_text(f"load_module {BROTLI};\n")
    shutil.copy("/etc/nginx/mime.types", folder / "etc/nginx/mime.types")
    return str(folder / "etc/nginx/nginx.conf")


def accepts(main: str) -> str:
    done = subprocess.run(
        [nginx(), "-t", "-e", "stderr", "-c", main], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


FACTS: dict[str, dict[str, Any]] = {"plain": {}}
if os.path.exists(BROTLI):
    FACTS["brotli"] = {"nginx_brotli": True}
if IPV6:
    FACTS["ipv6"] = {"ipv6": True}


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_nginx_reads_it(facts: dict[str, Any], render: Render, tmp_path: Path) -> None:
    files = render("nginx", facts, nginx_app_sites=nginx_sites(resolved()))
    said = accepts(put(tmp_path, files))
    unexpected = [line for line in said.splitlines() if "[warn]" in line and '"user" directive' not in line]
    assert unexpected == []


def secured(folder: Path, render: Render, hsts: int = 31536000, **facts: Any) -> Files:
    """The sites of apps with certificates, of one without, and of a user's own."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=x", "-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem"]
    subprocess.run(command, check=True, capture_output=True)
    sites = nginx_sites(resolved())
    for name in ("blog", "longest-name-that-an-app-can-ha", "shop"):
        sites[name]["tls"] = {"folder": str(folder), "hsts": 31536000}
    tls = {"folder": str(folder), "hsts": hsts}
    own = {"server_names": ["mine.example"], "upstream": "127.0.0.1:8000", "tls": tls}
    return render("nginx", facts, nginx_app_sites=sites, nginx_sites={"mine": own})


def test_nginx_reads_sites_with_certificates(render: Render, tmp_path: Path) -> None:
    main = put(tmp_path, secured(tmp_path, render))
    said = accepts(main)
    unexpected = [line for line in said.splitlines() if "[warn]" in line and '"user" directive' not in line]
    assert unexpected == []
    found = findings(main)
    assert found == [], "\n\n".join(found)


def test_nginx_reads_sites_behind_proxies(render: Render, tmp_path: Path) -> None:
    certified = secured(tmp_path, render)  # for its certificate
    assert "trusted" not in "".join(certified.values())
    proxies = {"trusted_proxies": ["cloudflare", "fastly", "10.0.0.7"]}
    app = {"source": {"package": "x"}, "proxy": proxies, "web": {"server": "asgi"}}
    given = {
        "blog": {**app, "domains": ["blog.example.org", "old.example.org"], "tls": "proxy"},
        "my-shop": {**app, "domains": ["shop.example.org", "b.example.org"]},
        "my_shop": {**app, "domains": ["other.example.org"]},
    }
    sites = nginx_sites(resolve(given, {}, SECRET, "typical"))
    sites["my-shop"]["tls"] = {"folder": str(tmp_path), "hsts": 31536000}
    main = put(tmp_path, render("nginx", nginx_app_sites=sites))
    said = accepts(main)
    assert [line for line in said.splitlines() if "[warn]" in line and '"user" directive' not in line] == []
    found = findings(main)
    assert found == [], "\n\n".join(found)


@pytest.mark.parametrize(
    ("version", "http2", "refusal"),
    [
        ("1.18.0", "listen 443 ssl http2;", "ssl_certificate_key"),
        ("1.24.0", "listen 443 ssl http2;", "ssl_reject_handshake on;"),
        ("1.28.0", "http2 on;", "ssl_reject_handshake on;"),
        ("", "listen 443 ssl http2;", "ssl_certificate_key"),  # in check mode on a bare host
    ],
)
def test_each_nginx_in_its_own_words(
    version: str, http2: str, refusal: str, render: Render, tmp_path: Path
) -> None:
    files = secured(tmp_path, render, nginx=version)
    assert f"    {http2}\n" in site(files, "blog")
    assert refusal in files["/etc/nginx/conf.d/homeport.conf"]
    assert ("http2 on" in site(files, "blog")) == (version == "1.28.0")


def test_what_a_site_over_https_says(render: Render, tmp_path: Path) -> None:
    files = secured(tmp_path, render, hsts=0)
    text = site(files, "blog")
    everywhere = text.count('add_header Strict-Transport-Security "max-age=31536000" always;')
    # the server and each location with headers of its own: they inherit none
    assert everywhere == text.count("add_header Referrer-Policy") == 5
    assert "proxy_hide_header Strict-Transport-Security;" in text
    assert "return 308 https://$host$request_uri;" in text
    assert "root /var/lib/homeport-acme;" in text
    assert "Strict-Transport-Security" not in site(files, "mine")
    assert "443" not in site(files, "plain")
    assert "https" not in site(files, "plain")


def test_without_any_site(render: Render, tmp_path: Path) -> None:
    accepts(put(tmp_path, render("nginx")))


def test_sites_of_the_user_with_the_least_that_they_may_say(render: Render, tmp_path: Path) -> None:
    files = render(
        "nginx",
        nginx_sites={"mine": {"server_names": ["mine.example.org"], "upstream": "127.0.0.1:8000"}},
        nginx_app_sites=nginx_sites(resolved()),
        nginx_http_extra="map $host $mine {\n    default 1;\n}",
    )
    assert "/etc/nginx/sites-enabled/mine.conf" in files
    accepts(put(tmp_path, files))


def findings(main: str) -> list[str]:
    """What either of two linters has against a configuration."""
    told = []
    for gixy in (Path(sys.executable).parent / "gixy", programs("gixy-next") / "gixy-next"):
        done = subprocess.run([gixy, "--format", "json", main], capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        told += [
            f"{gixy.name}: {found['severity']} {found['plugin']}: {found['summary']}\n{found['config']}"
            for found in json.loads(done.stdout)
        ]
    return told


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_gixy_finds_nothing(facts: dict[str, Any], render: Render, tmp_path: Path) -> None:
    found = findings(put(tmp_path, render("nginx", facts, nginx_app_sites=nginx_sites(resolved()))))
    assert found == [], "\n\n".join(found)


def test_gixy_reads_the_sites(render: Render, tmp_path: Path) -> None:
    """Lest it finds nothing because it reads nothing."""
    apps = resolved()
    apps["blog"]["proxy"]["extra"] = "location /x/ {\n    return 302 https://example.org$uri;\n}"
    found = findings(put(tmp_path, render("nginx", nginx_app_sites=nginx_sites(apps))))
    for gixy in ("gixy", "gixy-next"):
        assert any(re.match(rf"{gixy}: \w+ http_splitting", one) for one in found), found


def site(files: Files, name: str) -> str:
    return files[f"/etc/nginx/sites-enabled/{name}.conf"]


def test_domains_redirects_and_aliases(typical: Files) -> None:
    text = site(typical, "blog")
    assert "server_name www.blog.example.org xn--bcher-kva.example;" in text
    assert "return 308 $scheme://blog.example.org$request_uri;" in text
    assert "server_name blog.example.org *.blog.example.org intern;" in text
    assert LONGEST_DOMAIN in site(typical, "longest-name-that-an-app-can-ha")


def test_what_an_app_says_reaches_its_site(typical: Files) -> None:
    text = site(typical, "blog")
    for line in (
        "client_max_body_size 1g;",
        "proxy_read_timeout 300s;",
        "server unix:/run/homeport/blog.sock fail_timeout=0;",
    ):
        assert line in text
    assert 'return 200 "User-agent: *\\nDisallow: /\\n";' in text
    other = site(typical, "longest-name-that-an-app-can-ha")
    assert "location ^~ /a~b/static.v1/ {" in other
    assert "location ^~ /up-loads/ {" in other


def test_no_files_where_there_are_none(typical: Files) -> None:
    aliases = re.findall(r"alias (\S+);", site(typical, "plain"))
    assert aliases == ["/srv/plain/maintenance/page.html"]


def test_a_site_of_the_user_has_no_maintenance(render: Render) -> None:
    files = render(
        "nginx", nginx_sites={"mine": {"server_names": ["mine.example"], "upstream": "127.0.0.1:8000"}}
    )
    assert "maintenance" not in site(files, "mine")
    assert not [path for path in files if "maintenance" in path]


# A health page that nothing but quoting lets through the configuration as it is.
ODD = '/it\'s/"$a"/{b};\\d+/(é)/'


@pytest.fixture
def running(render: Render, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """nginx itself with the sites, before apps that do not run: who is let in gets a 502."""
    apps = resolved()
    apps["blog"]["health"]["path"] = ODD
    # further directives of the test's app would answer in place of it
    apps["blog"]["proxy"]["extra"] = ""
    apps["blog"]["maintenance"]["allow"] = ["127.0.0.2", "10.0.0.0/8"]
    files = render("nginx", nginx_app_sites=nginx_sites(apps))
    with serving(tmp_path, files) as port:
        folder = tmp_path / "srv/blog/maintenance"
        folder.mkdir(parents=True)
        (folder / "page.html").write_text("closed")
        yield folder, port


@contextlib.contextmanager
def serving(tmp_path: Path, files: Files) -> Iterator[int]:
    """nginx itself, on the port that is given back."""
    process, port = started(tmp_path, files)
    try:
        yield port
    finally:
        process.terminate()
        process.communicate()


def started(tmp_path: Path, files: Files) -> tuple[subprocess.Popen[str], int]:
    """nginx on a free port; another one where somebody else takes that before nginx does."""
    said = ""
    for _port in range(10):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        main = put(
            tmp_path, {path: text.replace("/srv/", f"{tmp_path}/srv/") for path, text in files.items()}
        )
        for path in (tmp_path / "etc/nginx").rglob("*.conf"):
            path.write_text(path.read_text().replace("18080", str(port)).replace("user www-data;", ""))
        command = [nginx(), "-e", "stderr", "-c", main, "-g", "daemon off; master_process off;"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for _attempt in range(200):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return process, port
            time.sleep(0.05)
        process.terminate()
        said = process.communicate()[1]
        assert "Address already in use" in said, said
    pytest.fail(said)


def ask(port: int, path: str, client: str = "127.0.0.1", method: str = "GET", **options: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(client, 0))
    with contextlib.closing(connection):
        headers = {"Host": "blog.example.org", **options.pop("headers", {})}
        connection.request(method, path, headers=headers, **options)
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"], answer.read()


def test_a_file_closes_a_site_and_opens_it_at_once(running: tuple[Path, int]) -> None:
    folder, port = running
    closed = (503, "300", b"closed")
    for _round in range(2):
        assert ask(port, "/")[0] == 502
        (folder / "on").touch()
        for path in (
            "/",
            "/media/x",
            "/health/",
            "/.git/config",
            "/static",
            f"/x{quote(ODD)}",
            "/static/../albums/",
        ):
            assert ask(port, path) == closed, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(port, "/", method=method, body=b"x" * 50_000) == closed, method
        assert ask(port, "/", method="HEAD") == (503, "300", b"")
        # nobody opens a door by asking for the page, or by saying who they are
        assert ask(port, "/homeport-maintenance.html")[0] == 404
        assert ask(port, "/", headers={"X-Forwarded-For": "127.0.0.2"}) == closed
        for path in (quote(ODD), f"{quote(ODD)}?full=1"):
            assert ask(port, path)[0] == 502, path
        assert ask(port, "/static/none.css")[0] == 404
        assert ask(port, "/.well-known/acme-challenge/token")[0] == 502
        assert ask(port, "/", client="127.0.0.2")[0] == 502
        assert ask(port, "/", client="127.0.0.3") == closed
        # another site is another site's business
        assert ask(port, "/", headers={"Host": "shop.example.org"})[0] == 502
        (folder / "on").unlink()


class Echo(http.server.BaseHTTPRequestHandler):
    """An app that answers with the headers it got, and with a header as large as the visitor wants."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            time.sleep(2)
            self.wfile.write(b"awake")
            self.close_connection = True
            return
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if "/large/" in self.path:
            self.send_header("X-Large", "x" * int(self.path.rpartition("/")[2]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def before_echo(
    render: Render, tmp_path: Path
) -> Iterator[Callable[..., contextlib.AbstractContextManager[int]]]:
    """nginx before an app that answers with its request's headers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def begin(**fields: Any) -> contextlib.AbstractContextManager[int]:
        app = {"domains": ["blog.example.org", "old.example.org"], "source": {"git": "https://x.example/x"}}
        apps = resolve({"blog": {**app, **fields}}, {}, SECRET, "typical")
        sites = nginx_sites(apps)
        sites["blog"]["upstream"] = f"127.0.0.1:{server.server_port}"
        return serving(tmp_path, render("nginx", nginx_app_sites=sites))

    yield begin
    server.shutdown()
    server.server_close()


def got(port: int, client: str, **headers: str) -> dict[str, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _retry, body = ask(port, "/", client, headers=names)
    assert status == 200, (status, body)
    found: dict[str, str] = json.loads(body)
    return found


CLAIMS = {
    "X_Forwarded_For": "203.0.113.9, 127.0.0.4",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Port": "666",
    "X_Forwarded_Ssl": "on",
    "X_Forwarded_Protocol": "ssl",
    "Forwarded": "for=203.0.113.9;proto=https",
    "X_Real_IP": "203.0.113.9",
    "CF_Connecting_IP": "203.0.113.9",
    "Host": "blog.example.org:666",
}


def test_what_a_trusted_proxy_says_counts(before_echo: Any) -> None:
    proxies = {"trusted_proxies": ["127.0.0.2", "127.0.0.4/31"], "public_port": 8443}
    with before_echo(tls="proxy", proxy=proxies) as port:
        found = got(port, "127.0.0.2", **CLAIMS)
        forwarded = {name: value for name, value in found.items() if name.startswith("x-forwarded")}
        assert forwarded == {
            "x-forwarded-for": "203.0.113.9",
            "x-forwarded-host": "blog.example.org:8443",
            "x-forwarded-port": "8443",
            "x-forwarded-proto": "https",
        }
        assert (found["x-real-ip"], found["host"]) == ("203.0.113.9", "blog.example.org:8443")
        assert found["cf-connecting-ip"] == "203.0.113.9"
        assert "forwarded" not in found
        # what the visitor has put before the proxy's own word
        chain = {**CLAIMS, "X_Forwarded_For": "192.0.2.1, 203.0.113.9, 127.0.0.5"}
        assert got(port, "127.0.0.2", **chain)["x-forwarded-for"] == "203.0.113.9"


@pytest.mark.parametrize("claimed", ["https", "http"])
def test_without_https_at_the_proxy_there_is_a_redirect(claimed: str, before_echo: Any) -> None:
    with before_echo(tls="proxy", proxy={"trusted_proxies": ["127.0.0.2"]}) as port:
        for client in ("127.0.0.3", "127.0.0.2") if claimed == "http" else ("127.0.0.3",):
            assert redirect(port, client, "blog.example.org", claimed) == "https://blog.example.org/x?y=1"
            assert redirect(port, client, "old.example.org", claimed) == "https://blog.example.org/x?y=1"


def test_the_host_itself_is_answered_as_visitors_are(before_echo: Any) -> None:
    """By the app, and not by a redirect, which would be the same with a dead one."""
    with before_echo(tls="proxy", proxy={"trusted_proxies": ["127.0.0.2"]}) as port:
        found = got(port, "127.0.0.1", **CLAIMS)
        assert found["x-forwarded-proto"] == "https"
        assert found["x-forwarded-for"] == "127.0.0.1"


def redirect(port: int, client: str, host: str, scheme: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(client, 0))
    with contextlib.closing(connection):
        connection.request("GET", "/x?y=1", headers={"Host": host, "X-Forwarded-Proto": scheme})
        answer = connection.getresponse()
        assert answer.status == 308
        return answer.headers["Location"]


@pytest.mark.parametrize("proxies", [[], ["127.0.0.2"]])
def test_what_anybody_else_claims_does_not_count(proxies: list[str], before_echo: Any) -> None:
    with before_echo(proxy={"trusted_proxies": proxies}) as port:
        found = got(port, "127.0.0.3", **CLAIMS)
        told = {
            name: value for name, value in found.items() if "ip" in name.split("-") or "forwarded" in name
        }
        assert told == {
            "x-real-ip": "127.0.0.3",
            **(dict.fromkeys(NAMES_OF_NETWORKS, "127.0.0.3") if proxies else {}),
            "x-forwarded-for": "127.0.0.3",
            "x-forwarded-host": "blog.example.org",
            "x-forwarded-port": "80",
            "x-forwarded-proto": "http",
        }
        assert found["host"] == "blog.example.org"


NAMES_OF_NETWORKS = (
    "cf-connecting-ip",
    "fastly-client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
)


def test_connections_are_counted_by_the_visitor(before_echo: Any, tmp_path: Path) -> None:
    with before_echo(proxy={"trusted_proxies": ["127.0.0.2"]}) as port:
        got(port, "127.0.0.2", X_Forwarded_For="203.0.113.9")
        for _attempt in range(100):
            logged = (tmp_path / "var/log/nginx/blog.access.log").read_text()
            if logged:
                break
            time.sleep(0.05)
        assert json.loads(logged)["client"] == "203.0.113.9"


@pytest.mark.parametrize("size", [3000, 30_000])
def test_large_headers_of_an_app_reach_the_visitor(size: int, before_echo: Any) -> None:
    with before_echo() as port:
        assert ask(port, f"/large/{size}")[0] == 200


def test_hidden_names_are_the_apps_and_hidden_files_nobodys(before_echo: Any, tmp_path: Path) -> None:
    static = tmp_path / "srv/blog/static"
    (static / ".well-known").mkdir(parents=True)
    for name in (".env", "plain.css", ".well-known/x"):
        (static / name).write_text("file")
    with before_echo() as port:
        for path in ("/tags/.net/", "/.well-known/x", "/.env"):
            assert ask(port, path)[0] == 200, path
        for path, status in (("plain.css", 200), (".well-known/x", 200), (".env", 404), ("css/.git/x", 404)):
            assert ask(port, f"/static/{path}")[0] == status, path


@pytest.mark.parametrize(("cdn", "allowed"), [({"cdn": "https://cdn.example.org"}, "*"), ({}, None)])
def test_fonts_are_for_pages_that_load_them_from_a_cdn(
    cdn: dict[str, str], allowed: str | None, before_echo: Any, tmp_path: Path
) -> None:
    static = tmp_path / "srv/blog/static"
    static.mkdir(parents=True)
    (static / "a.woff2").write_text("font")
    with before_echo(static=cdn) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/static/a.woff2", headers={"Host": "blog.example.org"})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"font")
            assert answer.headers["Access-Control-Allow-Origin"] == allowed
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("seconds", "lives"), [(5, True), (1, False)])
def test_idle_websockets_live_as_long_as_they_may(seconds: int, lives: bool, before_echo: Any) -> None:
    proxy = {"timeout": 1, "websocket_timeout": seconds}
    with (
        before_echo(web={"server": "asgi"}, proxy=proxy) as port,
        socket.create_connection(("127.0.0.1", port)) as tcp,
    ):
        tcp.settimeout(10)
        tcp.sendall(
            b"GET /chat/ HTTP/1.1\r\nHost: blog.example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        said = b"".join(iter(lambda: tcp.recv(1000), b""))
        assert said.startswith(b"HTTP/1.1 101 ")
        assert said.endswith(b"awake") is lives


def test_visitors_cannot_say_who_they_are(typical: Files) -> None:
    for name in ("blog", "plain", "shop"):
        assert "proxy_set_header X-Forwarded-For $remote_addr;" in site(typical, name)
        assert "$proxy_add_x_forwarded_for" not in site(typical, name)


def test_unknown_hosts_get_no_answer(typical: Files) -> None:
    assert "return 444;" in typical["/etc/nginx/conf.d/homeport.conf"]
    assert typical["/etc/nginx/sites-enabled/default"] == ""
