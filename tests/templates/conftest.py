# ruff: noqa: E501
"""The files that the roles write for a set of apps, rendered by the roles' own tasks and action plugin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.homeport.django.plugins.action.service_config import ActionModule
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import gunicorn_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_clients,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs
from ansible_collections.homeport.django.plugins.module_utils.wiring.whitenoise import whitenoise_apps

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef0123456789abcdef"
LONGEST_DOMAIN = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

# Odd values in every place where a user may put them; they must come out as what they are.
APPS: dict[str, Any] = {
    "blog": {
        "domains": ["blog.example.org", "www.blog.example.org", "xn--bcher-kva.example"],
        "aliases": ["*.blog.example.org", "intern"],
        "source": {"git": "https://git.example.org/blog.git"},
        "proxy": {"upload_limit": "1g", "timeout": 300, "extra": 'location = /robots.txt {\n    return 200 "User-agent: *\\nDisallow: /\\n";\n}\n'},
        "processes": {"queue": {"command": "manage.py qcluster --name 'a b' --rate 50%", "count": 2, "stop_signal": "INT"}},
        "schedules": {"digest": {"command": "manage.py digest > /dev/null", "calendar": "Mon..Fri *-*-* 06:30:00"}},
        "env": {"HOSTILE": "it's \"$HOME\" `id` 100% {{ 7 * 7 }} {% raw %}\n#;é"},
    },
    "longest-name-that-an-app-can-ha": {
        "domains": [LONGEST_DOMAIN, *(f"host{number}.example.org" for number in range(60))],
        "source": {"path": "../x"},
        "static": {"url": "/a~b/static.v1/"},
        "media": {"url": "/up-loads/"},
    },
    "shop": {
        "domains": ["shop.example.org"],
        "source": {"package": "shop"},
        "overlay": True,
        "overlay_settings": {"LOGIN_URL": "'/it\\'s/'", "TIMES": "{\n    'a': 1,\n}"},
        "static": "whitenoise",
        "media": "none",
        "web": {"server": "asgi", "gunicorn": {"proc_name": "it's \"odd\" {{ x }}", "max_requests": 10, "preload_app": True}},
    },
    "plain": {
        "domains": ["plain.example.org"],
        "source": {"archive": "x.zip"},
        "static": "none",
        "media": "none",
        "database": "none",
    },
}  # fmt: skip

# What host_facts finds on a host.
FACTS: dict[str, Any] = {
    "distribution": "debian", "version": "12", "nginx": "1.22.1", "nginx_brotli": False, "ipv6": False,
    "postgres": "15", "postgres_cluster": "main", "memory_mb": 2000, "cores": 2, "systemd": True,
}  # fmt: skip

Files = dict[str, str]
Render = Callable[..., Files]


def resolved(setup: str = "typical", **facts: Any) -> dict[str, Any]:
    apps = APPS
    if setup == "simple":  # what that setup has
        apps = {
            name: {
                **app,
                "web": {**app.get("web", {}), "port": 8000 + number},
                "static": "whitenoise",
                "database": "sqlite",
            }
            for number, (name, app) in enumerate(APPS.items())
        }
    return resolve(apps, {}, SECRET, setup, {"cores": 2, "memory_mb": 2000, **facts})


class Action(ActionModule):
    """The action plugin, finding files where a role has them, as Ansible does for a task of the role."""

    def __init__(self, role: Path, templar: Templar) -> None:
        self.role = role
        self._templar = templar

    def _find_needle(self, dirname: str, needle: str) -> str:
        return str(self.role / dirname / needle)


@pytest.fixture(scope="session")
def render() -> Render:
    """Texts of the files that a role's own tasks write, by path."""
    loader = DataLoader()

    def load(path: Path) -> Any:
        return loader.load_from_file(str(path), trusted_as_template=True)

    def found(name: str, facts: dict[str, Any] | None = None, **given: Any) -> Files:
        role = ROOT / "roles" / name
        variables = {"ansible_facts": {"homeport": {**FACTS, **(facts or {})}}, "inventory_hostname": "host"}
        for file in (role / "defaults/main.yml", *sorted(role.glob("vars/**/*.yml"))):
            variables.update(load(file) or {})
        variables.update(given)
        result: Files = {}
        configure = role / "tasks/configure.yml"
        for task in load(configure if configure.exists() else role / "tasks/main.yml"):
            arguments = task.get("homeport.django.service_config")
            if arguments:
                variables.update(task.get("vars", {}))
                templar = Templar(loader=loader, variables=variables)
                action = Action(role, templar)
                for entry in templar.template(arguments)["files"]:
                    rendered = action._rendered(dict(entry), variables)
                    result[rendered["path"]] = rendered.get("content") or ""
        return result

    return found


@pytest.fixture(scope="session")
def typical(render: Render) -> Files:
    """Everything that the roles write on one server of the setup typical."""
    apps, remote = resolved(), resolved(database_host="db.example.org")
    return {
        **render("django_app", django_app_apps=apps, django_app_base="/inventory"),
        **render("gunicorn", gunicorn_apps=gunicorn_apps(apps)),
        **render("whitenoise", whitenoise_apps=whitenoise_apps(apps)),
        **render("supervisord", supervisord_app_programs=supervisord_programs(apps)),
        **render("nginx", nginx_app_sites=nginx_sites(apps)),
        **render(
            "postgres",
            postgres_app_databases=postgres_databases(remote),
            postgres_app_clients=postgres_clients(remote, ["10.0.0.5", "fd00::5"]),
            postgres_clients=[{"database": "x", "user": "y", "address": "10.1.0.0/16"}],
            postgres_settings={"log_line_prefix": "it's %m ", "jit": False, "max_wal_size": "2GB"},
        ),
    }


def write(folder: Path, files: Files) -> None:
    """Puts the files below ``folder`` as if it were the root of the host."""
    for path, text in files.items():
        target = folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if text:
            target.write_text(text, encoding="utf-8")
