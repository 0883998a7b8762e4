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
    "commands": [],
    "listeners": {},
    "local": [],
    "units": {},
    "nginx": [],
    "hidden": {},
    "sites": [],
    "programs": {},
    "services": [],
    "postgres": {},
}
HERE: dict[str, Any] = {
    "engines": ["redis"],
    "rules": [{"port": 22, "protocol": "tcp"}, {"port": 80}, {"port": 443}],
    "nginx_sandbox": True,
    "supervisord_sandbox": True,
}
BLOG = {"blog": [{"name": "blog", "owner": "blog"}]}


def told(
    words: tuple[str, ...] = (),
    setup: str = "typical",
    fields: Any = None,
    facts: Any = None,
    here: Any = None,
    **found: Any,
) -> list[str]:
    apps = {"blog": resolved(setup=setup, **(fields or {}))}
    known = {"domains": {}, "sets": [], "parts": {}, "others": {**NOTHING, **found}, **(facts or {})}
    return objections(apps, BLOG, known, words, "web1", {**HERE, **(here or {})})


def database(owner: str = "bob", public: bool = True, new: bool = False) -> dict[str, Any]:
    return {"owner": owner, "public": public, "new": new}


def role(*databases: str, **fields: bool) -> dict[str, Any]:
    return {"super": False, "password": False, "member": False, "in": list(databases), **fields}


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
            {"postgres": {"databases": {"blog": database()}, "ours": True}},
            "PostgreSQL on web1 has a database blog already, of bob",
        ),
        (
            {"listeners": {"80": ["varnishd"]}, "local": ["80"], "units": {"varnishd": "varnish.service"}},
            "port 80 of web1 belongs to varnishd, and blog would be served there: stop it for good (systemctl disable "
            "--now varnish.service)",
        ),
        (
            {"listeners": {"80": ["docker-proxy"]}, "units": {"docker-proxy": "docker.service"}},
            "port 80 of web1 belongs to docker-proxy, and blog would be served there: publish another port",
        ),
        (
            {"listeners": {"3000": ["node"], "25": [], "8080": ["java"]}, "local": ["8080"]},
            "programs of web1 listen on ports that Homeport's firewall closes: 25 (of the kernel), 3000 (node).",
        ),
        ({"services": ["memcached", "redis"]}, "Redis runs on web1 already (redis-server.service)"),
        (
            {"programs": {"/etc/supervisor/conf.d/bot.conf": ""}},
            "supervisord on web1 runs programs of others (/etc/supervisor/conf.d/bot.conf)",
        ),
        ({"commands": ["/usr/local/bin/uv"]}, "web1 has a /usr/local/bin/uv that is not Homeport's"),
        ({"sites": ["blog", "shop"]}, "web1 has a site /etc/nginx/sites-enabled/blog.conf that is not"),
        (
            {"postgres": {"roles": {"blog": role("blog", "blog_production")}}},
            "PostgreSQL on web1 has a role blog already, which uses the database blog_production",
        ),
        (
            {"postgres": {"roles": {"blog": role(super=True)}}},
            "PostgreSQL on web1 has a role blog already, which is a superuser: give the app another name",
        ),
        ({"postgres": {"roles": {"blog": role(member=True)}}}, "PostgreSQL on web1 has a role blog already"),
        (
            {"postgres": {"roles": {"blog": role(password=True)}}},
            "PostgreSQL on web1 has a role blog already",
        ),
        (
            {"postgres": {"databases": {"shop": database()}, "ours": False}},
            "PostgreSQL on web1 has databases of others (shop)",
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
        ({"postgres": {"databases": {"blog": database()}, "ours": True}}, "database:blog"),
        ({"postgres": {"roles": {"blog": role("shop")}}}, "role:blog"),
        ({"postgres": {"databases": {"shop": database()}, "ours": False}}, "postgres"),
        ({"services": ["redis"]}, "redis"),
        ({"programs": {"/etc/supervisor/conf.d/bot.conf": ""}}, "supervisord"),
        ({"commands": ["/usr/local/bin/uv"]}, "commands"),
        ({"listeners": {"3000": ["node"]}}, "ports"),
    ],
)
def test_what_the_operator_lets_go(found: dict[str, Any], word: str) -> None:
    assert told((word,), **found) == []
    assert f"-e take_over={word}" in told(**found)[0]
    assert told(("something else",), **found) != []


def test_what_is_somewhere_else_stays() -> None:
    elsewhere: dict[str, Any] = {"listeners": {"443": ["apache2"], "8080": ["java"]}, "local": ["8080"]}
    assert told(accounts={"bob": "/home/bob"}, folders=["ftp"], sites=["shop"], **elsewhere) == []
    assert told(listeners={"443": ["apache2"]}, fields={"tls": "selfsigned"}) != []
    # what serves apps of Homeport's already
    assert told(listeners={"80": ["gunicorn", "supervisord"]}) == []
    assert told(setup="simple", nginx=["/etc/nginx/nginx.conf"], sites=["blog"]) == []


@pytest.mark.parametrize(
    "found",
    [
        # a fresh server: sshd, name resolution, a mail server of its own, Docker
        {
            "listeners": {
                "22": ["sshd", "systemd"],
                "25": ["exim4"],
                "53": ["systemd-resolve"],
                "111": ["rpcbind", "systemd"],
                "5355": ["systemd-resolve"],
                "9000": ["docker-proxy"],
                "41234": ["tailscaled"],
            },
            "local": ["25", "53"],
        },
        # a first run that was interrupted: packages are there, a role has no database yet, a database no owner
        {"listeners": {"80": ["nginx"], "5432": ["postgres"]}, "local": ["5432"]},
        {"postgres": {"roles": {"blog": role()}, "ours": True}},
        {"postgres": {"databases": {"blog": database("postgres", new=True)}, "roles": {"blog": role()}}},
        # one that was interrupted later, and an app that was not declared for a while
        {
            "postgres": {
                "databases": {"blog": database("blog", public=False), "old": database("blog", public=False)},
                "roles": {"blog": role("blog", "old", password=True)},
                "ours": True,
            }
        },
    ],
)
def test_what_is_no_reason_to_stop(found: dict[str, Any]) -> None:
    assert told(**found) == []


def test_an_app_that_has_its_database() -> None:
    facts: dict[str, Any] = {"parts": {"postgres_databases.postgres": {"blog": {}}}}
    opened = {"databases": {"blog": database("blog")}, "roles": {"blog": role("blog", "shop")}, "ours": True}
    assert told(facts=facts, postgres=opened) == []
    assert len(told(postgres=opened)) == 2
    # it has none of this name yet
    assert len(told(facts=facts, postgres={"databases": {"blog": database("postgres")}, "ours": True})) == 1


def test_what_a_firewall_closes() -> None:
    found: dict[str, Any] = {"listeners": {"3000": ["node"], "4369": ["epmd"]}}
    for rule in ({"port": [2999, 3000]}, {"port": "2000-4000"}):
        assert "4369 (epmd)" in told(here={"rules": [rule]}, **found)[0]
        assert "3000" not in told(here={"rules": [rule]}, **found)[0]
        assert told(here={"rules": [rule], "engines": ["rabbitmq"]}, **found) == []
    assert "3000 (node)" in told(here={"rules": [{"port": 3000, "protocol": "udp"}]}, **found)[0]
    assert told(here={"rules": None}, **found) == []
    assert told(facts={"sets": ["firewall"]}, **found) == []


def test_programs_that_the_sandbox_of_supervisord_hides(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/bot.conf").write_text(
        "[program:bot]\n; directory=/root\ncommand=/opt/run --x /home/bob/x\n"
    )
    (tmp_path / "conf.d/other.conf").write_text("[program:other]\ncommand=/srv/home/x\n")
    (tmp_path / "supervisord.conf").write_text("[supervisord]\n[include]\nfiles = conf.d/*.conf\n")
    programs = others.own_programs(str(tmp_path))
    assert programs == {
        f"{tmp_path}/conf.d/bot.conf": "/home/bob/x",
        f"{tmp_path}/conf.d/other.conf": "",
    }
    assert len(told(programs=programs)) == 2
    assert len(told(programs=programs, here={"supervisord_sandbox": False})) == 1
    (tmp_path / "supervisord.conf").write_text("[supervisord]\n[program:bot]\ncommand=/home/bot/run\n")
    assert others.own_programs(str(tmp_path))[f"{tmp_path}/supervisord.conf"] == "/home/bot/run"


def test_services_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {
        "redis-server.service": {"UnitFileState": "enabled", "ActiveState": "active"},
        "valkey-server.service": {"UnitFileState": "masked", "ActiveState": "inactive"},
        "memcached.service": {"UnitFileState": "disabled", "ActiveState": "inactive"},
        "rabbitmq-server.service": {"UnitFileState": "enabled", "ActiveState": "active"},
    }
    monkeypatch.setattr(others, "unit_states", lambda names: {name: states[name] for name in names})
    monkeypatch.setattr(others, "answer", lambda _words: "{1,1,0}\n")
    assert others.services(set(), str(tmp_path)) == []  # none is installed
    for unit in states:
        (tmp_path / unit).touch()
    assert others.services(set(), str(tmp_path)) == ["redis"]
    monkeypatch.setattr(others, "answer", lambda _words: "{2,1,0}\n")
    assert others.services(set(), str(tmp_path)) == ["redis", "rabbitmq"]
    assert others.services({"redis", "rabbitmq"}, str(tmp_path)) == []


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
        "   4: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1",
    ]
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text("\n".join(lines) + "\n")
    for pid, name in (("10", "apache2"), ("11", "apache2"), ("12", "other")):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(f"{name}\n")
        inode = 999 if name == "other" else 111
        (tmp_path / pid / "cgroup").write_text("2:cpu:/\n1:name=systemd:/system.slice/apache2.service\n")
        os.symlink(f"socket:[{inode}]", tmp_path / pid / "fd" / "3")
    v6 = "   0: {}:{} 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 {} 1"
    loopback, everywhere = "00000000000000000000000001000000", "0" * 32
    (tmp_path / "net/tcp6").write_text(
        "\n".join([lines[0], v6.format(loopback, "0019", 666), v6.format(everywhere, "0035", 777)]) + "\n"
    )
    assert listeners(str(tmp_path)) == {
        "listeners": {"80": ["apache2"], "5432": [], "82": [], "53": [], "25": []},
        "local": ["25", "5432"],
        "units": {"apache2": "apache2.service"},
    }


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        ("0::/system.slice/varnish.service\n", "varnish.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", ""),
        ("0::/init.scope\n", ""),
        ("", ""),
    ],
)
def test_which_unit_a_program_is_of(groups: str, unit: str) -> None:
    assert others.unit_of(groups) == unit


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
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/old.conf").write_text("gzip on;")
    (tmp_path / "conf.d/left.conf.disabled").write_text("gzip on;")
    assert others.own_nginx(str(tmp_path)) == [
        f"{tmp_path}/nginx.conf",
        f"{tmp_path}/conf.d/old.conf",
        f"{tmp_path}/sites-enabled/own",
    ]
    for name in ("blog.conf", "shop.conf"):
        (tmp_path / "sites-enabled" / name).write_text("x")
    assert others.own_sites([f"{tmp_path}/sites-enabled/shop.conf"], str(tmp_path)) == ["blog"]
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
    assert told(hidden={"a": "/home/bob"}, here={"nginx_sandbox": False}) == []
