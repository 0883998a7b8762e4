"""nginx itself reads the configuration, and gixy finds nothing wrong with it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.homeport.django.plugins.module_utils import wiring

from tests.templates.conftest import LONGEST_DOMAIN, ROOT, Files, Render, resolved, write

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
    files = render("nginx", facts, nginx_app_sites=wiring.nginx_sites(resolved()))
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
    sites = wiring.nginx_sites(resolved())
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
        nginx_app_sites=wiring.nginx_sites(resolved()),
        nginx_http_extra="map $host $mine {\n    default 1;\n}",
    )
    assert "/etc/nginx/sites-enabled/mine.conf" in files
    accepts(put(tmp_path, files))


@functools.cache
def gixy_next() -> Path:
    """The other linter, in an environment of its own that stays as long as its pins do: the two cannot share one."""
    pins = ROOT / "requirements/gixy-next.txt"
    mark = hashlib.sha256(f"{sys.version} {pins.read_text()}".encode()).hexdigest()[:16]
    folder = ROOT / ".cache" / f"gixy-next-{mark}"
    uv = [str(Path(sys.executable).parent / "uv"), "--quiet"]
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "gixy-next.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            for old in (ROOT / ".cache").glob("gixy-next-*"):
                shutil.rmtree(old)
            environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
            install = [
                "pip",
                "install",
                "--python",
                f"{folder}/bin/python",
                "--require-hashes",
                "-r",
                str(pins),
            ]
            for words in (["venv", "--python", sys.executable, str(folder)], install):
                subprocess.run([*uv, *words], check=True, env=environment)
            (folder / "complete").touch()
    return folder / "bin/gixy-next"


def findings(main: str) -> list[str]:
    """What either of two linters has against a configuration."""
    told = []
    for gixy in (Path(sys.executable).parent / "gixy", gixy_next()):
        done = subprocess.run([gixy, "--format", "json", main], capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        told += [
            f"{gixy.name}: {found['severity']} {found['plugin']}: {found['summary']}\n{found['config']}"
            for found in json.loads(done.stdout)
        ]
    return told


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_gixy_finds_nothing(facts: dict[str, Any], render: Render, tmp_path: Path) -> None:
    found = findings(put(tmp_path, render("nginx", facts, nginx_app_sites=wiring.nginx_sites(resolved()))))
    assert found == [], "\n\n".join(found)


def test_gixy_reads_the_sites(render: Render, tmp_path: Path) -> None:
    """Lest it finds nothing because it reads nothing."""
    apps = resolved()
    apps["blog"]["proxy"]["extra"] = "location /x/ {\n    return 302 https://example.org$uri;\n}"
    found = findings(put(tmp_path, render("nginx", nginx_app_sites=wiring.nginx_sites(apps))))
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
    files = render("nginx", nginx_app_sites=wiring.nginx_sites(apps))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main = put(tmp_path, {path: text.replace("/srv/", f"{tmp_path}/srv/") for path, text in files.items()})
    for path in (tmp_path / "etc/nginx").rglob("*.conf"):
        path.write_text(path.read_text().replace("18080", str(port)).replace("user www-data;", ""))
    folder = tmp_path / "srv/blog/maintenance"
    folder.mkdir(parents=True)
    (folder / "page.html").write_text("closed")
    command = [nginx(), "-e", "stderr", "-c", main, "-g", "daemon off; master_process off;"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for _attempt in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        yield folder, port
    finally:
        process.terminate()
        process.communicate()


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


def test_visitors_cannot_say_who_they_are(typical: Files) -> None:
    for name in ("blog", "plain", "shop"):
        assert "proxy_set_header X-Forwarded-For $remote_addr;" in site(typical, name)
        assert "$proxy_add_x_forwarded_for" not in site(typical, name)


def test_unknown_hosts_get_no_answer(typical: Files) -> None:
    assert "return 444;" in typical["/etc/nginx/conf.d/homeport.conf"]
    assert typical["/etc/nginx/sites-enabled/default"] == ""
