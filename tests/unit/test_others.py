"""What a host has that is not Homeport's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import others
from ansible_collections.homeport.django.plugins.module_utils.host.others import folders, listeners
from ansible_collections.homeport.django.plugins.module_utils.validation.others import objections

from tests.unit.support import resolved

NOTHING: dict[str, Any] = {
    "accounts": {},
    "folders": [],
    "listeners": {},
    "nginx": [],
    "hidden": {},
    "postgres": {},
}


def told(words: tuple[str, ...] = (), setup: str = "typical", fields: Any = None, **found: Any) -> list[str]:
    apps = {"blog": resolved(setup=setup, **(fields or {}))}
    facts = {"domains": {}, "others": {**NOTHING, **found}}
    return objections(apps, ["blog"], facts, words, "web1")


def test_a_bare_host() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("found", "beginning"),
    [
        ({"accounts": {"blog": "/home/blog"}}, "web1 has a user blog with the home /home/blog"),
        ({"folders": ["blog"]}, "web1 has a /srv/blog that is not Homeport's"),
        (
            {"listeners": {"80": ["apache2"]}},
            "port 80 of web1 belongs to apache2, and blog would be served there",
        ),
        (
            {"nginx": ["/etc/nginx/nginx.conf"]},
            "nginx on web1 serves something already (/etc/nginx/nginx.conf)",
        ),
        (
            {"hidden": {"/etc/nginx/conf.d/a.conf": "/home/bob/www"}},
            "nginx on web1 uses /home/bob/www (/etc/nginx/conf.d/a.conf), and Homeport's nginx does not see /home",
        ),
        (
            {"listeners": {"80": []}},
            "port 80 of web1 belongs to another program, and blog would be served there",
        ),
        (
            {"postgres": {"rules": ["host app app 10.0.0.0/8 md5"]}},
            "PostgreSQL on web1 accepts others by 1 rule",
        ),
        (
            {"postgres": {"databases": {"blog": "bob"}}},
            "PostgreSQL on web1 has a database blog already, of bob",
        ),
    ],
)
def test_what_would_be_taken_from_others(found: dict[str, Any], beginning: str) -> None:
    lines = told(**found)
    assert len(lines) == 1
    assert lines[0].startswith(beginning)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({"nginx": ["/etc/nginx/nginx.conf"]}, "nginx"),
        ({"postgres": {"rules": ["host app app 10.0.0.0/8 md5"]}}, "pg_hba"),
        ({"postgres": {"databases": {"blog": "bob"}}}, "database:blog"),
    ],
)
def test_what_the_operator_lets_go(found: dict[str, Any], word: str) -> None:
    assert told((word,), **found) == []
    assert f"-e take_over={word}" in told(**found)[0]
    assert told(("something else",), **found) != []


def test_what_is_somewhere_else_stays() -> None:
    assert (
        told(accounts={"bob": "/home/bob"}, folders=["ftp"], listeners={"443": ["apache2"], "8080": ["java"]})
        == []
    )
    assert told(listeners={"443": ["apache2"]}, fields={"tls": "selfsigned"}) != []
    # what serves apps of Homeport's already
    assert told(listeners={"80": ["gunicorn", "supervisord"]}) == []
    assert told(setup="simple", nginx=["/etc/nginx/nginx.conf"]) == []


def test_folders_that_are_an_apps(tmp_path: Path) -> None:
    for name in ("blog", "left", "else"):
        (tmp_path / "srv" / name).mkdir(parents=True)
    (tmp_path / "srv/link").symlink_to("/etc")
    (tmp_path / "deploys").mkdir()
    (tmp_path / "deploys/left.jsonl").touch()
    homes = str(tmp_path / "srv")
    recorded = [f"{homes}/blog", f"{homes}/blog/releases", f"{homes}/else/home"]
    assert folders(homes, recorded, str(tmp_path / "deploys")) == ["else", "link"]
    assert folders(str(tmp_path / "none"), recorded, str(tmp_path)) == []


def test_who_listens(tmp_path: Path) -> None:
    lines = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1",
        "   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1",
        "   2: 00000000:0051 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 333 1",
        "   3: 00000000:0052 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1",
    ]
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text("\n".join(lines) + "\n")
    for pid, name in (("10", "apache2"), ("11", "apache2"), ("12", "other")):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(f"{name}\n")
        inode = 999 if name == "other" else 111
        os.symlink(f"socket:[{inode}]", tmp_path / pid / "fd" / "3")
    assert listeners(str(tmp_path)) == {"80": ["apache2"], "82": []}


def test_files_of_nginx_that_are_not_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nginx.conf", "sites-available/default", "sites-enabled/own"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "sites-enabled/default").symlink_to(tmp_path / "sites-available/default")
    digest = "9dd4e461268c8034f5c8564e155c67a6"
    packaged = f" {tmp_path}/nginx.conf {digest}\n {tmp_path}/sites-available/default {digest}\n"
    monkeypatch.setattr(others, "answer", lambda _words: packaged)
    assert others.own_nginx(str(tmp_path)) == [f"{tmp_path}/sites-enabled/own"]
    (tmp_path / "nginx.conf").write_text("y")
    assert others.own_nginx(str(tmp_path)) == [f"{tmp_path}/nginx.conf", f"{tmp_path}/sites-enabled/own"]
    assert others.own_nginx(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("rule", "packaged"),
    [
        ("local   all             postgres                                peer", True),
        ("host    all             all             127.0.0.1/32            scram-sha-256", True),
        ("host    replication     all             ::1/128                 md5", True),
        ("host    all             all             0.0.0.0/0               md5", False),
        ("local   all             all                                     trust", False),
        ("local   app             app                                     md5", False),
    ],
)
def test_rules_that_the_packages_come_with(rule: str, packaged: bool) -> None:
    assert bool(others.PACKAGED.fullmatch(rule)) == packaged


def test_what_the_sandbox_of_nginx_hides(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "conf.d/a.conf").write_text(
        "server {\n  location /home/ {\n    alias '/home/bob/www';\n  }\n}\n"
    )
    (tmp_path / "conf.d/b.conf").write_text("proxy_pass http://unix:/run/user/1000/app.sock;\n")
    (tmp_path / "sites-enabled/c").write_text("root /srv/home/x;\nreturn 301 /home/;\n# root /root/x;\n")
    (tmp_path / "sites-enabled/default").write_text("root /home/bob/www;\n")
    (tmp_path / "sites-enabled/broken").symlink_to("/nowhere")
    assert others.hidden_paths(str(tmp_path)) == {
        f"{tmp_path}/conf.d/a.conf": "/home/bob/www",
        f"{tmp_path}/conf.d/b.conf": "/run/user/1000/app.sock",
    }
    lines = {"hidden": {"a": "/home/bob"}}
    apps = {"blog": resolved(setup="typical")}
    facts = {"domains": {}, "others": {**NOTHING, **lines}}
    assert objections(apps, [], facts, (), "web1", nginx_sandbox=False) == []
