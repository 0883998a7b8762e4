"""Extensions of PostgreSQL: which package brings them, and what an address says of a geographic database."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.extension_packages import (
    BROUGHT,
    CONTRIB,
)
from ansible_collections.homeport.django.plugins.module_utils.host import postgres_clusters
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import system_packages
from ansible_collections.homeport.django.plugins.module_utils.wiring.extension_packages import (
    extension_packages,
    extension_problems,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.modules import packages

from tests.unit.releases import write
from tests.unit.support import SECRET, app, resolved
from tests.unit.test_postgres_clusters import lines

DEBIAN_13 = {"distribution": "debian", "version": "13"}


def test_packages_of_extensions() -> None:
    databases = [
        {"extensions": ["postgis", "citext", "vector"]},
        {"extensions": ["postgis_raster", "own"]},
        {},
    ]
    assert extension_packages(databases, {"own": "postgresql-{version}-own"}) == [
        "postgresql-{version}-own",
        "postgresql-{version}-pgvector",
        "postgresql-{version}-postgis-3",
    ]
    assert not CONTRIB & set(BROUGHT)


@pytest.mark.parametrize(
    ("extension", "facts", "told"),
    [
        ("vector", {}, ""),
        ("vector", {"version": "12"}, "debian 12 has no package that brings vector (postgresql-NN-pgvector)"),
        ("citext", {}, ""),
        ("own", {}, ""),
        ("nonsense", {}, "no package is known that brings nonsense"),
        ("nonsense", {"postgres": "17", "postgres_extensions": ["nonsense"]}, ""),
        (
            "adminpack",
            {"postgres": "17", "postgres_extensions": ["citext"]},
            "is known that brings adminpack",
        ),
    ],
)
def test_what_no_package_brings(extension: str, facts: dict[str, Any], told: str) -> None:
    apps = resolve({"blog": app(database={"extensions": [extension]})}, {}, SECRET, "typical")
    found = extension_problems(apps, [], {"own": "x"}, {**DEBIAN_13, **facts})
    assert len(found) == bool(told)
    assert told in "".join(found)
    if told:
        assert found[0].startswith("django_apps.blog.database: extensions: ")


class Module:
    def __init__(self, lists: str) -> None:
        self.lists = lists

    def run_command(self, words: list[str], **_options: Any) -> tuple[int, str, str]:
        assert words == ["apt-cache", "depends", "postgresql"]
        return 0, self.lists, ""


@pytest.mark.parametrize(
    ("lists", "have", "found"),
    [
        ("", set(), "postgresql-{version}-postgis-3"),
        ("postgresql\n  Depends: postgresql-17\n", set(), "postgresql-17-postgis-3"),
        ("  Depends: postgresql-17\n", {"postgresql-15", "postgresql-16", "x"}, "postgresql-16-postgis-3"),
    ],
)
def test_the_version_of_a_package(
    lists: str, have: set[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "used_cluster", lambda: ("", "main"))
    assert packages.versioned(Module(lists), ["postgresql-{version}-postgis-3", "y"], have) == [found, "y"]


def test_the_version_is_that_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two of them: the one on the apps' port."""
    for version in ("15", "17"):
        (tmp_path / "etc" / version / "main").mkdir(parents=True)
        write(tmp_path / "lib" / version / "bin/postgres")
    monkeypatch.setattr(
        postgres_clusters, "answer", lambda _words: lines(("15", 5432, "online"), ("17", 5433, "online"))
    )
    folders = str(tmp_path / "etc"), str(tmp_path / "lib")
    monkeypatch.setattr(packages, "used_cluster", partial(postgres_clusters.used_cluster, *folders))
    have = {"postgresql-15", "postgresql-17"}
    assert packages.versioned(Module(""), ["postgresql-{version}-rum"], have) == ["postgresql-15-rum"]


@pytest.mark.parametrize(
    ("database", "scheme", "needed"),
    [
        ({}, "postgres", set()),
        ({"extensions": ["citext"]}, "postgres", set()),
        ({"extensions": ["postgis_raster"]}, "postgis", {"gdal-bin"}),
        ({"extensions": ["postgis"], "scheme": "postgresql"}, "postgresql", {"gdal-bin"}),
        (
            {"engine": "sqlite", "scheme": "spatialite"},
            "spatialite",
            {"gdal-bin", "libsqlite3-mod-spatialite"},
        ),
        ({"url": "postgis://db.example.org/blog"}, "postgis", {"gdal-bin"}),
    ],
)
def test_the_scheme_of_the_address(database: dict[str, Any], scheme: str, needed: set[str]) -> None:
    found = resolved(database=database)
    assert found["environment"]["DATABASE_URL"].startswith(f"{scheme}://")
    assert found["database"]["engine"] == ("sqlite" if scheme == "spatialite" else "postgres")
    assert {name for name in system_packages({"blog": found}) if "client" not in name} - {"git"} == needed
    (here,) = local_apps({"blog": found}, "/home/me")
    local = "spatialite" if needed else "sqlite"
    assert here["environment"]["DATABASE_URL"] == f"{local}:////home/me/blog/db.sqlite3"
    there = resolved(database=database, host={"database_host": "db"})
    assert there["environment"]["DATABASE_URL"].startswith(f"{scheme}://")


def test_a_scheme_is_no_part_of_an_address_that_is_given() -> None:
    wrong = {"blog": app(database={"url": "postgres://db/blog", "scheme": "postgis"})}
    assert any("django_apps.blog.database.scheme: " in line for line in check(wrong, {}, SECRET, "typical"))


@pytest.mark.parametrize(
    ("setup", "database", "told"),
    [
        ("typical", {"scheme": "spatialite"}, "goes with sqlite, and the app's database is postgres"),
        ("typical", {"scheme": "sqlite"}, "goes with sqlite"),
        ("typical", {"engine": "sqlite", "scheme": "postgres"}, "goes with postgres"),
        ("simple", {"scheme": "postgresql+psycopg"}, "goes with postgres, and the app's database is sqlite"),
        ("simple", {"scheme": "sqlite3"}, ""),
        ("typical", {"engine": "sqlite", "scheme": "spatialite"}, ""),
        ("typical", {"scheme": "postgresql+psycopg"}, ""),
        ("typical", {"scheme": "timescale"}, ""),
    ],
)
def test_a_scheme_of_another_engine(setup: str, database: dict[str, Any], told: str) -> None:
    found = check({"blog": app(database=database)}, {}, SECRET, setup)
    assert len(found) == bool(told), found
    assert told in "".join(found)
    if told:
        assert found[0].startswith("django_apps.blog.database.scheme: ")
