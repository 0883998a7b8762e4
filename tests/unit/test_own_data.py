"""Databases and uploads of a project's settings, compared with what is declared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.own_data import check_data, doubts

from tests.unit.releases import layout

SOURCE = "/srv/blog/releases/1/src"
POSTGRES = {"vendor": "postgresql", "name": "blog", "host": "/var/run/postgresql"}
SQLITE = {"vendor": "sqlite", "name": "db.sqlite3", "host": ""}


def said(folder: Path, answer: dict[str, Any], **fields: Any) -> str:
    """What the deploy refuses, or warns of."""
    spec = layout(folder, **fields).spec
    complete = {
        "default": {**POSTGRES} if spec["database"]["engine"] == "postgres" else {**SQLITE},
        "sqlite": [],
        "uploads": ["blog.Photo.image"],
        "MEDIA_URL": "/media/",
        "media_real": "/srv/blog/shared/media",
        "media_code": "",
        "media_writable": True,
        "media_view": False,
        "own_settings": [],
        **answer,
    }
    try:
        check_data(spec, complete, SOURCE)
    except DeployError as error:
        return f"refused: {error}"
    return "; ".join(doubts(spec, complete, SOURCE, "/srv/blog/shared"))


def test_what_is_as_declared(tmp_path: Path) -> None:
    assert said(tmp_path, {}) == ""
    assert said(tmp_path, {}, database="sqlite") == ""
    assert said(tmp_path, {"default": SQLITE}, database="none") == ""
    assert said(tmp_path, {"default": {**POSTGRES, "name": "", "host": ""}}) == ""


@pytest.mark.parametrize(
    ("vendor", "fields", "told"),
    [
        ("sqlite", {}, "the settings use SQLite, and postgres is declared.*declare database: sqlite"),
        ("", {}, "the settings have no database.*declare database: none"),
    ],
)
def test_another_kind_of_database(vendor: str, fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    found = said(tmp_path, {"default": {"vendor": vendor, "name": "x", "host": ""}}, **fields)
    assert re.match(f"refused: database: {told}", found)


@pytest.mark.parametrize(("vendor", "declared"), [("mysql", "postgres"), ("postgresql", "sqlite")])
def test_a_server_that_is_not_declared_is_warned_of(vendor: str, declared: str, tmp_path: Path) -> None:
    found = said(tmp_path, {"default": {"vendor": vendor, "name": "x", "host": "h"}}, database=declared)
    assert re.match(f"database: the settings use .*, and {declared} is declared.*database_url", found)


def test_no_database_where_nothing_migrates(tmp_path: Path) -> None:
    without = {"default": {"vendor": "", "name": "", "host": ""}}
    assert said(tmp_path, without, migrate={"run": False}) == ""


@pytest.mark.parametrize(
    ("used", "told"),
    [
        ({"name": "legacy"}, r"another PostgreSQL database \(legacy\) than"),
        ({"host": "db.example"}, r"\(blog on db.example\) than the declared one, which stays empty"),
        ({"host": "localhost"}, ""),
    ],
)
def test_another_database_of_the_same_kind(used: dict[str, str], told: str, tmp_path: Path) -> None:
    found = said(tmp_path, {"default": {**POSTGRES, **used}})
    assert re.search(told, found)
    assert bool(found) == bool(told)


def test_two_files_of_the_same_name(tmp_path: Path) -> None:
    def files(*paths: str) -> str:
        return said(tmp_path, {"sqlite": list(paths)}, database="sqlite")

    one, other = f"{SOURCE}/main/db.sqlite3", f"{SOURCE}/logs/db.sqlite3"
    assert "same name, main/db.sqlite3 and logs/db.sqlite3" in files(one, other)
    assert files(one, one) == files(one, "/elsewhere/db.sqlite3") == ""


CODE = {"media_code": f"{SOURCE}/backend", "media_real": f"{SOURCE}/backend"}


@pytest.mark.parametrize(
    ("answer", "fields", "told"),
    [
        (CODE, {}, r"refused: MEDIA_ROOT of the settings is a folder with code \(backend has backend"),
        ({**CODE, "uploads": []}, {}, "refused: MEDIA_ROOT"),
        ({**CODE, "media_real": SOURCE}, {}, "refused: MEDIA_ROOT"),
        ({**CODE, "media_real": SOURCE, "uploads": []}, {}, ""),
        (CODE, {"media": "none"}, ""),
        ({"media_real": ""}, {}, "have no MEDIA_ROOT: uploads .blog.Photo.image. are lost"),
        ({"media_real": f"{SOURCE}/media"}, {}, ""),
        (
            {"media_real": "/var/media"},
            {},
            "MEDIA_ROOT of the settings is /var/media, which is not backed up",
        ),
        ({"media_real": "/var/media", "media_writable": False}, {}, "cannot be written by the app"),
        ({"media_real": "", "uploads": []}, {}, ""),
        (
            {"MEDIA_URL": "/uploads/"},
            {},
            "refused: The settings have MEDIA_URL /uploads/, but media.url is /media/",
        ),
        ({"MEDIA_URL": "/uploads/", "media_view": True}, {}, "the app itself is asked"),
        ({"MEDIA_URL": "/uploads/"}, {"media": {"url": "/uploads/"}}, ""),
        ({"MEDIA_URL": "/uploads/", "uploads": []}, {}, ""),
        ({"MEDIA_URL": "media/"}, {}, ""),
        ({"MEDIA_URL": "//cdn.example/media/"}, {}, ""),
        ({"MEDIA_URL": "/"}, {}, ""),
        ({"MEDIA_URL": "/uploads/"}, {"setup": "simple"}, ""),
    ],
)
def test_uploads(answer: dict[str, Any], fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    found = said(tmp_path, answer, **fields)
    assert re.search(told, found)
    assert bool(found) == bool(told)


def test_files_that_replace_the_settings_are_warned_of(tmp_path: Path) -> None:
    assert said(tmp_path, {"own_settings": ["manage.py, line 3 sets it"]}) == "manage.py, line 3 sets it"
