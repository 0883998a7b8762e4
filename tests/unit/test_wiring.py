# ruff: noqa: E501
import ast
import json
import os
import random
import re
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter import apps as apps_filters
from ansible_collections.homeport.django.plugins.filter import backup as backup_filters
from ansible_collections.homeport.django.plugins.filter import host as host_filters
from ansible_collections.homeport.django.plugins.filter import instances as instances_filters
from ansible_collections.homeport.django.plugins.filter import parts as parts_filters
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.names import nginx_name
from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout
from ansible_collections.homeport.django.plugins.module_utils.wiring.certificates import (
    certificate_keys,
    certificate_sites,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import (
    app_accounts,
    app_files,
    limits,
    maintenance_files,
    schedule_units,
    shell_exports,
    system_packages,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import (
    gunicorn_apps,
    python_literal,
    scalar,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_clients,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.python import python_versions
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import (
    release_secrets,
    release_specs,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import chosen_apps, host_address
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs
from ansible_collections.homeport.django.plugins.module_utils.wiring.whitenoise import whitenoise_apps

from tests.unit.support import CANARY, KEY, SECRET, app

ROOT = Path(__file__).parents[2]
APPS = {
    "blog": app(
        domains=["blog.example.org", "www.blog.example.org"],
        aliases=["*.blog.example.org"],
        processes={"queue": {"command": "manage.py qcluster", "count": 2, "stop_timeout": 90}, "off": {"command": "x", "count": 0}},
        schedules={"digest": {"command": "manage.py digest", "calendar": "daily", "timeout": 60}},
        files={"config/local.ini": "a=1\n", "t.json": {"template": "t.json.j2"}, "u.json": {"template": "/abs/u.j2"}},
        system_packages=["libjpeg62-turbo"],
        python="3.12",
    ),
    "shop": app(
        domains=["shop.example.org"],
        source={"path": "../shop"},
        overlay=True,
        overlay_settings={"A": "1", "B": "'x'"},
        database="sqlite",
        static="whitenoise",
        media="none",
        web={"server": "asgi", "gunicorn": {"workers": 3, "preload_app": True, "log_level": "warning"}},
    ),
}  # fmt: skip
VAULT = {"blog": {"env": {"KEY": CANARY}, "deploy_key": KEY, "database_password": CANARY * 2}}


@pytest.fixture
def apps() -> dict[str, Any]:
    return resolve(APPS, VAULT, SECRET, "typical", {"cores": 2, "memory_mb": 2000})


@pytest.fixture
def simple() -> dict[str, Any]:
    return resolve({"blog": app()}, {}, SECRET, "simple")


FILTER = re.compile(r"""(?:\||\b(?:map|select|reject)\(\s*['"])\s*homeport\.django\.(\w+)""")


def test_roles_and_playbooks_use_the_filters_that_there_are() -> None:
    used = {
        name
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".yml", ".j2")
        for name in FILTER.findall(path.read_text())
    }
    plugins = (apps_filters, backup_filters, host_filters, instances_filters, parts_filters)
    assert used == {name for plugin in plugins for name in plugin.FilterModule().filters()}


def test_postgres_databases(apps: dict[str, Any]) -> None:
    blog = {"name": "blog", "owner": "blog", "connection_limit": 100}
    assert postgres_databases(apps) == [{**blog, "logins": [], "extensions": []}]
    remote = resolve(APPS, VAULT, SECRET, "typical", {"database_host": "remote"})
    login = {"name": remote["blog"]["database"]["user"], "password": CANARY * 2}
    assert postgres_databases(remote) == [{**blog, "logins": [login], "extensions": []}]


def test_a_database_that_exists_already_is_not_created() -> None:
    found = resolve({"blog": app(database={"url": "postgres://h/n"})}, {}, SECRET, "typical")
    assert postgres_databases(found) == []


def test_postgres_clients(apps: dict[str, Any]) -> None:
    addresses = ["10.0.0.1", "10.0.0.2"]
    assert postgres_clients(apps, addresses) == []  # it comes from the same host
    remote = resolve(APPS, VAULT, SECRET, "typical", {"database_host": "remote"}, ["y" * 32])
    assert postgres_clients(remote, []) == []
    users = [login["name"] for login in remote["blog"]["database"]["logins"]]
    assert postgres_clients(remote, addresses) == [
        {"database": "blog", "user": user, "address": address} for user in users for address in addresses
    ]


def differences(told: Any, fields: dict[str, Any], setup: str = "typical") -> dict[str, Any]:
    """What a role is told of the app with ``fields`` that it is not told of the app without them, by dotted names."""

    def flat(value: Any, name: str = "") -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            return {name: value}
        return {
            key: found
            for part, entry in value.items()
            for key, found in flat(entry, f"{name}.{part}").items()
        }

    host = {"cores": 2, "memory_mb": 2000}
    before, after = (
        flat(told(resolve({"blog": definition}, {}, SECRET, setup, host))["blog"])
        for definition in (app(), app(**fields))
    )
    keys = sorted(before.keys() | after.keys())
    return {key[1:]: after.get(key) for key in keys if before.get(key, ...) != after.get(key, ...)}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, {}),
        # what is no matter of gunicorn's must not make it a new release
        ({"domains": ["other.example.org"], "proxy": {"timeout": 300}, "media": "none", "database": "sqlite"}, {}),
        ({"web": {"workers": 5, "threads": 1}}, {"settings.workers": 5, "settings.threads": 1}),
        ({"web": {"max_requests": 1000}}, {"settings.max_requests": 1000, "settings.max_requests_jitter": 100}),
        ({"web": {"timeout": 90, "graceful_timeout": 80}}, {"settings.timeout": 90, "settings.graceful_timeout": 80}),
        ({"web": {"server": "asgi"}}, {"server": "asgi", "settings.worker_class": "asgi"}),
        # the app's own settings of gunicorn win, and are of the type that gunicorn wants
        ({"web": {"gunicorn": {"preload_app": True, "backlog": 64}}}, {"settings.preload_app": True, "settings.backlog": 64}),
        ({"web": {"gunicorn": {"accesslog": "-"}}}, {"settings.accesslog": "-"}),
        ({"static": "whitenoise"}, {"published": "/srv/blog/static"}),
    ],
)  # fmt: skip
def test_gunicorn_is_told_what_the_app_says_of_it(fields: dict[str, Any], found: dict[str, Any]) -> None:
    assert differences(gunicorn_apps, fields) == found


def test_what_gunicorn_does_where_no_nginx_does(apps: dict[str, Any], simple: dict[str, Any]) -> None:
    blog, shop = gunicorn_apps(simple)["blog"], gunicorn_apps(apps)["shop"]
    assert (blog["published"], blog["maintenance"]) == ("/srv/blog/static", "/srv/blog/maintenance")
    assert (shop["published"], shop["maintenance"], shop["server"]) == ("/srv/shop/static", "", "asgi")
    none = resolve({"blog": app(static="none")}, {}, SECRET, "simple")
    assert gunicorn_apps(none)["blog"]["published"] == ""


def test_without_a_proxy_gunicorn_believes_nobody_and_logs(simple: dict[str, Any]) -> None:
    settings = gunicorn_apps(simple)["blog"]["settings"]
    assert settings["forwarded_allow_ips"] == "127.0.0.1"
    assert settings["accesslog"] == "-"


@pytest.mark.parametrize(
    ("text", "value"),
    [("True", True), ("None", None), ("12", 12), ("0.5", 0.5), ("a b", "a b"), ("", ""), ("nan", "nan"), ("inf", "inf"), ("1_000", "1_000")],
)  # fmt: skip
def test_scalar(text: str, value: Any) -> None:
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "value", [1, 0.5, True, None, 'it\'s "quoted"\n\\', [], ["a", 1, [None]], "{{ x }}", "日本"]
)
def test_python_literal(value: Any) -> None:
    assert ast.literal_eval(python_literal(value)) == value


def test_whitenoise_apps(apps: dict[str, Any]) -> None:
    assert whitenoise_apps(apps) == {"shop": {"directory": "/srv/shop/config/overlay.d", "group": "shop"}}


def test_supervisord_programs(apps: dict[str, Any]) -> None:
    programs = supervisord_programs(apps)
    assert set(programs) == {"blog.web", "blog.queue", "shop.web"}
    web = programs["blog.web"]
    assert web["section"] == "fcgi-program"
    assert web["socket"] == "unix:///run/homeport/blog.sock"
    assert web["numprocs"] == 2
    assert (web["socket_owner"], web["socket_mode"]) == ("blog:www-data", "0660")
    assert web["user"] == "blog"
    queue = programs["blog.queue"]
    assert (queue["numprocs"], queue["stopsignal"], queue["stopwaitsecs"]) == (2, "TERM", 90)
    assert queue["command"] == "/usr/local/lib/homeport/process blog queue"


def test_a_tcp_socket_has_no_owner(simple: dict[str, Any]) -> None:
    web = supervisord_programs(simple)["blog.web"]
    assert web["socket"] == "tcp://0.0.0.0:80"
    assert "socket_owner" not in web


def test_settings_do_not_restart_the_app() -> None:
    """What may change often must not change supervisord's configuration, which would restart the whole group."""
    one = resolve({"blog": app()}, {}, SECRET, "typical")
    other = resolve(
        {
            "blog": app(
                env={"A": "1"}, web={"workers": 7, "timeout": 99, "graceful_timeout": 60}, processes={}
            )
        },
        {},
        SECRET[::-1],
        "typical",
    )
    assert supervisord_programs(one) == supervisord_programs(other)


def test_supervisord_waits_longer_than_gunicorn() -> None:
    highest = app(web={"graceful_timeout": 80})
    found = resolve({"blog": highest}, {}, SECRET, "typical")
    assert supervisord_programs(found)["blog.web"]["stopwaitsecs"] > found["blog"]["web"]["graceful_timeout"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, {}),
        # nginx is not reloaded for what is none of its business
        ({"env": {"A": "1"}, "web": {"workers": 5}, "database": "sqlite", "keep_releases": 9}, {}),
        ({"domains": ["blog.example.org", "www.blog.example.org"]}, {"redirects": ["www.blog.example.org"]}),
        ({"aliases": ["*.blog.example.org"]}, {"server_names": ["blog.example.org", "*.blog.example.org"]}),
        ({"media": "none"}, {"media": {}, "media.root": None, "media.url": None}),
        ({"static": "whitenoise"}, {"static": {}, "static.root": None, "static.url": None, "static.cross_origin": None}),
        (
            {"static": "none"},
            {"static": {}, "static.root": None, "static.url": None, "static.cross_origin": None, "maintenance.below": []},
        ),
        ({"proxy": {"upload_limit": "1g", "timeout": 300}}, {"upload_limit": "1g", "timeout": 300}),
        ({"proxy": {"extra": "gzip off;"}}, {"extra": "gzip off;"}),
    ],
)  # fmt: skip
def test_nginx_is_told_what_the_app_says_of_its_site(fields: dict[str, Any], found: dict[str, Any]) -> None:
    assert differences(nginx_sites, fields) == found


def test_nginx_asks_the_socket_that_supervisord_holds(apps: dict[str, Any]) -> None:
    programs = supervisord_programs(apps)
    for name, site in nginx_sites(apps).items():
        assert f"{site['upstream']}".replace("unix:", "unix://") == programs[f"{name}.web"]["socket"]


def test_release_specs_hold_no_secret(apps: dict[str, Any]) -> None:
    specs = release_specs(apps)
    assert [spec["name"] for spec in specs] == ["blog", "shop"]
    assert CANARY not in str(specs)
    blog = specs[0]
    assert blog["stop_timeout"] == 90
    assert blog["file_paths"] == ["config/local.ini", "t.json", "u.json"]
    assert blog["site_url"] == "http://blog.example.org"
    assert specs[1]["stop_timeout"] == 10


def test_release_secrets(apps: dict[str, Any]) -> None:
    assert release_secrets(apps) == {"blog": {"deploy_key": KEY}}


def test_what_a_release_adds_to_its_environment_may_be_secret(tmp_path: Path) -> None:
    env = {"BOTH": {"format": "{KEY} {RELEASE}"}, "STATIC_ROOT": {"format": "{KEY}{RELEASE}"}}
    found = resolve({"blog": app(env=env)}, VAULT, SECRET, "typical")
    (spec,) = release_specs(found)
    assert spec["release_environment"] == {
        "DJANGO_STATIC_ROOT": "{release}/static",
        "RELEASE": "{id}",
        "RELEASE_DIR": "{release}",
    }
    secrets = release_secrets(found)["blog"]
    assert secrets["release_environment"]["BOTH"] == f"{CANARY} {{id}}"
    whole = Layout({**spec, "home": str(tmp_path)}, secrets)
    assert whole.spec["release_environment"] == found["blog"]["release_environment"]
    assert whole.planned == {}


@pytest.mark.parametrize(
    ("migrate", "needed"), [({}, True), ({"dump": False}, False), ({"run": False}, False)]
)
def test_a_client_of_mysql_is_for_dumps(migrate: dict[str, bool], needed: bool) -> None:
    found = resolve(
        {"blog": app(database={"url": "mysql://u:p@db/n"}, migrate=migrate)}, VAULT, SECRET, "typical"
    )
    assert ("default-mysql-client" in system_packages(found)) == needed


def test_what_hosts_need(apps: dict[str, Any]) -> None:
    assert schedule_units(apps) == ["blog.digest.timer"]
    assert system_packages(apps) == ["git", "libjpeg62-turbo", "openssh-client", "postgresql-client"]
    assert python_versions(apps) == ["3.12"]
    assert app_accounts(apps) == [
        {"name": "blog", "home": "/srv/blog/home"},
        {"name": "shop", "home": "/srv/shop/home"},
    ]


def test_who_reaches_a_closed_app() -> None:
    fields = app(
        health="/h%C3%A9alth/?full=1",
        static="none",
        maintenance={
            "allow": ["2001:db8::/32", "10.0.0.9", "10.0.0.9/32", "10.0.0.0/255.255.255.0"],
            "retry_after": 9,
        },
    )
    found = nginx_sites(resolve({"blog": fields}, {}, SECRET, "typical"))["blog"]["maintenance"]
    assert found["allow"] == ["10.0.0.0/24", "10.0.0.9/32", "2001:db8::/32"]
    assert (found["open"], found["below"], found["retry_after"]) == (["/héalth/"], [], 9)
    rules = maintenance_files(resolve({"blog": fields}, {}, SECRET, "simple"), "on")[1]
    assert json.loads(rules["content"]) == {"allow": found["allow"], "open": ["/héalth/"], "retry_after": 9}


def test_files_that_close_an_app(apps: dict[str, Any], simple: dict[str, Any]) -> None:
    closing = {entry["path"]: entry for entry in maintenance_files(simple, "on", "/inventory")}
    assert set(closing) == {f"/srv/blog/maintenance/{name}" for name in ("page.html", "rules.json", "on")}
    opening = {entry["path"]: entry for entry in maintenance_files(simple, "off", "/inventory")}
    assert opening.pop("/srv/blog/maintenance/on")["state"] == "absent"
    del closing["/srv/blog/maintenance/on"]
    assert opening == closing
    # what setup playbooks write is the same, and says nothing of whether an app is closed
    found = entries(simple)
    assert {path: found[path] for path in closing} == closing
    assert "/srv/blog/maintenance/on" not in found
    # behind nginx nobody else asks who is let in
    assert "/srv/blog/maintenance/rules.json" not in entries(apps)
    assert all(entry["on_change"] == "none" for entry in closing.values())


@pytest.mark.parametrize(
    ("page", "source"),
    [
        ("closed.html", {"src": "/inventory/closed.html"}),
        ("closed.html.j2", {"template": "/inventory/closed.html.j2"}),
        ("/abs/closed.html", {"src": "/abs/closed.html"}),
        ("~/closed.html", {"src": os.path.expanduser("~/closed.html")}),
        (None, {"template": "maintenance/page.html.j2"}),
    ],
)
def test_the_page_of_a_closed_app(page: str | None, source: dict[str, str]) -> None:
    fields = app(maintenance=page) if page else app()
    found = maintenance_files(resolve({"blog": fields}, {}, SECRET, "typical"), "on", "/inventory")[0]
    assert {key: found[key] for key in ("src", "template") if key in found} == source
    assert found["mode"] == "0644"


@pytest.mark.parametrize(
    ("named", "found"),
    [("blog", ["blog"]), ("blog, shop", ["blog", "shop"]), (["shop"], ["shop"]), ("all", ["blog", "shop"]), ("x", []), ([], [])],
)  # fmt: skip
def test_chosen_apps(named: Any, found: list[str], apps: dict[str, Any]) -> None:
    assert list(chosen_apps(apps, named)) == found


def test_no_two_sites_have_the_same_variables() -> None:
    names = ["a", "a-b", "a_b", "a__b", "a_2d_b", "a-2d-b", "a.b", "a_-b", "a-_b"]
    found = [nginx_name(name) for name in names]
    assert len(set(found)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in found)


def entries(apps: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = app_files(apps, "/inventory")
    assert len({entry["path"] for entry in found}) == len(found)
    return {entry["path"]: entry for entry in found}


def test_secrets_are_marked_as_such(apps: dict[str, Any]) -> None:
    for path, entry in entries(apps).items():
        shown = {
            key: value for key, value in entry.items() if key != "vars"
        }  # for the template on the controller
        if CANARY in str(shown):
            assert entry["secret"], path
            assert entry["mode"] == "0640", path


def test_nobody_else_reads_an_apps_configuration(apps: dict[str, Any]) -> None:
    for path, entry in entries(apps).items():
        if "/config/" in path or path.startswith("/var/log"):
            assert int(entry["mode"], 8) & 0o007 == 0, path
            assert entry["group"] in ("blog", "shop"), path
            assert entry.get("owner", "root") == "root", path


def test_files_from_templates_and_text(apps: dict[str, Any]) -> None:
    found = entries(apps)
    assert found["/srv/blog/config/files/0"]["content"] == "a=1\n"
    assert found["/srv/blog/config/files/1"]["template"] == "/inventory/t.json.j2"
    assert found["/srv/blog/config/files/2"]["template"] == "/abs/u.j2"


def test_processes_and_schedules(apps: dict[str, Any]) -> None:
    found = entries(apps)
    assert found["/srv/blog/config/processes/queue"]["content"] == "exec manage.py qcluster\n"
    assert found["/srv/blog/config/processes/digest"]["content"] == "manage.py digest\n"
    for kind in ("service", "timer"):
        schedule = found[f"/etc/systemd/system/blog.digest.{kind}"]["vars"]["schedule"]
        assert (schedule["calendar"], schedule["timeout"]) == ("daily", 60)


def limited(**fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = resolve({"blog": app(**fields)}, {}, SECRET, "typical")
    return found, entries(found)


def test_limits_are_for_a_shell_to_read() -> None:
    _apps, found = limited(limits={"processes": 40, "memory": 200})
    for given, told in ((found, "40 204800"), (limited()[1], "512 unlimited")):
        script = given["/srv/blog/config/limits"]["content"] + 'echo "$(ulimit -p) $(ulimit -d)"'
        done = subprocess.run(["dash", "-eu", "-c", script], capture_output=True, text=True, check=True)
        assert (done.stdout.strip(), done.stderr) == (told, "")


def test_where_the_host_allows_less_that_is_the_limit() -> None:
    script = "ulimit -d 100000\n" + limits({"processes": 512, "memory": 200}) + "ulimit -d"
    # root may raise a limit, an app's user may not
    words = ["setpriv", "--bounding-set=-all", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run([*words, "dash", "-eu", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("100000", "")


def test_the_memory_of_a_process_changes_its_release_and_not_supervisord() -> None:
    queue = {"command": "manage.py qcluster", "stop_signal": "INT", "stop_timeout": 90}
    plain, files = limited(processes={"queue": queue})
    assert "/srv/blog/config/memory" not in files
    watched, files = limited(processes={"queue": {**queue, "memory": 300}})
    assert files["/srv/blog/config/memory"]["state"] == "directory"
    assert files["/srv/blog/config/memory/queue"]["content"] == "300 INT 90\n"
    assert supervisord_programs(watched) == supervisord_programs(plain)


def test_connections_make_no_release() -> None:
    given, plain = limited(limits={"database_connections": 7}), limited()
    assert postgres_databases(given[0])[0]["connection_limit"] == 7
    assert {path: entry.get("content") for path, entry in given[1].items()} == {
        path: entry.get("content") for path, entry in plain[1].items()
    }


@pytest.mark.parametrize(
    ("tls", "reminded"),
    [
        ("none", False),
        ({"certificate": "selfsigned"}, False),
        ({"certificate": "selfsigned", "hsts": 0}, True),
    ],
)
def test_django_reminds_of_hsts_where_nginx_leaves_it_out(tls: Any, reminded: bool) -> None:
    found = entries(resolve({"blog": app(overlay=True, tls=tls)}, {}, SECRET, "typical"))
    fragment = "/srv/blog/config/overlay.d/10_hsts.py"
    assert (fragment in found) == reminded
    if reminded:
        settings = {"SILENCED_SYSTEM_CHECKS": ["app.own", "security.W004"]}
        exec(found[fragment]["content"], settings)
        assert settings["SILENCED_SYSTEM_CHECKS"] == ["app.own"]


def test_the_overlay_only_where_it_is_wanted(apps: dict[str, Any]) -> None:
    found = entries(apps)
    assert found["/srv/shop/config/overlay.d/90_settings.py"]["content"] == "A = 1\nB = 'x'\n"
    assert "/srv/shop/config/homeport_settings.py" in found
    assert "/srv/blog/config/homeport_settings.py" not in found


@pytest.mark.parametrize("expression", ["{\n    'a': 1,\n}", "[\n1]", "1 # why", "\n1", "'''a\nb'''"])
def test_overlay_settings_of_several_lines(expression: str) -> None:
    found = resolve(
        {"blog": app(overlay=True, overlay_settings={"A": expression, "B": "2"})}, {}, SECRET, "typical"
    )
    text = entries(found)["/srv/blog/config/overlay.d/90_settings.py"]["content"]
    names: dict[str, Any] = {}
    exec(text, names)
    assert (names["A"], names["B"]) == (eval(expression.strip()), 2)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"inventory_hostname": "a"}, "a"),
        ({"inventory_hostname": "a", "ansible_host": "10.0.0.1"}, "10.0.0.1"),
        (
            {"inventory_hostname": "a", "ansible_host": "10.0.0.1", "homeport_address": "192.0.2.1"},
            "192.0.2.1",
        ),
    ],
)
def test_host_address(variables: dict[str, str], address: str) -> None:
    assert host_address(variables) == address


def hostile_values(count: int) -> list[str]:
    chance = random.Random(20260101)
    nasty = "'\"`$\\!#%&|;<>(){}[]*?~^=\n\r\t \x01\x7f\x80ÿ€日🐍" + string.ascii_letters + string.digits
    return ["".join(chance.choices(nasty, k=chance.randrange(60))) for _ in range(count)]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_real_shell_reads_back_what_was_written(shell: str, tmp_path: Path) -> None:
    expected = {f"HOSTILE_{number}": value for number, value in enumerate(hostile_values(500))}
    (tmp_path / "env").write_text(shell_exports(expected), encoding="utf-8", newline="")
    script = f'set -eu; . "{tmp_path}/env"; exec env -0'
    out = subprocess.run(
        [shell, "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True
    ).stdout
    found = dict(pair.decode().split("=", 1) for pair in out.split(b"\0") if pair.startswith(b"HOSTILE_"))
    assert found == expected


def test_certificates() -> None:
    definitions = {
        "blog": app(domains=["blog.example.org", "www.blog.example.org"], aliases=["*.blog.example.org"]),
        "plain": app(domains=["plain.example.org"], tls="none"),
        "signed": app(domains=["signed.example.org"], tls={"certificate": "selfsigned", "hsts": 0}),
    }
    without = resolve(definitions, {}, SECRET, "typical")
    assert list(certificate_sites(without)) == ["signed"]
    assert without["blog"]["site_url"] == "http://blog.example.org"
    apps = resolve(definitions, {}, SECRET, "typical", {"acme": True})
    assert certificate_sites(apps) == {
        "blog": {
            "kind": "acme",
            "domains": ["blog.example.org", "www.blog.example.org", "*.blog.example.org"],
            "challenge": "http-01",
        },
        "signed": {"kind": "selfsigned", "domains": ["signed.example.org"], "challenge": "http-01"},
    }
    sites = nginx_sites(apps)
    assert sites["blog"]["tls"] == {"folder": "/etc/homeport/certificates/blog/live", "hsts": 86400}
    assert sites["plain"]["tls"] == {}
    assert apps["blog"]["environment"]["SITE_URL"] == "https://blog.example.org"
    assert apps["blog"]["environment"]["CSRF_TRUSTED_ORIGINS"] == (
        "https://blog.example.org,https://www.blog.example.org,https://*.blog.example.org"
    )
    assert apps["plain"]["environment"]["SITE_URL"] == "http://plain.example.org"
    assert status_apps(apps)[0]["certificate"] == "acme"
    # nothing speaks HTTPS in front of a simple server
    simple = resolve({"blog": definitions["blog"]}, {}, SECRET, "simple", {"acme": True})
    assert simple["blog"]["site_url"] == "http://blog.example.org"


def test_own_certificates(tmp_path: Path) -> None:
    (tmp_path / "blog.pem").write_text("chain")
    key = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
    definitions = {"blog": app(tls={"certificate": "own", "chain": "blog.pem"})}
    apps = resolve(definitions, {"blog": {"tls_key": key}}, SECRET, "typical")
    found = certificate_sites(apps, str(tmp_path))
    assert (found["blog"]["kind"], found["blog"]["chain"]) == ("own", "chain")
    assert certificate_keys(apps) == {"blog": key}
    for told in (found, nginx_sites(apps), release_specs(apps), status_apps(apps)):
        assert CANARY not in str(told)


@pytest.mark.parametrize(
    ("setup", "fields", "command"),
    [
        ("typical", {}, "curl --connect-to ::192.0.2.7:80 http://blog.example.org/"),
        (
            "typical",
            {"tls": "acme"},
            "curl --insecure --connect-to ::192.0.2.7:443 https://blog.example.org/",
        ),
        (
            "simple",
            {"web": {"port": 8000}},
            "curl --connect-to ::192.0.2.7:8000 http://blog.example.org:8000/",
        ),
        ("typical", {"tls": "proxy", "proxy": {"trusted_proxies": ["10.0.0.7"]}}, ""),
    ],
)
def test_how_to_ask_a_host_before_the_dns_knows_it(setup: str, fields: dict[str, Any], command: str) -> None:
    apps = resolve({"blog": app(**fields)}, {}, SECRET, setup)
    assert status_apps(apps, "192.0.2.7")[0]["try"] == command
    assert status_apps(apps)[0]["try"] == ""
    if command:
        assert "::[2001:db8::7]:" in status_apps(apps, "2001:db8::7")[0]["try"]
