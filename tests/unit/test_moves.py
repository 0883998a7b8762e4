"""Apps whose PostgreSQL is declared on another host than the one that has their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter.parts import unmoved
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.modules.host_facts import live_databases

from tests.unit.releases import write
from tests.unit.support import SECRET, app

WEB, DB, OTHER = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SOCKET = "/var/run/postgresql"


def objections(
    server: str, live: dict[str, Any], there: Any = None, phase: str = "", **fields: Any
) -> list[str]:
    """What is said on a host with the app blog, whose database server is declared at an address."""
    apps = resolve({"blog": app(**fields)}, {}, SECRET, "site", {"database_host": server})
    facts = {} if there is None else {"undeclared": {"databases": there}, "postgres_move": phase}
    return unmoved(apps, {"databases": live}, facts, "db1", WEB)


@pytest.mark.parametrize("live", [SOCKET, "", OTHER])
@pytest.mark.parametrize("there", [None, {}, {"shop": "shop"}])
def test_another_server_has_no_rows(live: str, there: Any) -> None:
    said = objections(DB, {"blog": {"host": live, "name": "blog"}}, there)
    assert f"blog: PostgreSQL on {OTHER if live == OTHER else WEB}" in said
    assert "move_postgresql" in said[-1]


def test_the_way_back_needs_the_rows_too() -> None:
    assert f"blog: PostgreSQL on {DB}" in objections("", {"blog": {"host": DB, "name": "blog"}}, {})


def test_an_app_that_has_another_name_now() -> None:
    assert objections(DB, {"old": {"host": SOCKET, "name": "old"}}, {}, was=["old"])


@pytest.mark.parametrize(
    ("server", "live", "there"),
    [
        (DB, DB, {}),  # where it is
        (DB, OTHER, {"blog": "blog"}),  # the same server at another address
        ("", SOCKET, {}),
        ("", WEB, {}),  # known to others by this address
        (DB, None, {}),  # the first release
    ],
)
def test_what_is_no_other_server(server: str, live: str | None, there: Any) -> None:
    assert objections(server, {} if live is None else {"blog": {"host": live, "name": "blog"}}, there) == []


@pytest.mark.parametrize("phase", ["copying", "promoting", "promoted", "stopped", "left"])
def test_a_copy_does_not_have_the_rows(phase: str) -> None:
    """The original may have served since. Once an app has moved, it is not elsewhere."""
    said = objections(DB, {"blog": {"host": SOCKET, "name": "blog"}}, {"blog": "blog"}, phase)
    assert f"blog: PostgreSQL on {WEB}" in said
    assert "no more than a copy" in said[-1]
    assert objections(DB, {"blog": {"host": DB, "name": "blog"}}, {"blog": "blog"}, phase) == []


def test_an_apps_own_server_is_not_homeports() -> None:
    database = {"url": "postgres://u:p@db.example/blog"}
    assert objections(DB, {"blog": {"host": SOCKET, "name": "blog"}}, {}, database=database) == []


def test_where_live_releases_have_their_databases(tmp_path: Path) -> None:
    urls = {
        "blog": f"postgres://blog@/blog?host={SOCKET}",
        "shop": f"postgres://shop.1:p@{DB}:5432/store?sslmode=verify-full",
        "wiki": "sqlite:////srv/wiki/shared/data/db.sqlite3",
        "odd": "postgres://[/",
    }
    for name, url in urls.items():
        write(tmp_path / name / "current/config/env", f"export DATABASE_URL='{url}'\n")
    assert live_databases(str(tmp_path)) == {
        "blog": {"host": SOCKET, "name": "blog"},
        "shop": {"host": DB, "name": "store"},
    }
