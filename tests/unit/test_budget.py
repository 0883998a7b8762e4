"""What the apps of a host need of its memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils import budget as estimates
from ansible_collections.homeport.django.plugins.module_utils.apps import resolve
from ansible_collections.homeport.django.plugins.module_utils.budget import (
    CHILD,
    CONNECTION,
    INSTANCE,
    MASTER,
    POSTGRES,
    PROCESS,
    RABBITMQ,
    WORKER,
    budget,
)

from tests.unit.support import SECRET, app

SERVER = ("apps", "postgres", "nginx", "cache", "broker")


def apps(count: int = 1, cores: int = 2, memory_mb: int = 1024, **fields: Any) -> dict[str, dict[str, Any]]:
    given = {f"app{number}": app(domains=[f"{number}.example.org"], **fields) for number in range(count)}
    return resolve(given, {}, SECRET, "typical", {"cores": cores, "memory_mb": memory_mb})


def of(found: estimates.Budget) -> dict[str, int]:
    return {item.what: item.mib for item in found.items}


def test_a_server_without_apps() -> None:
    assert set(of(budget({}, 1024, ["apps"]))) == {"system"}


def test_one_app() -> None:
    found = of(budget(apps(), 1024, SERVER))
    assert found["app0, web"] == MASTER + WORKER
    assert found["PostgreSQL"] == POSTGRES + 4 * CONNECTION
    assert set(found) == {"system", "PostgreSQL", "nginx", "supervisord", "a deploy", "app0, web"}
    assert budget(apps(), 1024, SERVER).verdict == "ok"


def test_what_runs_elsewhere_does_not_count() -> None:
    assert set(of(budget(apps(), 1024, ["postgres"]))) == {"system", "PostgreSQL"}
    assert "PostgreSQL" not in of(budget(apps(), 1024, ["apps", "nginx"]))
    assert of(budget(apps(database="sqlite"), 1024, SERVER))["PostgreSQL"] == POSTGRES


def test_workers_and_what_they_may_grow_to() -> None:
    assert of(budget(apps(web={"workers": 3}), 1024, SERVER))["app0, web"] == MASTER + 3 * WORKER
    grown = apps(web={"workers": 3, "memory": 400})
    assert of(budget(grown, 1024, SERVER))["app0, web"] == MASTER + 3 * 200
    assert of(budget(apps(web={"memory": 64}), 1024, SERVER))["app0, web"] == MASTER + WORKER


@pytest.mark.parametrize(
    ("options", "mib"),
    [
        ({}, PROCESS),
        ({"count": 3}, 3 * PROCESS),
        ({"count": 2, "memory": 600}, 600),
        ({"count": 0}, None),
    ],
)
def test_processes(options: dict[str, Any], mib: int | None) -> None:
    found = apps(processes={"queue": {"command": "manage.py qcluster", **options}})
    assert of(budget(found, 1024, SERVER)).get("app0, queue") == mib


def test_the_children_of_a_queue() -> None:
    found = apps(processes={"queue": {"command": "manage.py qcluster", "count": 2}})
    alone = of(budget(found, 1024, SERVER))
    found["app0"]["processes"]["queue"]["concurrency"] = 3
    with_children = of(budget(found, 1024, SERVER))
    assert with_children["app0, queue"] == 2 * (PROCESS + 3 * CHILD)
    assert with_children["PostgreSQL"] == alone["PostgreSQL"] + 4 * CONNECTION


def test_caches_and_brokers() -> None:
    found = apps(3)
    found["app0"]["cache"] = {"engine": "redis", "managed": True, "memory": 64}
    found["app1"]["cache"] = {"engine": "redis", "managed": False, "url": "redis://elsewhere"}
    for name in ("app0", "app1"):
        found[name]["broker"] = {"engine": "rabbitmq", "managed": True}
    items = of(budget(found, 1024, SERVER))
    assert items["app0, cache"] == INSTANCE + 64
    assert items["RabbitMQ"] == RABBITMQ
    assert not {"app1, cache", "app2, cache", "app0, broker"} & set(items)
    assert "RabbitMQ" not in of(budget(found, 1024, ["apps"]))


def test_the_verdict_follows_the_sum() -> None:
    needed = budget(apps(), 1024, SERVER).total
    assert budget(apps(), needed - 1, SERVER).verdict == "over"
    assert budget(apps(), needed, SERVER).verdict == "tight"
    assert budget(apps(), int(needed / 0.8) + 1, SERVER).verdict == "ok"


def test_the_table_has_every_item_and_their_sum() -> None:
    found = budget(apps(2), 1024, SERVER)
    lines = found.table().splitlines()
    assert len(lines) == len(found.items) + 2
    assert lines[-2].split() == ["together", str(found.total), "MiB"]
    assert lines[-1].split() == ["memory", "of", "the", "host", "1,024", "MiB"]
    assert len({len(line) for line in lines}) == 1
