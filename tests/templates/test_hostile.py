# ruff: noqa: E501
"""What is accepted of values that nobody should write arrives as it is written: judged by those who read the files."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.fields.processes import PROCESS
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.entries import Entry
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (
    INPUTS,
    problems_of,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring import backup as backup_config
from ansible_collections.homeport.django.plugins.module_utils.wiring import pgbackrest as archive_config
from ansible_collections.homeport.django.plugins.module_utils.wiring.certificates import certificate_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import app_files
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import gunicorn_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_clients,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.redis import redis_app_instances
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import release_specs
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs

from tests.hostile import NASTY, ODD, Author, takes, text
from tests.templates.conftest import ROOT, SECRET, Files, Render, write
from tests.templates.test_apps import load
from tests.templates.test_nginx import accepts, nginx, put
from tests.templates.test_supervisord import parse

__all__ = ["parse"]

APPS = 60
Definitions = tuple[dict[str, Any], dict[str, Any]]

# The worst that can be said, in every place that takes it.
ALL = "".join(part for part in NASTY if part not in ("\0", "\ud800"))
WORST: dict[str, Any] = {
    "domains": ["worst.example.org"],
    "source": {"path": "../it's \"my\" $source 100%"},
    "env": {"ALL": ALL, "release": ALL, "main": "x", "LONG": "é\n'\"" * 26_000, "SPACES": "  x  ", "EMPTY": "", "FORMAT": {"format": "{SITE_URL}{ x}{{}}" + ALL.translate({123: None, 125: None})}},
    "files": {"conf d/it's $x.ini": ALL, "crlf.txt": "a\r\nb\r\n", "empty": ""},
    "overlay": True,
    "overlay_settings": {"TEXT": repr(ALL), "LINES": "'''a\n    b\n  '''", "LAST": "(1,\n# coding: latin-1\n 'é')"},
    "processes": {"queue": "manage.py x --name 'a \"b\" #' \"c d\" 50% \\$HOME é \\;"},
    "schedules": {"night": {"command": "echo '50% $x' > \"a b\" # comment", "calendar": "Mon..Fri *-*-* 06:30:00 Europe/Vienna"}},
    "build": ["echo \"it's\" '$x' 100% {{}} {%raw%}"],
    "health": "/it's/\"$a\"/{b};\\d+/(%C3%A9)/?x=%0A",
    "web": {"gunicorn": {"proc_name": ALL.strip(), "umask": "007", "header_map": "drop"}},
    "proxy": {"extra": "set $x 'a;b} {\n  two';\nlocation = /x { return 200 \"a\\\"b\n   c\"; } # end }"},
    "maintenance": {"allow": ["127.0.0.9", "2001:db8::/32"]},
}  # fmt: skip


@pytest.fixture(scope="session")
def definitions() -> Definitions:
    """Accepted definitions and their secrets, by app."""
    apps, vault = (
        {"worst": WORST},
        {"worst": {"env": {"SECRET": ALL}, "database_password": 'it\'s "$x" 100% \\'}},
    )
    assert check(apps, vault, SECRET, "site") == []
    ports = iter(range(2000, 60000))
    seed = 0
    while len(apps) < APPS:
        seed += 1
        name = f"app{seed}"
        fields, secrets = Author(seed, 0).definition(name)
        # files of the controller are not there
        for field in ("maintenance", "tls"):
            fields.pop(field, None)
        fields["domains"] = [f"{name}.example.org"]
        fields.pop("aliases", None)
        if fields.get("was"):
            fields["was"] = f"old{seed}"
        for service in ("cache", "broker"):
            if isinstance(fields.get(service), dict) and "port" in fields[service]:
                fields[service]["port"] = next(ports)
        if isinstance(fields.get("database"), dict) and "name" in fields["database"]:
            fields["database"]["name"] = f"{fields['database']['name'][:50]}-{seed}"
        fields["files"] = {
            key: "x" if isinstance(file, dict) and "template" in file else file
            for key, file in (fields.get("files") or {}).items()
        }
        if check({name: fields}, {name: secrets}, SECRET, "site") == []:
            apps[name], vault[name] = fields, secrets
    assert check(apps, vault, SECRET, "site") == []
    return apps, vault


@pytest.fixture(scope="session")
def apps(definitions: Definitions) -> dict[str, Any]:
    return resolve(*definitions, SECRET, "site", {"cores": 2, "memory_mb": 2000})


@pytest.fixture(scope="session")
def remote(definitions: Definitions) -> dict[str, Any]:
    """The apps, where their database is on another host."""
    return resolve(
        *definitions, SECRET, "site", {"cores": 2, "memory_mb": 2000, "database_host": "db.example"}
    )


@pytest.fixture(scope="session")
def files(apps: dict[str, Any], remote: dict[str, Any], render: Render) -> Files:
    return {
        **render("django_app", django_app_apps=apps, django_app_base="/inventory"),
        **render("gunicorn", gunicorn_apps=gunicorn_apps(apps)),
        **render("supervisord", supervisord_app_programs=supervisord_programs(apps)),
        **render("nginx", nginx_app_sites=nginx_sites(apps)),
        **render("certificates", certificates_app_sites=certificate_sites(apps)),
        **render("redis", {"redis": "8.0"}, redis_app_instances=redis_app_instances(apps, ["cache", "broker"], ["127.0.0.1"])),
        **render(
            "postgres",
            postgres_app_databases=postgres_databases(apps),
            postgres_app_clients=postgres_clients(remote, ["10.0.0.5"]),
        ),
    }  # fmt: skip


def test_environments_arrive_through_the_launcher(apps: dict[str, Any], files: Files, tmp_path: Path) -> None:
    launcher = ROOT / "roles/django_app/files/usr/local/lib/homeport/run"
    for name, app in apps.items():
        release = tmp_path / name
        write(
            release,
            {
                "/config/env": files[f"/srv/{name}/config/env"],
                "/config/release.env": f"export HOMEPORT_PROJECT={tmp_path}\n",
            },
        )
        # twice through a shell, as a process of supervisord's is started
        words = ["sh", str(launcher), str(release), "/bin/sh", "-c", "exec /usr/bin/env -0"]
        out = subprocess.run(words, env={"PATH": os.environ["PATH"]}, capture_output=True, check=True).stdout
        found = dict(pair.split("=", 1) for pair in out.decode().split("\0") if pair)
        for key, value in app["environment"].items():
            assert found[key] == value, (name, key)


def test_commands_arrive_as_a_shell_reads_them(apps: dict[str, Any], files: Files) -> None:
    for name, app in apps.items():
        for process, options in app["processes"].items():
            assert files[f"/srv/{name}/config/processes/{process}"] == f"exec {options['command']}\n"
    words = {text(random.Random(seed)) for seed in range(300)} | {*ODD, WORST["processes"]["queue"]}
    # what a shell makes something else of on purpose: variables, patterns
    plain: set[str] = {
        word
        for word in words
        if takes(PROCESS, word) and not re.search(r"[$`*?\[~]", word.replace("\\$", ""))
    }
    assert len(plain) > 50
    script = "".join(f"(exec /usr/bin/printf '%s\\1' {word}\n)\nprintf '\\2'\n" for word in sorted(plain))
    out = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True).stdout.decode()
    assert [line.split("\1")[:-1] for line in out.split("\2")[:-1]] == [
        shlex.split(word) for word in sorted(plain)
    ]


def test_files_arrive(definitions: Definitions, apps: dict[str, Any]) -> None:
    plain: dict[str, Any] = {
        "state": "file",
        "target": None,
        "mode": None,
        "owner": "root",
        "group": "root",
        "secret": True,
        "urgent": False,
        "of": "",
        "restarts": [],
        "reloads": [],
        "on_change": "none",
    }
    for name, app in apps.items():
        entries = {entry["path"]: entry for entry in app_files({name: app})}
        for number, (path, file) in enumerate((definitions[0][name].get("files") or {}).items()):
            wanted = file if isinstance(file, str) else file.get("content", "")
            entry = Entry({**plain, **entries[f"/srv/{name}/config/files/{number}"]})
            assert entry.data == wanted.encode(), (name, path)
            assert release_specs({name: app})[0]["file_paths"][number] == path


def test_overlay_settings_arrive(
    definitions: Definitions, apps: dict[str, Any], files: Files, tmp_path: Path
) -> None:
    for name in apps:
        wanted = definitions[0][name].get("overlay_settings") or {}
        path = tmp_path / f"{name}.py"
        path.write_text(files.get(f"/srv/{name}/config/overlay.d/90_settings.py", ""), "utf-8")
        found: dict[str, Any] = {}
        # as the overlay reads it
        with contextlib.suppress(TypeError):  # an expression may not be one that can be worked out
            exec(compile(path.read_text("utf-8"), str(path), "exec"), found)
            for key, expression in wanted.items():
                if not callable(found[key]):
                    assert found[key] == eval(expression.strip(), dict(found)), (name, key)
    assert "TEXT" in (tmp_path / "worst.py").read_text("utf-8")


def test_gunicorn_is_told(apps: dict[str, Any], files: Files, tmp_path: Path) -> None:
    for name, told in gunicorn_apps(apps).items():
        write(tmp_path, {f"/{name}/gunicorn.conf.py": files[f"/srv/{name}/config/gunicorn.conf.py"]})
        module = load(tmp_path / name / "gunicorn.conf.py")
        for key, value in told["settings"].items():
            assert getattr(module, key) == value, (name, key)
        for key, value in apps[name]["web"]["gunicorn"].items():
            assert str(getattr(module, key)) == str(value), (name, key)


def test_supervisord_reads_it(apps: dict[str, Any], files: Files, parse: Any, tmp_path: Path) -> None:
    for name in apps:
        (tmp_path / "log" / name).mkdir(parents=True)
    groups = parse(files)
    programs = supervisord_programs(apps)
    assert set(groups) == set(programs)
    for name, program in programs.items():
        found = groups[name].process_configs
        assert len(found) == program["numprocs"]
        for number, process in enumerate(found):
            assert process.command == program["command"].replace("%(process_num)d", str(number))
            assert process.stopwaitsecs == program["stopwaitsecs"]


def test_timers_have_their_calendar_and_nothing_else(apps: dict[str, Any], files: Files) -> None:
    for name, app in apps.items():
        for schedule, options in app["schedules"].items():
            timer = files[f"/etc/systemd/system/{name}.{schedule}.timer"].splitlines()
            settings = [line for line in timer if not re.match(r"#|\[|$", line)]
            assert settings == [
                f"Description={schedule} of {name}", f"OnCalendar={options['calendar']}", "Persistent=true", "WantedBy=timers.target",
            ]  # fmt: skip


def test_clients_of_the_databases(remote: dict[str, Any], files: Files) -> None:
    lines = [
        line
        for line in files["/etc/postgresql/15/main/homeport_hba.conf"].splitlines()
        if line.startswith("hostssl")
    ]
    wanted = {(one["name"], login["name"]) for one in postgres_databases(remote) for login in one["logins"]}
    assert {tuple(shlex.split(line)[1:3]) for line in lines} == wanted
    assert all(shlex.split(line)[3:] == ["10.0.0.5/32", "scram-sha-256"] for line in lines)


def test_certificates_are_asked_for_what_is_written(apps: dict[str, Any], files: Files) -> None:
    found = json.loads(files["/etc/homeport/certificates.json"])["sites"]
    assert found == {
        name: {"kind": site["kind"], "domains": site["domains"], "challenge": site["challenge"]}
        for name, site in certificate_sites(apps).items()
    }


def test_redis_is_told_no_password(apps: dict[str, Any], files: Files) -> None:
    for name, app in apps.items():
        for service in ("cache", "broker"):
            password = app[service]["password"]
            if app[service]["managed"] and app[service]["engine"] == "redis":
                folder = f"/etc/redis/redis-{name}-{service}"
                assert password not in files[f"{folder}.conf"] + files[f"{folder}/users.acl"]
                users = [line.split()[1] for line in files[f"{folder}/users.acl"].splitlines()]
                assert users == ["default", "homeport"]


@pytest.fixture(scope="module")
def running(apps: dict[str, Any], files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx itself with all the sites, each closed to visitors: who is let in gets a 502, since no app runs."""
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # a certificate that the sites over HTTPS can have, too
    certificate = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=x",
    ]
    subprocess.run(
        [*certificate, "-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem"],
        check=True,
        capture_output=True,
    )
    moved = {
        path: re.sub(
            r"/etc/homeport/certificates/[^/]+/live",
            str(folder),
            body.replace("alias /srv/", f"alias {folder}/srv/").replace("-f /srv/", f"-f {folder}/srv/"),
        )
        for path, body in files.items()
    }
    main = put(folder, moved)
    for path in (folder / "etc/nginx").rglob("*.conf"):
        path.write_text(path.read_text().replace("18080", str(port)).replace("user www-data;", ""))
    said = accepts(main)
    assert [line for line in said.splitlines() if "[warn]" in line and "server_names_hash" not in line] == []
    for name in apps:
        maintenance = folder / "srv" / name / "maintenance"
        maintenance.mkdir(parents=True)
        (maintenance / "page.html").write_text(f"closed {name}")
        (maintenance / "on").touch()
    process = subprocess.Popen(
        [nginx(), "-e", "stderr", "-c", main, "-g", "daemon off; master_process off;"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _attempt in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.communicate()


def ask(port: int, host: str, path: str, client: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(client, 0))
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_nginx_serves_what_is_written(apps: dict[str, Any], running: int) -> None:
    """Names, paths and what keeps visitors out, each site on its own: as nginx itself has read them."""
    for name, app in apps.items():
        if app["tls"]["certificate"] != "none" or app["proxy"]["extra"]:
            continue
        host = app["canonical"]
        closed = (503, f"closed {name}".encode())
        assert ask(running, host, "/") == closed, name
        health = app["health"]["path"]
        if unquote(urlsplit(health).path) != "/" and "/." not in health:
            assert ask(running, host, health)[0] == 502, (name, health)
            assert ask(running, host, f"{urlsplit(health).path}x") == closed, (name, health)
        if app["static"]["server"] == "nginx" and "/." not in app["static"]["url"]:
            assert ask(running, host, f"{app['static']['url']}none.css")[0] == 404, (name, app["static"])
    assert ask(running, "worst.example.org", WORST["health"], "127.0.0.1")[0] == 502
    assert ask(running, "worst.example.org", "/", "127.0.0.9")[0] == 502
    assert ask(running, "worst.example.org", "/x", "127.0.0.9") == (200, b'a"b\n   c')


def guc(written: str) -> str:
    """A value in quotes as PostgreSQL's scanner reads it."""
    assert re.fullmatch(r"'([^'\\\n]|\\.|'')*'", written), written
    return re.sub(
        r"\\(.)|''",
        lambda found: {"n": "\n", "r": "\r", None: "'"}.get(found[1], found[1] or ""),
        written[1:-1],
    )


def inputs(name: str, count: int, roles: random.Random) -> list[Any]:
    """Accepted values of a role's input."""
    found: list[Any] = []
    while len(found) < count:
        value = Author(roles.randrange(1 << 30), 0).value(INPUTS[name])
        if value and not problems_of({name: value}):
            found.append(value)
    return found


def test_inputs_of_roles_arrive(render: Render, parse: Any, tmp_path: Path) -> None:
    rng = random.Random(3)
    sites = {
        f"s{number}-{name}": {**site, "server_names": [f"s{number}.{name.lower()}"]}
        for number, value in enumerate(inputs("nginx_sites", 40, rng))
        for name, site in value.items()
        if re.fullmatch("[a-z-]+", name)
    }
    extra = "\n".join(
        dict.fromkeys(
            f"map $host $mine{number} {{ default {json.dumps(text(rng).translate({0: '', 0xD800: '', 36: '', 92: ''}).replace(chr(34), ''), ensure_ascii=False)}; }}"
            for number in range(20)
        )
    )
    found = render(
        "nginx",
        nginx_sites={
            name: {**site, "tls": {}, "maintenance": {}, "extra": "", "upstream": "127.0.0.1:9"}
            for name, site in sites.items()
        },
        nginx_http_extra=extra,
    )
    assert extra in found["/etc/nginx/conf.d/homeport.conf"]
    accepts(put(tmp_path, found))

    option = INPUTS["supervisord_programs"].value.fields["command"]  # type: ignore[attr-defined]
    commands = {
        str(word) for word in (Author(seed, 0).value(option) for seed in range(300)) if takes(option, word)
    }
    programs: dict[str, Any] = {
        f"p{number}": {"command": command}
        for number, command in enumerate(sorted(commands))
        if command and "%(here)s" not in command
    }
    assert len(programs) > 50
    programs["odd"] = {"command": "/bin/x --a 'b \"c\" é' 50%% a;b a#b", "environment": 'A="it\'s, %% {x}"'}
    groups = parse(render("supervisord", supervisord_programs=programs))
    for name, program in programs.items():
        wanted = program["command"].replace("%(process_num)d", "0").replace("%%", "%")
        assert groups[name].process_configs[0].command == wanted, name
    assert groups["odd"].process_configs[0].environment == {"A": "it's, % {x}"}

    for value in inputs("postgres_settings", 40, rng):
        written = render("postgres", postgres_settings=value)["/etc/postgresql/15/main/conf.d/homeport.conf"]
        lines = dict(
            line.split(" = ", 1) for line in written.split("\n") if line and not line.startswith("#")
        )
        for key, setting in value.items():
            assert guc(lines[key]) == (
                "on" if setting is True else "off" if setting is False else str(setting)
            )

    for value in inputs("rabbitmq_settings", 20, rng):
        written = render("rabbitmq", rabbitmq_settings=value)["/etc/rabbitmq/conf.d/homeport.conf"]
        for key, setting in value.items():
            assert f"\n{key} = {str(setting).lower() if isinstance(setting, bool) else setting}\n" in written
    hook = 'it\'s "$x" 100% {{ 7 }} é'
    told = json.loads(
        render(
            "certificates",
            certificates_dns_auth_hook=hook,
            certificates_sites=inputs("certificates_sites", 1, rng)[0],
        )["/etc/homeport/certificates.json"]
    )
    assert told["dns_auth_hook"] == hook
    for server in ("192.0.2.53", "2001:db8::53"):
        key = {"key_name": "it.s_a-key.", "key_secret": "+/8=", "key_algorithm": "hmac-sha512"}
        written = render(
            "certificates",
            certificates_dns_server=server,
            **{f"certificates_dns_{name}": value for name, value in key.items()},
        )["/etc/homeport/dns.ini"]
        assert dict(line.split(" = ", 1) for line in written.splitlines() if not line.startswith("#")) == {
            "dns_rfc2136_server": server, "dns_rfc2136_port": "53", "dns_rfc2136_name": "it.s_a-key.",
            "dns_rfc2136_secret": "+/8=", "dns_rfc2136_algorithm": "HMAC-SHA512",
        }  # fmt: skip


def test_backups_are_told_what_is_written() -> None:
    values = {
        "repository": "sftp:me@vault:/it's/$x", "ssh_key": "-----BEGIN PRIVATE KEY-----\n", "known_hosts": "vault ssh-ed25519 AAAA\n",
        "credentials": {"AWS_ACCESS_KEY_ID": "a'\"$%\\"}, "ca": "",
    }  # fmt: skip
    backup = {
        **values, "passwords": [ALL_PRINTABLE], "keep": {"daily": 7}, "schedule": "daily", "drill_schedule": "Sun 04:30",
        "drill_percent": 100, "bandwidth": 0, "scratch": {},
    }  # fmt: skip
    found = {
        entry["path"]: entry.get("content", "") for entry in backup_config.backup_files(backup, [], "host")
    }
    assert json.loads(found["/etc/homeport/backup/config.json"])["repository"] == values["repository"]
    assert found["/etc/homeport/backup/password"] == f"{ALL_PRINTABLE}\n"
    assert json.loads(found["/etc/homeport/backup/credentials.json"]) == values["credentials"]
    told = archive_config.settings_of(
        {**values, "keep": 2, "queue_gb": 8, "password": ALL_PRINTABLE.replace(" ", "")}
    )["settings"]
    assert told["repo1-cipher-pass"] == ALL_PRINTABLE.replace(" ", "")
    assert told["repo1-path"] == "/it's/$x"


ALL_PRINTABLE = "".join(chr(code) for code in range(33, 127)) + " é日"
