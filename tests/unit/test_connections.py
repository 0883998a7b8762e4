"""How many connections the apps can open to PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.app.connections import connection_problems
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve

from tests.unit.support import SECRET, app

ROOT = Path(__file__).parents[2]


def apps(count: int = 1, hosts: int = 1, **fields: Any) -> dict[str, dict[str, Any]]:
    given = {f"app{number}": app(domains=[f"{number}.example.org"], **fields) for number in range(count)}
    return resolve(given, {}, SECRET, "typical", {"cores": 2, "memory_mb": 4000, "app_hosts": hosts})


def problems(found: dict[str, Any], hosts: int, most: int) -> list[str]:
    return connection_problems(found, found, hosts, hosts, most)


def test_workers_count_where_they_run() -> None:
    fields = {"web": {"workers": 2, "threads": 9}, "processes": {"many": {"command": "x", "count": 50}}}
    hosts = {"app_hosts": 3, "worker_hosts": 1}
    everywhere = resolve({"app0": app(**fields)}, {}, SECRET, "typical", hosts)
    web = resolve({"app0": app(**fields)}, {}, SECRET, "typical", {**hosts, "workers": False})
    assert web["app0"]["limits"] == everywhere["app0"]["limits"]
    assert web["app0"]["limits"]["database_connections"] == 2 * 3 * 18 + 50 + 3
    assert connection_problems(web, everywhere, 3, 1, 1000) == []
    found = connection_problems(web, everywhere, 4, 1, 1000)
    assert len(found) == 1 and " can open 197: " in found[0]


def test_a_deploy_asks_what_the_server_runs_with() -> None:
    found = apps(4, web={"workers": 4, "threads": 10})
    assert connection_problems(found, found, 1, 1, 300, 300) == []
    assert connection_problems(found, found, 1, 1, 300, 0) == []
    [told] = connection_problems(found, found, 1, 1, 300, 200)
    assert told.startswith(
        "postgres_max_connections: is 300, PostgreSQL runs with 200, and all apps together can open 200, while 10 are "
        "kept free. Run the setup playbook with -e restart=now"
    )
    [told] = connection_problems(found, found, 1, 1, 100, 100)  # no run of the setup playbook helps
    assert "Raise it" in told


def test_defaults_fit_each_other() -> None:
    assert problems(apps(14), 1, 200) == []


@pytest.mark.parametrize(
    ("fields", "hosts", "needed"),
    [
        ({"web": {"workers": 4, "threads": 13}}, 1, 2 * 52 + 3),
        ({"web": {"workers": 2, "threads": 9}}, 3, 2 * 54 + 3),
        ({"processes": {"queue": {"kind": "django_q", "concurrency": 40, "count": 2}}}, 1, 16 + 82 + 3),
        ({"processes": {"many": {"command": "x", "count": 50}}}, 2, 32 + 100 + 3),
        ({}, 1, 19),
    ],
)
def test_what_an_app_can_open_is_the_least_that_its_role_takes(
    fields: dict[str, Any], hosts: int, needed: int
) -> None:
    found = problems(apps(**fields, limits={"database_connections": needed - 1}), hosts, 1000)
    assert len(found) == 1
    assert found[0].startswith(f"django_apps.app0.limits.database_connections: is {needed - 1}, and ")
    assert f" can open {needed}: " in found[0]
    by_itself = apps(hosts=hosts, **fields)
    assert by_itself["app0"]["limits"]["database_connections"] == max(100, needed)
    assert problems(by_itself, hosts, 1000) == []
    # the database server does not know how many cores the app servers have
    told = resolve(
        {"app0": app(**fields)}, {}, SECRET, "typical", {"database_host": "remote", "app_hosts": hosts}
    )
    assert told["app0"]["limits"] == by_itself["app0"]["limits"]


def test_more_than_the_server_takes() -> None:
    found = problems(apps(3), 1, 41)
    assert found == [
        "postgres_max_connections: is 41, and all apps together can open 32, while 10 are kept free. Raise it "
        "(PostgreSQL restarts), or lower web.workers and web.threads"
    ]
    assert problems(apps(3), 1, 42) == []


@pytest.mark.parametrize(
    "fields",
    [{"database": "sqlite"}, {"database": {"url": "postgres://u@db.example/x"}}, {"web": {"server": "asgi"}}],
)
def test_what_has_no_limit_that_homeport_sets(fields: dict[str, Any]) -> None:
    web = {"workers": 40, "threads": 40, **fields.pop("web", {})}
    assert problems(apps(web=web, **fields), 1, 100) == []


def test_the_number_of_the_role_is_the_one_that_the_playbooks_take_it_for() -> None:
    defaults = yaml.safe_load((ROOT / "roles/postgres/defaults/main.yml").read_text())
    wiring = (ROOT / "playbooks/vars/checks.yml").read_text()
    assert f"postgres_max_connections | default({defaults['postgres_max_connections']}))" in wiring
