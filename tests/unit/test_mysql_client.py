"""Dumps and restores of MySQL and MariaDB, with client programs that write down what they get."""

from __future__ import annotations

import io
import types
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.programs import mysql_client

from tests.unit.releases import write
from tests.unit.support import CANARY

PASSWORD = f'{CANARY}"\\ #'


class Cursor:
    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, query: str) -> None:
        assert query == mysql_client.TABLES

    def fetchall(self) -> list[tuple[str, str]]:
        return [("BASE TABLE", "a`b"), ("VIEW", "seen")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings: dict[str, Any] = {
        "NAME": "shop", "USER": "me", "PASSWORD": PASSWORD, "HOST": "db.example", "PORT": "",
        "OPTIONS": {"ssl": {"ca": "/ca.pem"}, "read_default_file": "/etc/own.cnf"},
    }  # fmt: skip
    given = types.SimpleNamespace(settings_dict=settings, cursor=Cursor, close=lambda: None)
    monkeypatch.setattr(mysql_client, "connection", given)
    for name in ("mariadb", "mariadb-dump"):
        script = f'#!/bin/sh\necho "$@" >{tmp_path}/words\ncat "${{1#*=}}" >{tmp_path}/options\ncat >{tmp_path}/input\n'
        write(tmp_path / f"bin/{name}", script).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def test_a_password_is_in_a_file_alone(folder: Path) -> None:
    assert mysql_client.dump() == 0
    words = (folder / "words").read_text()
    assert CANARY not in words
    assert " --single-transaction " in words
    assert words.endswith(" shop\n")
    assert (folder / "options").read_text().splitlines() == [
        "!include /etc/own.cnf",
        "[client]",
        'user="me"',
        f'password="{CANARY}\\"\\\\ #"',
        'host="db.example"',
        'ssl-ca="/ca.pem"',
    ]
    assert not Path(words.split()[0].partition("=")[2]).exists()


@pytest.mark.parametrize(
    ("options", "verifies"),
    [
        ({}, False),
        ({"ssl": {"ca": "/ca.pem"}}, True),
        ({"ssl_ca": "/ca.pem"}, True),
        ({"ssl_mode": "REQUIRED"}, False),
        ({"ssl_mode": "VERIFY_CA"}, True),
    ],
)
def test_a_server_is_verified_where_the_app_does(
    folder: Path, options: dict[str, Any], verifies: bool
) -> None:
    given: Any = vars(mysql_client)["connection"]
    given.settings_dict["OPTIONS"] = {"read_default_file": "/etc/own.cnf", **options}
    assert mysql_client.dump() == 0
    lines = (folder / "options").read_text().splitlines()
    # a file of the app's own has the last word
    expected = [] if verifies else ["[client]", "loose-ssl-verify-server-cert=0"]
    assert lines[: lines.index("!include /etc/own.cnf")] == expected
    assert ('ssl-ca="/ca.pem"' in lines) == ("/ca.pem" in str(options))


def test_a_dump_of_mysqls_own_program(folder: Path) -> None:
    assert mysql_client.dump() == 0
    assert "gtid" not in (folder / "words").read_text()
    (folder / "bin/mariadb-dump").rename(folder / "bin/mysqldump")
    assert mysql_client.dump() == 0
    words = (folder / "words").read_text().split()
    assert words[1:3] == ["--loose-column-statistics=0", "--loose-set-gtid-purged=OFF"]


def test_a_restore_empties_the_database_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = b"CREATE TABLE x (id int);\n-- Dump completed on 2026-11-30\n"
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(dump)))
    assert mysql_client.restore() == 0
    assert (folder / "input").read_text().splitlines() == [
        "SET FOREIGN_KEY_CHECKS = 0;",
        "DROP TABLE IF EXISTS `a``b`;",
        "DROP VIEW IF EXISTS `seen`;",
        "SET FOREIGN_KEY_CHECKS = 1;",
        *dump.decode().splitlines(),
    ]


def test_a_dump_that_was_cut_off_drops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(b"CREATE TABLE x (id int);\n")))
    with pytest.raises(SystemExit, match="The dump is not complete"):
        mysql_client.restore()
    assert not (folder / "input").exists()


def test_a_host_without_the_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(SystemExit, match="has no mariadb-dump: name default-mysql-client in system_packages"):
        mysql_client.dump()
