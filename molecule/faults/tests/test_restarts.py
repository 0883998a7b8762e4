"""faults: what would interrupt all apps waits until it is asked for."""

from typing import Any

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import load, lost


def started(host: Any) -> str:
    query = "select pg_postmaster_start_time()"
    return str(host.check_output(f'runuser -u postgres -- psql -qAtc "{query}"'))


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_restart_of_postgresql_waits(album: Album, operator: Operator, host: Any) -> None:
    before = started(host)
    waits = "PostgreSQL needs a restart for shared_buffers"
    with load(album) as running:
        done = operator.run("typical", "-e", "postgres_memory_percent=20")
    assert (done.status, lost(running)) == (0, 0), done.output
    assert waits in words(done.output)
    assert waits in words(operator.run("status", "-e", "fail=false").output)
    assert started(host) == before
    done = operator.run("typical", "-e", "restart=now")
    assert done.status == 0, done.output
    assert "PostgreSQL was restarted (shared_buffers)" in words(done.output)
    assert started(host) != before
