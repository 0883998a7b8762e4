"""Database, cache and broker on servers of their own."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.acceptance import tasks
from tests.acceptance.album import Album
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
def store(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://store1", ansible_inventory=inventory, sudo=True)


@pytest.fixture
def album(web: Any) -> Album:
    return Album(web.ansible.get_variables()["ansible_host"], "memories.example")


def test_no_service_beside_the_app(web: Any) -> None:
    for package in ("postgresql", "redis-server"):
        assert not web.package(package).is_installed
    for process in ("postgres", "redis-server"):
        assert not web.process.filter(comm=process)


def test_no_app_beside_its_services(database: Any, store: Any) -> None:
    for server, other in ((database, "redis-server"), (store, "postgresql")):
        for name in ("nginx", "supervisor", other):
            assert not server.package(name).is_installed
        assert not server.file("/srv/memories").exists


def test_an_upload_becomes_a_photo_by_a_task_through_another_host(album: Album) -> None:
    assert album.health()["status"] == "ok"
    tasks.wait_until_done(album, tasks.upload(album), 180)


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


def in_release(web: Any, script: str) -> Any:
    release = web.file("/srv/memories/current").linked_to
    return web.run("runuser -u memories -- /usr/local/lib/homeport/run %s python -c %s", release, script)


def test_nothing_goes_unencrypted(web: Any) -> None:
    tried = in_release(
        web,
        "import os, psycopg; "
        "psycopg.connect(os.environ['DATABASE_URL'].replace('sslmode=verify-full', 'sslmode=disable'))",
    )
    assert tried.rc != 0
    assert "no encryption" in tried.stderr
    for url in ("CACHE_URL", "BROKER_URL"):
        plain = f"os.environ['{url}'].partition('?')[0].replace('rediss:', 'redis:')"
        tried = in_release(web, f"import os, redis; redis.from_url({plain}).ping()")
        assert tried.rc != 0
        assert "ConnectionError" in tried.stderr


ASK = {
    "DATABASE_URL": "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('select 1')",
    "CACHE_URL": "import os, redis; redis.from_url(os.environ['CACHE_URL']).ping()",
    "BROKER_URL": "import os, redis; redis.from_url(os.environ['BROKER_URL']).ping()",
}


def test_a_server_by_another_name_is_refused(web: Any, database: Any, store: Any) -> None:
    """The authority has signed for the address under which the inventory knows each server, and for no other."""
    web.check_output("cp /etc/hosts /run/hosts")
    try:
        for server, name in ((database, "DATABASE_URL"), (store, "CACHE_URL"), (store, "BROKER_URL")):
            address = server.ansible.get_variables()["ansible_host"]
            web.check_output("echo %s elsewhere.example >>/etc/hosts", address)
            other = f"os.environ['{name}'].replace('{address}', 'elsewhere.example')"
            tried = in_release(web, ASK[name].replace(f"os.environ['{name}']", other))
            assert tried.rc != 0
            assert re.search("does not match host name|[Hh]ostname mismatch", tried.stderr), tried.stderr
            web.check_output("cp /run/hosts /etc/hosts")
    finally:
        web.check_output("cp /run/hosts /etc/hosts; rm /run/hosts")


IMPOSTOR = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -keyout {key} -out {crt} "
    "-subj '/CN={address}' -addext subjectAltName=IP:{address} 2>&1"
)


def test_an_impostor_is_refused_by_every_client_and_the_next_run_mends_it(
    operator: Operator, album: Album, web: Any, database: Any, store: Any
) -> None:
    """Who answers at the right address with a certificate of somebody else is told nothing."""
    services = [(database, "/etc/postgresql-common/homeport", "systemctl reload postgresql")]
    services += [
        (store, f"/etc/redis/redis-memories-{use}/tls", f"systemctl restart redis-server@memories-{use}")
        for use in ("cache", "broker")
    ]
    for server, path, again in services:
        address = server.ansible.get_variables()["ansible_host"]
        made = IMPOSTOR.format(crt=f"{path}.crt", key=f"{path}.key", address=address)
        server.check_output(made)
        server.check_output(again)
    for name, question in ASK.items():
        tried = in_release(web, question)
        assert tried.rc != 0
        assert "certificate verify failed" in tried.stderr, (name, tried.stderr)
    done = operator.run("external_services")
    assert done.status == 0, done.output
    for question in ASK.values():
        tried = in_release(web, question)
        assert tried.rc == 0, tried.stderr
    assert album.health()["status"] == "ok"


def as_postgres(database: Any, query: str, name: str = "memories") -> str:
    return str(database.check_output(f'runuser -u postgres -- psql -qAtd {name} -c "{query}"'))


def test_backups_of_a_database_on_another_host(
    operator: Operator, album: Album, web: Any, database: Any
) -> None:
    """Dumped, tried and restored from the app's host; the archive is kept where the database is."""
    kept = {"backup_repository": "/var/backups/site", "pgbackrest_repository": "/var/backups/postgres"}
    options = ["-e", json.dumps(kept)]
    done = operator.run("external_services", *options)
    assert done.status == 0, done.output
    photo = tasks.upload(album)
    tasks.wait_until_done(album, photo, 180)
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
    assert tasks.state(album, photo) == "done"

    database.check_output("systemctl start homeport-archive-drill")
    done = operator.run("status", *options)
    assert done.status == 0, done.output
    assert "memories    web1  drill" in done.output
    assert "PostgreSQL  db1   drill" in done.output


def test_a_bought_database_is_asked_before_anything_changes(
    operator: Operator, web: Any, database: Any, tmp_path: Path
) -> None:
    """Whether it answers, and whether the authority that is named has signed for it."""
    server = database.ansible.get_variables()["ansible_host"]
    (tmp_path / "right.pem").write_text(web.file("/etc/ssl/homeport/authority.pem").content_string)
    web.check_output(IMPOSTOR.format(crt="/run/other.pem", key="/run/other.key", address=server))
    (tmp_path / "wrong.pem").write_text(web.file("/run/other.pem").content_string)
    web.check_output("cp /etc/hosts /run/hosts; echo %s bought.example >>/etc/hosts", server)
    try:
        for address, name, told in (
            (f"{server}:5433", "right.pem", f"{server}:5433 does not answer"),
            ("bought.example", "wrong.pem", "the certificate of bought.example:5432 is refused: self-signed"),
            ("bought.example", "right.pem", "is refused: Hostname mismatch"),
        ):
            bought = {"url": f"postgres://memories@{address}/memories", "ca": str(tmp_path / name)}
            done = operator.run("external_services", changes={"database": bought})
            assert (done.status, done.changed) == (2, 0), done.output
            assert "django_apps.memories.database: " in done.output, done.output
            assert told in done.output, done.output
    finally:
        web.check_output("cp /run/hosts /etc/hosts; rm /run/hosts /run/other.*")
