"""PostgreSQL's superuser and an app's database, in which every name that it could look up is a trap."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.attacker import PROGRAMS, Evil
from tests.acceptance.under_load import wait_for

MARK = "/var/tmp/homeport-attack-mark"  # made by whoever ran the trap as the superuser
SCRATCH = r"^homeport[.]scratch[.]"


def psql(host: Any, statement: str, database: str = "postgres") -> str:
    """What the superuser is answered, who looks into no trap itself."""
    words = "PGOPTIONS='-c search_path=pg_catalog' psql -XqAt -v ON_ERROR_STOP=1"
    asked = f'cd / && echo "$ASKED" | runuser -u postgres -- env {words} -d {database}'
    return str(host.check_output(f"ASKED={quoted(statement)}; {asked}")).strip()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.fixture(autouse=True)
def sprung(evil: Evil, host: Any) -> Iterator[None]:
    """The traps are set, and nobody has walked into one in the end; nor is a way in left."""
    evil.do(f"psql -Xq -v ON_ERROR_STOP=1 -v app=evil -d evil -f {PROGRAMS}/trap.sql")
    host.run(f"rm -f {MARK}")
    yield
    assert not host.file(MARK).exists, host.file(MARK).content_string
    assert psql(host, f"SELECT rolname FROM pg_roles WHERE rolname ~ '{SCRATCH}'") == ""


def test_the_trap_works(evil: Evil, host: Any) -> None:
    """Or else the other tests would show nothing."""
    host.run("cd / && runuser -u postgres -- psql -XqAtc 'SELECT extname FROM pg_extension' -d evil")
    assert "postgres" in host.file(MARK).content_string
    host.check_output(f"rm {MARK}")


def test_a_drill(evil: Evil, host: Any) -> None:
    host.check_output("homeport-backup backup evil")
    told = host.check_output("homeport-backup drill evil")
    assert re.search(r"drill of evil: .* rows", told)


def test_a_drill_of_a_database_with_an_extension_of_the_apps_own(evil: Evil, host: Any) -> None:
    evil.do("psql -Xqc 'CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public' -d evil")
    host.check_output("homeport-backup backup evil")
    # and the drill before was killed when its database was closed still
    psql(host, "CREATE DATABASE homeport_drill_evil CONNECTION LIMIT 0 TEMPLATE template0")
    host.check_output("homeport-backup drill evil")
    assert psql(host, "SELECT datname FROM pg_database WHERE datname ~ 'drill'") == ""


def test_a_drill_of_the_archive(evil: Evil, host: Any) -> None:
    told = host.check_output("homeport-archive drill")
    assert re.search(r"drill of @archive: .* rows", told)
    assert not host.file("/var/lib/postgresql/homeport-point").exists


def test_a_database_of_some_moment(evil: Evil, host: Any) -> None:
    point = host.check_output("sleep 2; date -u +%Y-%m-%dT%H:%M:%S; sleep 2")
    evil.do("psql -Xqc 'INSERT INTO public.trap (id, checked) VALUES (2, 2)' -d evil")
    done = evil.play("restore", "-e", "app=evil", "-e", "confirm=evil", "-e", f"target_time={point}")
    assert done.status == 0, done.output
    assert evil.do("psql -XqAtc 'SELECT max(id) FROM public.trap' -d evil").strip() == "1"


def test_where_everybody_may_create(evil: Evil, host: Any) -> None:
    """PostgreSQL until 14 lets everybody create in the database that the superuser asks in."""
    psql(host, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    try:
        evil.do(f"psql -Xq -v ON_ERROR_STOP=1 -d postgres -f {PROGRAMS}/trap_postgres.sql")
        for playbook in ("status", "audit"):
            assert evil.play(playbook).status in (0, 2)
        assert psql(host, "SELECT has_schema_privilege('evil', 'public', 'CREATE')") == "t"
        done = evil.play("multi_app")
        assert done.status == 0, done.output
        assert psql(host, "SELECT has_schema_privilege('evil', 'public', 'CREATE')") == "f"
    finally:
        psql(host, "DROP OWNED BY evil; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    assert evil.run("psql -Xqc 'SELECT 1' -d template1").rc != 0


def test_extensions_that_come_later(evil: Evil, host: Any) -> None:
    """One that PostgreSQL trusts is the app's own; one that only a superuser creates waits until no trap is left."""
    wanted = {"database": {"engine": "postgres", "extensions": ["citext", "file_fdw"]}}
    refused = evil.play("multi_app", evil=wanted, **wanted)
    assert refused.status != 0
    assert "Cannot create extension file_fdw in evil" in refused.output
    assert "function trap.boom" in refused.output
    owner = "extname || ' of ' || pg_get_userbyid(extowner)"
    owners = f"SELECT string_agg({owner}, ', ' ORDER BY extname) FROM pg_extension"
    assert psql(host, owners, "evil").startswith("citext of evil, ")
    assert psql(host, owners, "victim").startswith("citext of victim, file_fdw of postgres, ")
    try:
        evil.do("psql -Xqc 'DROP SCHEMA trap CASCADE' -d evil")
        done = evil.play("multi_app", evil=wanted, **wanted)
        assert done.status == 0, done.output
        assert "file_fdw of postgres" in psql(host, owners, "evil")
    finally:
        psql(host, "DROP EXTENSION IF EXISTS file_fdw", "evil")
        psql(host, "DROP EXTENSION IF EXISTS file_fdw", "victim")


def test_a_database_that_is_being_made(evil: Evil, host: Any) -> None:
    """It is nobody's until it has its extensions; a run that was killed before is gone on with."""
    apps = {
        "mallory": {**evil.apps["evil"], "domains": ["mallory.example"], "source": {"path": str(evil.source)}}
    }
    apps["mallory"]["database"] = {"engine": "postgres", "extensions": ["file_fdw"]}
    psql(host, "CREATE DATABASE mallory CONNECTION LIMIT 0 TEMPLATE template0")
    assert evil.run("psql -Xqc 'SELECT 1' -d mallory").rc != 0
    done = evil.operator.run("multi_app", apps={**evil.apps, **apps})
    try:
        assert done.status == 0, done.output
        found = (
            "SELECT pg_get_userbyid(datdba), datconnlimit, datacl FROM pg_database WHERE datname = 'mallory'"
        )
        assert psql(host, found) == "mallory|-1|{mallory=CTc/mallory}"
        assert "file_fdw" in psql(host, "SELECT string_agg(extname, ' ') FROM pg_extension", "mallory")
        check_removal(evil, host, apps)
    finally:
        evil.operator.run(
            "remove_app", "-e", "app=mallory", "-e", "confirm=mallory", "-e", "dump=false", apps=evil.apps
        )


def check_removal(evil: Evil, host: Any, apps: dict[str, Any]) -> None:
    """What remove_app leaves is restored by the steps that it names, and by the app itself."""
    trap = f"psql -Xq -v ON_ERROR_STOP=1 -v app=mallory -d mallory -f {PROGRAMS}/trap.sql"
    host.check_output(f"cd / && runuser -u mallory -- {trap}")
    gone = evil.operator.run(
        "remove_app", "-e", "app=mallory", "-e", "confirm=mallory", apps={**evil.apps, **apps}
    )
    assert gone.status == 0, gone.output
    assert psql(host, "SELECT count(*) FROM pg_roles WHERE rolname = 'mallory'") == "0"
    back = evil.operator.run("multi_app", apps={**evil.apps, **apps})
    assert back.status == 0, back.output
    (folder,) = host.check_output("ls -d /var/backups/homeport/mallory-*").split()
    text = host.file(f"{folder}/README.txt").content_string
    assert "-u postgres" not in text  # the superuser loads no dump
    steps = "\n".join(
        line for line in text.splitlines() if line.startswith("  ") and not line.startswith("  (")
    )
    host.check_output("supervisorctl stop 'mallory.web:*'")
    host.check_output(f"cd {folder} && set -e\n{steps}")
    host.check_output("supervisorctl start 'mallory.web:*'")
    time.sleep(1)
    assert psql(host, "SELECT count(*) FROM public.trap", "mallory") == "1"
    host.check_output(f"rm -r {folder}")


def test_a_recovery(evil: Evil, host: Any) -> None:
    """The cluster is lost, and comes back from its archive with the traps in it."""
    rows = evil.do("psql -XqAtc 'SELECT count(*) FROM public.trap' -d evil")
    last = psql(host, "SELECT pg_walfile_name(pg_switch_wal())")
    archived = f"SELECT coalesce(last_archived_wal >= '{last}', false) FROM pg_stat_archiver"
    wait_for(lambda: psql(host, archived) == "t", 120)
    version, name = host.check_output("pg_lsclusters -h").split()[:2]
    host.check_output(
        f"pg_dropcluster --stop {version} {name} && pg_createcluster {version} {name} && "
        f"systemctl start postgresql@{version}-{name}"
    )
    done = evil.play("recover")
    assert done.status == 0, done.output
    host.check_output("supervisorctl restart evil.web:* victim.web:*")
    assert evil.do("psql -XqAtc 'SELECT count(*) FROM public.trap' -d evil") == rows
