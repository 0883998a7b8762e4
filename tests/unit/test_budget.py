"""What the apps of a host need of its memory."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import CONNECTION
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES
from ansible_collections.homeport.django.plugins.module_utils.wiring import budget as estimates
from ansible_collections.homeport.django.plugins.module_utils.wiring.budget import (
    MASTER,
    PROCESS,
    WORKER,
    budget,
)

from tests.unit.support import SECRET, app

INSTANCE, RABBITMQ = ENGINES["redis"].idle, ENGINES["rabbitmq"].idle
POSTGRES = ENGINES["postgres"].idle
SERVER = ("apps", "postgres", "nginx", "cache", "broker")


def apps(count: int = 1, setup: str = "typical", **fields: Any) -> dict[str, dict[str, Any]]:
    given = {f"app{number}": app(domains=[f"{number}.example.org"], **fields) for number in range(count)}
    return resolve(given, {}, SECRET, setup, {"cores": 2, "memory_mb": 1024})


def of(found: estimates.Budget) -> dict[str, tuple[int, int]]:
    return {item.what: (item.idle, item.most) for item in found.items}


def test_a_server_without_apps() -> None:
    assert set(of(budget({}, 1024, ["apps"]))) == {"system"}


def test_one_app() -> None:
    found = of(budget(apps(), 1024, SERVER))
    assert found["app0, web"] == (MASTER + WORKER, MASTER + WORKER)
    assert found["PostgreSQL"] == (POSTGRES, POSTGRES + 4 * CONNECTION)
    assert set(found) == {"system", "PostgreSQL", "nginx", "supervisord", "a deploy", "app0, web"}
    assert budget(apps(), 1024, SERVER).verdict == "ok"


def test_what_runs_elsewhere_does_not_count() -> None:
    assert set(of(budget(apps(), 1024, ["postgres"]))) == {"system", "PostgreSQL"}
    assert "PostgreSQL" not in of(budget(apps(), 1024, ["apps", "nginx"]))
    assert of(budget(apps(database="sqlite"), 1024, SERVER))["PostgreSQL"] == (POSTGRES, POSTGRES)


def test_workers_and_what_they_may_grow_to() -> None:
    grown = apps(web={"workers": 3, "memory": 400})
    assert of(budget(grown, 1024, SERVER))["app0, web"] == (MASTER + 3 * WORKER, MASTER + 3 * 400)
    small = apps(web={"memory": 64})
    assert of(budget(small, 1024, SERVER))["app0, web"] == (MASTER + WORKER, MASTER + 64)


QCLUSTER = QUEUES["django_q"].memory


@pytest.mark.parametrize(
    ("process", "needs"),
    [
        ({"command": "x"}, (PROCESS, PROCESS)),
        ({"command": "x", "count": 3}, (3 * PROCESS, 3 * PROCESS)),
        ({"command": "x", "count": 2, "memory": 600}, (2 * PROCESS, 1200)),
        ({"command": "x", "count": 0}, None),
        ({"kind": "django_q"}, (QCLUSTER, QCLUSTER)),
        (
            {"kind": "django_q", "concurrency": 3, "memory": 300},
            (QCLUSTER + 2 * QUEUES["django_q"].memory_each, 300),
        ),
    ],
)
def test_processes(process: dict[str, Any], needs: tuple[int, int] | None) -> None:
    assert of(budget(apps(processes={"queue": process}), 1024, SERVER)).get("app0, queue") == needs


def test_caches_and_brokers() -> None:
    found = apps(3, setup="site", cache="redis", broker="rabbitmq")
    found["app1"]["cache"] = {"engine": "redis", "managed": False, "url": "redis://elsewhere"}
    items = of(budget(found, 1024, SERVER))
    assert items["app0, cache"] == (INSTANCE, INSTANCE + 64)
    assert items["RabbitMQ"] == (RABBITMQ, RABBITMQ)
    assert not {"app1, cache", "app0, broker"} & set(items)
    assert "RabbitMQ" not in of(budget(found, 1024, ["apps"]))


def test_the_verdict_follows_the_sums() -> None:
    found = budget(apps(), 1024, SERVER)
    assert found.idle < found.most
    assert budget(apps(), found.idle - 1, SERVER).verdict == "over"
    assert budget(apps(), found.idle, SERVER).verdict == "tight"
    assert budget(apps(), found.most, SERVER).verdict == "ok"


def test_fourteen_apps_in_a_gigabyte() -> None:
    assert budget(apps(14), 1024, ["apps", "nginx", "postgres"]).verdict == "tight"
    assert budget(apps(14, web={"workers": 3}), 1024, ["apps", "nginx", "postgres"]).verdict == "over"


def test_the_table_has_every_item_and_their_sums() -> None:
    found = budget(apps(2), 1024, SERVER)
    lines = found.table()
    assert len(lines) == len(found.items) + 3
    assert lines[-2].split() == ["together", str(found.idle), str(found.most)]
    assert lines[-1].split() == ["memory", "of", "the", "host", "1,024", "1,024"]
    assert len({len(line) for line in lines}) == 1
