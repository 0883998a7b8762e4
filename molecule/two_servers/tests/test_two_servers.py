"""The same playbook with the database on a server of its own."""

import json
from typing import Any

import pytest
import testinfra

from tests.acceptance import checks
from tests.acceptance.album import Album, picture
from tests.acceptance.operator import Operator

testinfra_hosts = ["ansible://web1"]


@pytest.fixture
def web(host: Any) -> Any:
    return host


@pytest.fixture
def database(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://db1", ansible_inventory=inventory, sudo=True)


@pytest.fixture
def album(web: Any) -> Album:
    return Album(web.ansible.get_variables()["ansible_host"], "memories.example")


def test_an_upload_becomes_a_photo(album: Album) -> None:
    assert album.health()["status"] == "ok"
    checks.check_album_works(album)


def test_no_database_beside_the_app(web: Any) -> None:
    assert not web.package("postgresql").is_installed
    assert not web.process.filter(comm="postgres")


def test_no_app_beside_the_database(database: Any) -> None:
    for name in ("nginx", "supervisor"):
        assert not database.package(name).is_installed
    assert not database.file("/srv/memories").exists


def test_the_app_comes_over_tls_with_a_scram_password(album: Album, database: Any) -> None:
    album.health()
    query = (
        "select bool_and(ssl) and count(*) > 0 from pg_stat_ssl join pg_stat_activity using (pid) "
        "where usename like 'memories.%'"
    )
    assert database.check_output(f'runuser -u postgres -- psql -qAt -c "{query}"') == "t"
    query = (
        "select bool_and(rolpassword like 'SCRAM-SHA-256%') from pg_authid where rolname like 'memories.%'"
    )
    assert database.check_output(f'runuser -u postgres -- psql -qAt -c "{query}"') == "t"


def test_only_the_apps_own_server_gets_in(database: Any) -> None:
    address = database.backend.ansible_runner.get_variables("db1")["ansible_host"]
    refused = database.run(
        f"runuser -u postgres -- psql 'host={address} user=memories dbname=memories sslmode=require password=x' "
        "-c 'select 1'"
    )
    assert refused.rc != 0
    assert "no pg_hba.conf entry" in refused.stderr


def test_nothing_goes_unencrypted(web: Any) -> None:
    script = (
        "import os, psycopg; "
        "url = os.environ['DATABASE_URL'].replace('sslmode=require', 'sslmode=disable'); "
        "psycopg.connect(url)"
    )
    release = web.file("/srv/memories/current").linked_to
    tried = web.run(f'runuser -u memories -- /usr/local/lib/homeport/run {release} python -c "{script}"')
    assert tried.rc != 0
    assert "no encryption" in tried.stderr


def as_postgres(database: Any, query: str, name: str = "memories") -> str:
    return str(database.check_output(f'runuser -u postgres -- psql -qAtd {name} -c "{query}"'))


def test_backups_of_a_database_on_another_host(
    operator: Operator, album: Album, web: Any, database: Any
) -> None:
    """Dumped, tried and restored from the app's host; the archive is kept where the database is."""
    kept = {"backup_repository": "/var/backups/site", "pgbackrest_repository": "/var/backups/postgres"}
    options = ["-e", json.dumps(kept)]
    done = operator.run("typical", *options)
    assert done.status == 0, done.output
    album.upload(album.new_album("Before the fire"), picture(90, 60))
    photos = web.check_output("find /srv/memories/shared/media -type f -exec sha256sum {} + | sort")
    count = as_postgres(database, "select count(*) from album_album")
    done = operator.run("backup", *options, "-e", "drill=true")
    assert done.status == 0, done.output
    assert "memories restored by the drill" in done.output
    tables = "select count(*) from pg_tables where schemaname = 'public'"
    assert as_postgres(database, tables, "homeport_drill_memories") == "0"

    as_postgres(database, "truncate album_photo, album_album cascade")
    web.check_output("rm -r /srv/memories/shared/media/*")
    done = operator.run("restore", *options, "-e", "app=memories", "-e", "confirm=memories")
    assert done.status == 0, done.output
    assert "exactly as they were counted" in done.output
    assert as_postgres(database, "select count(*) from album_album") == count
    assert web.check_output("find /srv/memories/shared/media -type f -exec sha256sum {} + | sort") == photos
    assert "Before the fire" in album.get("/").text

    database.check_output("systemctl start homeport-archive-drill")
    done = operator.run("status", *options)
    assert done.status == 0, done.output
    assert "memories    web1  drill" in done.output
    assert "PostgreSQL  db1   drill" in done.output
