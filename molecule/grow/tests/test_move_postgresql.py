"""PostgreSQL moves to a server of its own while visitors come, an interrupted move goes on, and it moves back."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator, Run
from tests.acceptance.under_load import load, lost, serves

testinfra_hosts = ["ansible://web1"]

# Seconds of maintenance while other scenarios want the processors, too; docs/growing.md has those of an idle machine.
MOST = 90
CLOSED = "lost: status 503"
TABLE = (
    "create table ledger (id bigserial primary key, note text);"
    "insert into ledger (note) select repeat('x', 200) from generate_series(1, 100000);"
)


class Site:
    """The operator, with the database server that the inventory names."""

    def __init__(self, operator: Operator, folder: Path) -> None:
        self.operator = operator
        made = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
        self.folder = folder / "inventory"
        shutil.copytree(made, self.folder, symlinks=True, ignore=shutil.ignore_patterns("hosts*"))
        operator.inventory = str(self.folder)

    def run(self, playbook: str, server: str, *options: str) -> Run:
        return self.operator.run(playbook, *self.options(server), *options)

    def options(self, server: str) -> list[str]:
        groups = {"app_servers": "web1", "database_servers": server}
        hosts = {group: {"hosts": {name: None}} for group, name in groups.items()}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
        return ["-e", f"homeport_setup={'typical' if server == 'web1' else 'external_services'}"]

    def move(self, server: str, *options: str) -> Run:
        return self.run("move_postgresql", server, "-e", f"confirm={server}", *options)


@pytest.fixture
def site(operator: Operator, tmp_path: Path) -> Site:
    return Site(operator, tmp_path)


@pytest.fixture
def database(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://db1", ansible_inventory=inventory, sudo=True)


def rows(server: Any) -> int:
    return int(
        server.check_output("runuser -u postgres -- psql -qAtc 'select count(*) from ledger' memories")
    )


def only_closed(running: Any) -> None:
    """Visitors had the maintenance page for a while, and nothing else was lost."""
    closed = running.outcomes.pop(CLOSED, 0) / running.rate
    print(f"visitors had the maintenance page for {closed:.1f} s")
    assert 0 < closed < MOST
    assert lost(running) == 0, running.outcomes


def test_an_empty_database_is_refused(site: Site, host: Any, album: Album) -> None:
    host.check_output(f'runuser -u memories -- psql -qc "{TABLE}"')
    refused = site.run("external_services", "db1")
    said = " ".join(refused.output.split())
    assert (refused.status != 0, refused.changed) == (True, 0), refused.output
    assert "the rows of these apps are elsewhere" in said and "move_postgresql" in said
    wrong = site.move("db1", "-e", "confirm=web1")
    assert (wrong.status != 0, wrong.changed) == (True, 0), wrong.output
    planned = site.move("db1", "--check")
    assert planned.status == 0, planned.output
    assert "moves from web1 to db1" in planned.output
    assert serves(album)


def test_it_moves_after_an_interruption(site: Site, host: Any, database: Any, album: Album) -> None:
    before = rows(host)
    options = [*site.options("db1"), "-e", "confirm=db1"]
    site.operator.run_and_kill("move_postgresql", "Serve from the copy", 0, *options)
    with load(album, rate=20, path="/") as running:
        done = site.move("db1")
    assert done.status == 0, done.output
    assert serves(album)
    assert rows(database) == before
    assert host.run("runuser -u postgres -- psql -qc 'select 1'").rc != 0
    only_closed(running)
    album.new_album("After the move")
    status = site.run("status", "db1")
    assert status.status == 0, status.output
    again = site.move("db1")
    assert (again.status, again.changed) == (0, 0), again.output
    assert "Nothing to do" in again.output


def test_it_moves_back_with_what_was_written_since(
    site: Site, host: Any, database: Any, album: Album
) -> None:
    database.check_output(
        "runuser -u postgres -- psql -qc \"insert into ledger (note) values ('since')\" memories"
    )
    before = rows(database)
    refused = site.run("typical", "web1")
    assert (refused.status != 0, refused.changed) == (True, 0), refused.output
    with load(album, rate=20, path="/") as running:
        done = site.move("web1")
    assert done.status == 0, done.output
    only_closed(running)
    assert rows(host) == before
    assert "After the move" in album.get("/").text
    done = site.move("web1", "-e", "finish=true")
    assert done.status == 0, done.output
    # as PostgreSQL's package leaves a host, so that it can take a cluster again
    names = "select datname from pg_database where not datistemplate"
    assert database.check_output(f"runuser -u postgres -- psql -qAtc '{names}'") == "postgres"
    done = site.run("typical", "web1")
    assert done.status == 0, done.output
