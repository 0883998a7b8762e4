# ruff: noqa: E501
"""Python, Django, sh and systemd read what is written for the apps."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import gunicorn_apps

from tests.templates.conftest import APPS, ROOT, Files, Render, resolved, write


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{path.parent.name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", APPS)
def test_gunicorn_gets_its_settings(name: str, typical: Files, tmp_path: Path) -> None:
    write(tmp_path, {"/gunicorn.conf.py": typical[f"/srv/{name}/config/gunicorn.conf.py"]})
    module = load(tmp_path / "gunicorn.conf.py")
    for key, value in gunicorn_apps(resolved())[name]["settings"].items():
        assert getattr(module, key) == value
    assert module.control_socket_disable is True
    assert module.bind == []


class Worker:
    """As gunicorn's, in what the hooks look at."""

    pid, age, nr, max_requests = 7, 1, 100, 10**9

    def __init__(self) -> None:
        self.cfg = SimpleNamespace(workers=2, forwarded_allow_ips=["*"])
        self.wsgi = None
        self.told: list[str] = []
        self.log = SimpleNamespace(warning=lambda text, *values: self.told.append(text % values))


def configuration(files: Files, folder: Path) -> Any:
    """The configuration of the blog's gunicorn, with what it loads from beside it."""
    names = ("gunicorn.conf.py", "homeport_web.py")
    write(folder, {f"/{name}": files[f"/srv/blog/config/{name}"] for name in names})
    return load(folder / "gunicorn.conf.py")


@pytest.mark.parametrize(("memory", "replaced"), [(1, True), (100_000, False)])
def test_a_worker_that_has_grown_too_large_is_replaced(
    memory: int, replaced: bool, render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = {"blog": {**resolved()["blog"], "web": {**resolved()["blog"]["web"], "memory": memory}}}
    files = render("gunicorn", gunicorn_apps=gunicorn_apps(apps))
    module = configuration(files, tmp_path)
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    worker = Worker()
    module.post_worker_init(worker)
    module.post_request(worker, None, {}, None)
    assert worker.told == []  # it has only just started
    clock.now += 31
    for _ in range(3):
        module.post_request(worker, None, {}, None)
        clock.now += 2
    assert worker.max_requests == (worker.nr + 2 if replaced else 10**9)
    assert len(worker.told) == int(replaced)


def test_workers_may_grow_where_nothing_is_said(typical: Files) -> None:
    assert "post_request" not in typical["/srv/blog/config/gunicorn.conf.py"]


def test_a_worker_tells_when_it_is_ready(
    typical: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = configuration(typical, tmp_path)
    worker = Worker()
    monkeypatch.setenv("HOMEPORT_READY", str(tmp_path / "ready"))
    module.post_worker_init(worker)
    assert (tmp_path / "ready").read_text() == "7\n"
    worker.age = 3  # one that replaces another, later
    module.post_worker_init(worker)
    assert (tmp_path / "ready").read_text() == "7\n"
    monkeypatch.delenv("HOMEPORT_READY")
    module.post_worker_init(worker)


def environment(text: str) -> dict[str, str]:
    """What sh makes of an environment file."""
    script = "set -eu; . /dev/stdin; exec env -0"
    out = subprocess.run(
        ["sh", "-c", script],
        input=text.encode(),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    ).stdout
    return dict(pair.split("=", 1) for pair in out.decode().split("\0") if pair)


@pytest.mark.parametrize("name", APPS)
def test_the_environment_arrives(name: str, typical: Files) -> None:
    found = environment(typical[f"/srv/{name}/config/env"])
    expected = resolved()[name]["environment"]
    assert {key: found[key] for key in expected} == expected


def test_nothing_in_a_value_is_a_template(typical: Files) -> None:
    assert environment(typical["/srv/blog/config/env"])["HOSTILE"] == APPS["blog"]["env"]["HOSTILE"]


def test_processes_are_what_sh_runs(typical: Files) -> None:
    for path, text in typical.items():
        if "/config/processes/" in path and text:
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    command = typical["/srv/blog/config/processes/queue"]
    assert shlex.split(command) == ["exec", "manage.py", "qcluster", "--name", "a b", "--rate", "50%"]


def test_units_of_schedules(typical: Files) -> None:
    timer = typical["/etc/systemd/system/blog.digest.timer"]
    service = typical["/etc/systemd/system/blog.digest.service"]
    assert "OnCalendar=Mon..Fri *-*-* 06:30:00" in timer
    assert "ExecStart=/usr/local/lib/homeport/process blog digest\n" in service
    for text in (timer, service):
        for line in text.splitlines():
            assert re.fullmatch(r"#.*|\[\w+\]|[A-Z]\w+=.*|", line), line


def test_folders_of_sockets(typical: Files) -> None:
    lines = [
        line.split()
        for line in typical["/etc/tmpfiles.d/homeport.conf"].splitlines()
        if not line.startswith("#")
    ]
    assert ["d", "/run/homeport", "0755", "root", "root", "-"] in lines
    assert ["d", "/run/homeport/shop", "0750", "shop", "shop", "-"] in lines
    assert len(lines) == 1 + len(APPS)


PROBE = """
import json, django
from django.conf import settings
django.setup()
names = {names!r}
print(json.dumps({{name: getattr(settings, name, None) for name in names}}, default=str))
from pathlib import Path
for name, text in {{"broken.css": "a {{{{ background: url(not-there.png) }}}}"}}.items():
    (Path("own") / name).parent.mkdir(exist_ok=True)
    (Path("own") / name).write_text(text)
settings.STATICFILES_DIRS = [Path("own").resolve()]
from django.core.management import call_command
call_command("check", deploy=True, fail_level="WARNING")
call_command("collectstatic", interactive=False, verbosity=0)
from django.template import engines
print(engines["django"].from_string("{{% load static %}}{{% static 'admin/css/base.css' %}}|{{% static 'not-there.css' %}}").render())
from django.test import Client
print(Client(headers={{"host": settings.ALLOWED_HOSTS[0]}}).get("/static/admin/css/base.css").status_code)
"""


class Overlay:
    """A project as startproject makes it, with Homeport's settings over its own."""

    def __init__(self, folder: Path, name: str, files: Files, app: dict[str, Any]) -> None:
        self.folder = folder
        config = f"/srv/{name}/config/"
        write(
            folder,
            {
                path.removeprefix(f"/srv/{name}"): text
                for path, text in files.items()
                if path.startswith(config)
            },
        )
        (folder / "project").mkdir()
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", "site1", str(folder / "project")],
            check=True,
            cwd=folder,
        )
        self.environment = {
            **environment(files[f"{config}env"]),
            **{key: text.format(release=folder, id="1") for key, text in app["release_environment"].items()},
            "DJANGO_SETTINGS_MODULE": "homeport_settings",
            "HOMEPORT_BASE_SETTINGS": "site1.settings",
            "PYTHONPATH": f"{folder}/config:{folder}/project",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *names: str, **changes: str) -> tuple[dict[str, Any], list[str]]:
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", PROBE.format(names=names)],
            env={**self.environment, **changes},
            cwd=self.folder / "project",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        first, *rest = done.stdout.splitlines()
        return json.loads(first), rest


@pytest.fixture
def shop(typical: Files, tmp_path: Path) -> Overlay:
    found = Overlay(tmp_path, "shop", typical, resolved()["shop"])
    found.environment.update(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    return found


NAMES = (
    "DEBUG", "ALLOWED_HOSTS", "DATABASES", "STATIC_ROOT", "LOGIN_URL", "TIMES", "MIDDLEWARE", "STORAGES", "ROOT_URLCONF",
    "SECRET_KEY", "SESSION_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "CSRF_TRUSTED_ORIGINS", "WHITENOISE_MAX_AGE",
)  # fmt: skip


def test_overlay_with_whitenoise(shop: Overlay) -> None:
    settings, (_checks, urls, status) = shop.run(*NAMES)
    assert settings["DEBUG"] is False
    assert settings["ALLOWED_HOSTS"] == ["shop.example.org"]
    assert settings["SECRET_KEY"] == shop.environment["SECRET_KEY"]
    assert settings["STATIC_ROOT"] == f"{shop.folder}/static"
    assert settings["ROOT_URLCONF"] == "site1.urls"
    assert (settings["LOGIN_URL"], settings["TIMES"]) == ("/it's/", {"a": 1})
    assert settings["MIDDLEWARE"][:2] == [
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
    ]
    assert settings["DATABASES"]["default"]["NAME"] == f"{shop.folder}/db.sqlite3"
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["http://shop.example.org"]
    assert settings["SECURE_SSL_REDIRECT"] is settings["SESSION_COOKIE_SECURE"] is False
    assert settings["WHITENOISE_MAX_AGE"] == 3600
    hashed, missing = urls.split("|")
    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css", hashed)
    assert missing == "/static/not-there.css"
    assert status == "200"
    assert list((shop.folder / "static/admin/css").glob("base.*.css.gz"))


def test_overlay_without_whitenoise(shop: Overlay) -> None:
    (shop.folder / "config/overlay.d/50_whitenoise.py").unlink()
    base = shop.folder / "project/site1/settings.py"
    base.write_text(base.read_text() + "STATICFILES_STORAGE = 'x'\nDEFAULT_FILE_STORAGE = 'own.Storage'\n")
    settings, (_checks, urls, status) = shop.run("MIDDLEWARE", "STORAGES", "STATICFILES_STORAGE")
    assert settings["STORAGES"]["staticfiles"]["BACKEND"] == "homeport_static.HashedStaticFilesStorage"
    assert settings["STORAGES"]["default"]["BACKEND"] == "own.Storage"
    assert settings["STATICFILES_STORAGE"] is None  # which Django refuses beside STORAGES
    hashed, missing = urls.split("|")
    assert re.fullmatch(r"/static/admin/css/base\.[0-9a-f]{12}\.css", hashed)
    assert missing == "/static/not-there.css"
    assert status == "404"  # nginx serves it
    assert list((shop.folder / "static").glob("broken.*.css"))


def test_overlay_behind_https(shop: Overlay) -> None:
    names = ("SECURE_PROXY_SSL_HEADER", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE")
    found, (*_rest, status) = shop.run(*names, SITE_URL="https://shop.example.org")
    assert found["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]
    assert [found[name] for name in names[1:]] == [True, True, True]
    assert status == "301"


DATABASES: dict[str, dict[str, Any]] = {
    "postgres://u:p%40w%2F@db.example:6432/na%20me?sslmode=require": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "na me", "USER": "u", "PASSWORD": "p@w/", "HOST": "db.example", "PORT": 6432,
        "OPTIONS": {"sslmode": "require"},
    },
    "postgres://blog@/blog?host=/var/run/postgresql": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "blog", "USER": "blog", "PASSWORD": "", "HOST": "/var/run/postgresql", "PORT": "",
        "OPTIONS": {},
    },
    "postgresql:///blog?host=/tmp/pg": {
        "ENGINE": "django.db.backends.postgresql", "NAME": "blog", "USER": "", "PASSWORD": "", "HOST": "/tmp/pg", "PORT": "", "OPTIONS": {},
    },
    "pgsql://u@db.example/blog": {"ENGINE": "django.db.backends.postgresql", "NAME": "blog", "HOST": "db.example"},
    "postgis+psycopg://u@db.example/blog": {"ENGINE": "django.contrib.gis.db.backends.postgis", "NAME": "blog"},
    "sqlite3:////srv/a/db.sqlite3": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/a/db.sqlite3"},
    "sqlite:////srv/a/db.sqlite3": {
        "ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/a/db.sqlite3",
        "OPTIONS": {
            "timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("url", DATABASES)
def test_overlay_understands_every_database_that_homeport_names(url: str) -> None:
    found = overlay_functions()["_database"](url, {})
    assert {key: found[key] for key in DATABASES[url]} == DATABASES[url]


def test_overlay_of_a_django_that_knows_no_transaction_mode() -> None:
    names = overlay_functions()
    names["_django"] = (5, 0, 9)
    assert names["_database"]("sqlite:////x", {})["OPTIONS"] == {"timeout": 20}


def test_overlay_keeps_what_is_of_no_engine() -> None:
    names = overlay_functions()
    chosen = {"ATOMIC_REQUESTS": True, "TIME_ZONE": "UTC", "OPTIONS": {"timeout": 5}, "USER": "x"}
    found = names["_database"]("postgres://h/n", {"ENGINE": "django.db.backends.sqlite3", **chosen})
    assert (found["ATOMIC_REQUESTS"], found["TIME_ZONE"]) == (True, "UTC")
    assert (found["OPTIONS"], found["USER"]) == ({}, "")
    cache = {
        "BACKEND": "x.Locmem",
        "TIMEOUT": None,
        "VERSION": 3,
        "KEY_PREFIX": "own",
        "OPTIONS": {"MAX_ENTRIES": 1},
    }
    for url in ("redis://h/0", "memcached://h:1"):
        kept = names["_cache"](url, cache)
        assert (kept["TIMEOUT"], kept["VERSION"], kept["KEY_PREFIX"]) == (None, 3, "")
        assert "MAX_ENTRIES" not in kept.get("OPTIONS", {})


def overlay_functions() -> dict[str, Any]:
    text = (ROOT / "roles/django_app/files/config/homeport_settings.py").read_text()
    head = text[text.index("def _list") : text.index("DEBUG = ")]
    names: dict[str, Any] = {"_environment": {"CONN_MAX_AGE": "60"}, "_django": (5, 1, 0)}
    exec("from urllib.parse import parse_qsl, unquote, urlsplit\n" + head, names)
    return names


@pytest.mark.parametrize(
    ("chosen", "postgres", "sqlite"),
    [
        ("", "django.db.backends.postgresql", "django.db.backends.sqlite3"),
        ("django.db.backends.sqlite3", "django.db.backends.postgresql", "django.db.backends.sqlite3"),
        ("django.db.backends.mysql", "django.db.backends.postgresql", "django.db.backends.sqlite3"),
        ("django_tenants.postgresql_backend", "django_tenants.postgresql_backend", "django.db.backends.sqlite3"),
        ("psqlextra.backend", "psqlextra.backend", "django.db.backends.sqlite3"),
        ("django_prometheus.db.backends.sqlite3", "django_prometheus.db.backends.postgresql", "django_prometheus.db.backends.sqlite3"),
        ("django.contrib.gis.db.backends.spatialite", "django.contrib.gis.db.backends.postgis", "django.contrib.gis.db.backends.spatialite"),
    ],
)  # fmt: skip
def test_overlay_keeps_the_backend_that_a_project_has_chosen(chosen: str, postgres: str, sqlite: str) -> None:
    database = overlay_functions()["_database"]
    assert database("postgres://h/n", {"ENGINE": chosen})["ENGINE"] == postgres
    assert database("sqlite:////x", {"ENGINE": chosen})["ENGINE"] == sqlite


@pytest.mark.parametrize(
    ("chosen", "postgis"),
    [
        ("django.db.backends.sqlite3", "django.contrib.gis.db.backends.postgis"),
        ("django_tenants.postgresql_backend", "django_tenants.postgresql_backend"),
    ],
)
def test_overlay_takes_a_geographic_backend_from_the_scheme(chosen: str, postgis: str) -> None:
    database = overlay_functions()["_database"]
    assert database("postgis://h/n", {"ENGINE": chosen})["ENGINE"] == postgis
    spatialite = database("spatialite:////x", {"ENGINE": chosen})["ENGINE"]
    assert spatialite == "django.contrib.gis.db.backends.spatialite"


def test_overlay_keeps_what_else_a_project_says_of_that_backend() -> None:
    own = {"ENGINE": "django.db.backends.postgresql", "ATOMIC_REQUESTS": True, "NAME": "dev", "PASSWORD": "x"}
    own["OPTIONS"] = {"pool": True, "service": "dev", "sslmode": "disable"}
    found = overlay_functions()["_database"]("postgres://u@h/n?sslmode=require", own)
    assert found["OPTIONS"] == {"pool": True, "sslmode": "require"}
    assert (found["ATOMIC_REQUESTS"], found["NAME"], found["PASSWORD"]) == (True, "n", "")
    assert found["CONN_MAX_AGE"] == 0  # a pool takes no persistent connections
    assert "sslmode" not in overlay_functions()["_database"]("sqlite:////x", own)["OPTIONS"]


def test_overlay_of_a_project_without_security_middleware(render: Render) -> None:
    apps = {"shop": {"directory": "/c/overlay.d", "group": "shop"}}
    text = render("whitenoise", whitenoise_apps=apps, whitenoise_max_age=5)["/c/overlay.d/50_whitenoise.py"]
    for before, after in (
        ([], ["whitenoise.middleware.WhiteNoiseMiddleware"]),
        (["a.B"], ["whitenoise.middleware.WhiteNoiseMiddleware", "a.B"]),
        (
            ["a.B", "whitenoise.middleware.WhiteNoiseMiddleware"],
            ["a.B", "whitenoise.middleware.WhiteNoiseMiddleware"],
        ),
    ):
        names: dict[str, Any] = {"MIDDLEWARE": before, "STORAGES": {}}
        exec(text, names)
        assert names["MIDDLEWARE"] == after
        assert names["WHITENOISE_MAX_AGE"] == 5
