"""PostgreSQL is upgraded by the verb, after the system was: what visitors, the archive and the way back are then."""

import re
from typing import Any

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.tasks import upload, wait_until_done
from tests.acceptance.watcher import watching

testinfra_hosts = ["ansible://web1"]

Apps = dict[str, dict[str, Any]]
LONGEST = 240  # seconds without an answer, a machine that does nothing else takes a tenth
ROWS = """
SELECT sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', oid::regclass), false, true, ''))
           )[1]::text::int)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname !~ 'session|ormq|django_q'
"""


def psql(host: Any, query: str, database: str = "memories") -> str:
    return str(host.check_output(f'cd / && runuser -u postgres -- psql -XAtqd {database} -c "{query}"'))


def version(host: Any) -> str:
    return psql(host, "SHOW server_version").partition(".")[0]


def test_the_upgrade(album: Album, notes: Album, operator: Operator, apps: Apps, host: Any) -> None:
    """It is interrupted by nothing but itself, and loses no row."""
    assert version(host) == "15"
    plan = operator.run("upgrade_postgresql", "--check", apps=apps)
    assert plan.status == 0, plan.output
    assert re.search(
        r"web1: PostgreSQL 15 becomes PostgreSQL 17: .* closed for about \d+ s", plan.output, re.S
    )
    before = psql(host, ROWS)
    with watching([album, notes]) as seen:
        done = operator.run("upgrade_postgresql", "-e", "confirm=17", apps=apps)
    assert done.status == 0, done.output
    assert version(host) == "17"
    assert psql(host, ROWS) == before
    assert re.search(r"web1: the apps were closed for [\d.]+ s", done.output), done.output
    assert seen.longest(beside=0) < LONGEST, seen.gaps
    assert {name for name, _before, _after in seen.gaps} <= {"memories.example"}, "an app without PostgreSQL"
    wait_until_done(album, upload(album))
    again = operator.run("upgrade_postgresql", "-e", "confirm=17", apps=apps)
    assert "nothing to do. PostgreSQL 17 is what the host has" in again.output, again.output
    assert again.changed == 0, again.output


def test_what_was_dumped_before_is_restored(album: Album, operator: Operator, apps: Apps, host: Any) -> None:
    """By 15, into 17."""
    album.new_album("Written to PostgreSQL 17")
    restored = operator.run(
        "restore", "-e", "app=memories", "-e", "confirm=memories", "-e", "dump=false", apps=apps
    )
    assert restored.status == 0, restored.output
    assert "Written to PostgreSQL 17" not in album.get("/").text


def test_the_old_cluster_goes(operator: Operator, apps: Apps, host: Any) -> None:
    assert "15  main" in host.check_output("pg_lsclusters")
    done = operator.run("upgrade_postgresql", "-e", "finish=true", "-e", "confirm=17", apps=apps)
    assert done.status == 0, done.output
    assert "15  main" not in host.check_output("pg_lsclusters")
    assert not host.file("/var/lib/postgresql/15/main").exists
    assert not host.file("/etc/postgresql/15/main").exists
