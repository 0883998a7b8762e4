"""simple, grown: the app moves to PostgreSQL on the same host, with every row. Comes last, since it ends the setup."""

import base64
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of

from tests.acceptance import checks
from tests.acceptance.album import Album
from tests.acceptance.operator import ROOT, Operator, Run
from tests.acceptance.under_load import wait_for

# The setup with a cache of the app's own, which the move has to bring along.
GROWN = yaml.safe_load((ROOT / "inventories/cache/group_vars/all/apps.yml").read_text())["django_apps"][
    "memories"
]
RUN = "/usr/local/lib/homeport/run /srv/memories/current"
FILE = "/srv/memories/shared/data/db.sqlite3"
CLOSED = "/srv/memories/maintenance/on"
ROWS = (
    "from album import models; print([list(m.objects.order_by('pk').values_list()) for m in "
    "(models.Album, models.Photo, models.Digest, models.DigestRun)])"
)
# SQLite itself: neither Django nor the app.
ADD = (
    "import sqlite3; c = sqlite3.connect('{}', timeout=20); c.execute('INSERT INTO album_album (title, description, "
    "created_at, changed_at) VALUES (?, ?, ?, ?)', ('{}', '', '2020-02-29 12:00', '2020-02-29 12:00')); c.commit()"
)


def shell(host: Any, code: str) -> str:
    """What Python prints in the live release."""
    return str(host.check_output(f"runuser -u memories -- {RUN} manage.py shell -v 0 -c %s", code))


def content(host: Any, path: str = FILE) -> str:
    """Digest of all that an SQLite file holds, whatever is still in its log."""
    dump = "import sqlite3, sys; print('\\n'.join(sqlite3.connect(sys.argv[1]).iterdump()))"
    return str(host.check_output("python3 -c %s %s | sha256sum", dump, path))


# The whole way, by the playbook


class Mover:
    """The operator of a site that is to have PostgreSQL and a cache."""

    def __init__(self, operator: Operator, folder: Path, name: str) -> None:
        self.operator = operator
        self.operator.app = {**operator.app, **GROWN}
        groups = folder / "groups.yml"
        groups.write_text(
            yaml.safe_dump({group: {"hosts": {name: {}}} for group in ("database_servers", "cache_servers")})
        )
        self.options = ["-i", str(groups), "-e", "homeport_setup=cache"]

    def move(self, *options: str) -> Run:
        return self.operator.run(
            "move_database", *self.options, "-e", "app=memories", "-e", "confirm=memories", *options
        )

    def run(self, playbook: str, *options: str) -> Run:
        return self.operator.run(playbook, *self.options, *options)


@pytest.fixture
def mover(operator: Operator, tmp_path: Path, host: Any) -> Mover:
    return Mover(operator, tmp_path, host.ansible.get_variables()["inventory_hostname"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-e", "homeport_setup=simple"], "memories is declared with the database sqlite"),
        (["-e", "confirm=memory"], "That is not the app's name"),
        (["-e", "file=/srv/memories/shared/data/old.sqlite3"], "There is no SQLite file"),
        (["-e", "file=/etc/passwd"], "must be below /srv/memories"),
    ],
)
def test_what_is_refused_before_anything_changes(
    options: list[str], message: str, mover: Mover, album: Album, host: Any
) -> None:
    done = mover.move(*options)
    assert done.status != 0
    assert message in " ".join(done.output.split()), done.output
    assert done.changed == 0
    assert not host.file(CLOSED).exists
    assert album.health()["status"] == "ok"


def test_the_app_moves(mover: Mover, album: Album, host: Any) -> None:
    """Also when the run is killed: the file stays as it is, and the next run ends what the first has begun."""
    checks.check_album_works(album)
    host.check_output("systemctl start memories.digest.service")
    gone = "from album.models import Album; a = Album.objects.create(title='gone'); print(a.pk); a.delete()"
    last = int(shell(host, gone))
    before, file = shell(host, ROWS), content(host)
    assert mover.move("--check").status == 0
    assert (shell(host, ROWS), host.file(CLOSED).exists) == (before, False)

    mover.operator.run_and_kill(
        "move_database", "Move the rows", 1, *mover.options, "-e", "app=memories", "-e", "confirm=memories"
    )
    wait_for(lambda: host.run("flock --nonblock /srv/memories/deploy.lock true").rc == 0, 60)
    assert host.file(CLOSED).exists
    assert content(host) == file
    assert host.file("/srv/memories/current/config/env").contains("sqlite")

    done = mover.move()
    assert done.status == 0, done.output
    assert not host.file(CLOSED).exists
    assert content(host) == file
    assert host.file("/srv/memories/current/config/env").contains("postgres")
    assert host.file("/var/lib/homeport/setup").content_string == "cache\n"
    assert shell(host, ROWS) == before
    assert album.health()["status"] == "ok"
    checks.check_album_works(album)
    checks.check_processes(host)
    assert host.service("memories.digest.timer").is_running
    assert host.service("redis-server@memories-cache").is_running
    new = shell(host, "from album.models import Album; print(Album.objects.order_by('pk').last().pk)")
    assert int(new) > last, "the key of a row that was deleted was given again"
    assert mover.run("cache").changed == 0


def test_rows_that_only_postgres_has_stay(mover: Mover, album: Album, host: Any) -> None:
    """Whoever moves an app for the second time, with the old file, loses nothing that was written since."""
    shell(host, "from album.models import Album; Album.objects.create(title='since')")
    before = shell(host, ROWS)
    done = mover.move()
    assert done.status != 0
    assert re.search(
        r"PostgreSQL has rows that \S+ does not have: album_album \(\d+\)", " ".join(done.output.split())
    )
    assert shell(host, ROWS) == before
    checks.check_processes(host)  # what ran before runs again
    assert host.service("memories.digest.timer").is_running
    opened = mover.run("maintenance", "-e", "app=memories", "-e", "state=off")
    assert opened.status == 0, opened.output
    assert album.get("/").status_code == 200


def test_rows_that_give_way_are_dumped(mover: Mover, host: Any) -> None:
    """And what SQLite has been given since arrives, in the place of what PostgreSQL had."""
    shell(host, "from album.models import Album; Album.objects.create(title='once more')")
    before = shell(host, ROWS)
    host.check_output("runuser -u memories -- python3 -c %s", ADD.format(FILE, "late"))
    done = mover.move("-e", "replace=true")
    assert done.status == 0, done.output
    found = shell(host, ROWS)
    assert found != before
    assert "'late'" in found
    dump = re.search(r"/srv/memories/dumps/(\S+)\.dump", done.output)
    assert dump
    back = mover.run("rollback", "-e", "app=memories", "-e", f"restore={dump[1]}", "-e", "to=" + live(host))
    assert back.status == 0, back.output
    assert shell(host, ROWS) == before


def live(host: Any) -> str:
    return str(host.file("/srv/memories/current").linked_to.rsplit("/", 1)[-1])


# What arrives, and what is refused: the program itself, in a project with every kind of row


class Kinds:
    """A project of its own on the host, with databases of its own: ``new`` is what its migrations make."""

    home = "/srv/memories/home/kinds"
    python = "/srv/memories/current/venv/bin/python"

    def __init__(self, host: Any) -> None:
        self.host = host
        self.file = f"{self.home}/db.sqlite3"

    def install(self) -> None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            archive.add(Path(__file__).parent / "kinds", "kinds", filter=whole)
        packed = base64.b64encode(stream.getvalue()).decode()
        self.host.check_output(
            f"rm -rf {self.home} && echo {packed} | base64 -d | runuser -u memories -- tar -xzC /srv/memories/home"
        )
        self.python_runs("-m", "django", "makemigrations", "--verbosity=0", "kinds")
        self.python_runs("-m", "django", "migrate", "--verbosity=0")
        self.python_runs("fill.py")
        self.psql("DROP DATABASE IF EXISTS new", "CREATE DATABASE new OWNER memories", database="postgres")
        self.python_runs("-m", "django", "migrate", "--verbosity=0", database="new")
        self.host.check_output(f"cp -a {self.file} {self.home}/filled")

    def reset(self) -> None:
        self.host.check_output(f"cp -a {self.home}/filled {self.file}")
        self.psql(
            "DROP DATABASE IF EXISTS kinds WITH (FORCE)",
            "CREATE DATABASE kinds TEMPLATE new OWNER memories",
            database="postgres",
        )

    def command(self, *words: str, database: str = "") -> str:
        settings = f"DJANGO_SETTINGS_MODULE=settings DATABASE={database}"
        return f"runuser -u memories -- env -C {self.home} {settings} {self.python} " + " ".join(words)

    def python_runs(self, *words: str, database: str = "") -> str:
        return str(self.host.check_output(self.command(*words, database=database)))

    def psql(self, *statements: str, database: str = "kinds", user: str = "postgres") -> str:
        options = " ".join(["-c %s"] * len(statements))
        command = f"runuser -u {user} -- psql --no-psqlrc -qtA -v ON_ERROR_STOP=1 -d {database} {options}"
        return str(self.host.check_output(command, *statements))

    def sqlite(self, statement: str) -> None:
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()"
        )
        self.host.check_output("runuser -u memories -- python3 -c %s %s %s", code, self.file, statement)

    def tables(self, database: str = "") -> dict[str, list[str]]:
        """The rows of each model."""
        found: dict[str, list[str]] = json.loads(self.python_runs("told.py", database=database))
        return found

    def keys(self, database: str = "") -> dict[str, int]:
        """The key of the next row of some models; each call uses one up in PostgreSQL."""
        found: dict[str, int] = json.loads(self.python_runs("told.py", "keys", database=database))
        return found

    def words(self, replace: bool = False) -> list[str]:
        return argv_of("move", release=self.home, file=self.file, replace=replace)[2:]

    def move(self, replace: bool = False) -> dict[str, Any]:
        out = self.host.check_output(self.command("-c %s %s", database="kinds"), *self.words(replace))
        answer: dict[str, Any] = json.loads(out.partition(MARK)[2])
        return answer

    def digests(self) -> tuple[str, str]:
        """Of all that each side holds."""
        # but for the key that each dump has of its own, and for sequences, which no rollback turns back
        dump = "runuser -u postgres -- pg_dump --inserts kinds | grep -Ev 'restrict|pg_catalog.setval' | sha256sum"
        return str(self.host.check_output(dump)), content(self.host, self.file)

    def refuses(self) -> str:
        """Why it is refused; neither side has changed by that."""
        before = self.digests()
        done = self.host.run(self.command("-c %s %s", database="kinds"), *self.words())
        assert done.rc != 0, done.stdout
        assert self.digests() == before
        return str(done.stderr)


def whole(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name else entry


@pytest.fixture(scope="module")
def installed(host: Any) -> Iterator[Kinds]:
    found = Kinds(host)
    found.install()
    yield found
    host.check_output(f"rm -rf {found.home}")
    found.psql("DROP DATABASE IF EXISTS kinds WITH (FORCE)", "DROP DATABASE new", database="postgres")


@pytest.fixture
def kinds(installed: Kinds) -> Kinds:
    installed.reset()
    return installed


def test_every_kind_of_row_arrives(kinds: Kinds) -> None:
    """Values, nulls and empty strings, relations in circles, keys, and where each table goes on counting."""
    tables, keys, file = kinds.tables(), kinds.keys(), content(kinds.host, kinds.file)
    assert len(tables["kinds.everything"]) > 600
    empty = {name for name, rows in tables.items() if not rows}
    assert empty == {"auth.user", "auth.user_groups", "auth.user_user_permissions"}
    answer = kinds.move()
    assert (answer["copied"], answer["extra"]) == (True, {})
    assert kinds.tables("kinds") == tables
    assert kinds.keys("kinds") == keys
    assert content(kinds.host, kinds.file) == file
    # once more: nothing to do but to set the sequences
    again = kinds.move()
    assert (again["copied"], again["rows"]) == (False, answer["rows"])
    assert (kinds.tables("kinds"), kinds.keys("kinds")) == (tables, keys)


def test_rows_of_the_target_stay_unless_they_may_go(kinds: Kinds) -> None:
    """A row that SQLite does not have, one that differs, and one that is the same."""
    insert = "INSERT INTO kinds_node (id, name, parent_id) VALUES"
    kinds.psql(
        "INSERT INTO auth_group (id, name) VALUES (0, 'zero'), (1, 'writers')",
        f"{insert} (4711, 'mine', 4711)",
    )
    before = kinds.digests()
    answer = kinds.move()
    assert (answer["copied"], answer["extra"]) == (False, {"auth_group": 1, "kinds_node": 1})
    assert kinds.digests() == before
    answer = kinds.move(replace=True)
    assert (answer["copied"], answer["extra"]) == (True, {})
    assert kinds.tables("kinds") == kinds.tables()


def test_tables_of_others_are_not_truncated(kinds: Kinds) -> None:
    kinds.psql(
        "CREATE TABLE invoices (editor integer REFERENCES auth_group)",
        "INSERT INTO auth_group (id, name) VALUES (0, 'zero')",
        "INSERT INTO invoices VALUES (0)",
        user="memories",
    )
    assert "cannot truncate" in kinds.refuses()
    assert kinds.psql("SELECT * FROM invoices") == "0"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "UPDATE kinds_node SET parent_id = 12345 WHERE id = 2",
            "rows that refer to rows which are missing",
        ),
        (
            "UPDATE kinds_node SET name = 'c4n4ry, longer than 20' WHERE id = 2",
            "kinds_node: PostgreSQL rejects row 2",
        ),
        (
            "UPDATE kinds_node SET name = 'c4n4ry' || char(0) WHERE id = 70",
            "kinds_node: PostgreSQL rejects row 3",
        ),
        (
            "UPDATE kinds_everything SET small = 'c4n4ry' WHERE id = 300",
            "kinds_everything: PostgreSQL rejects row 300",
        ),
        (
            "UPDATE kinds_everything SET small = 99999 WHERE id = 251",
            "kinds_everything: PostgreSQL rejects row 251",
        ),
        (
            "CREATE TABLE old AS SELECT 'c4n4ry' AS a",
            "No model of the app has these tables of the SQLite file",
        ),
        (
            "ALTER TABLE kinds_tag ADD note text; UPDATE kinds_tag SET note = 'c4n4ry'",
            "the column kinds_tag.note",
        ),
        ("DELETE FROM django_migrations WHERE app = 'kinds'", "on one side only: kinds.0001_initial"),
    ],
)
def test_what_does_not_fit_leaves_both_as_they_were(statement: str, reason: str, kinds: Kinds) -> None:
    """The reason is told without the values of the row."""
    kinds.sqlite(statement)
    told = kinds.refuses()
    assert reason in told
    assert "c4n4ry" not in told


def test_what_is_of_no_use_any_more_stops_nothing(kinds: Kinds) -> None:
    """An empty table and column of a model that is gone, and a migration that the code does not have."""
    kinds.sqlite(
        "CREATE TABLE old (a text); ALTER TABLE kinds_tag ADD COLUMN note text; "
        "INSERT INTO django_migrations (app, name, applied) VALUES ('kinds', '0000_old', '2020-02-29 12:00:00')"
    )
    assert kinds.move()["copied"] is True


SABOTAGE = "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$"
TRIGGER = "CREATE TRIGGER sabotage BEFORE INSERT ON kinds_node FOR EACH ROW EXECUTE FUNCTION sabotage()"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("IF NEW.id = 70 THEN RETURN NULL; END IF;", "row 3 in the order of its key differs .*all columns"),
        ("IF NEW.id = 70 THEN NEW.name := 'other'; END IF;", "row 3 in the order of its key differs .*name"),
        (
            "INSERT INTO auth_user_groups (user_id, group_id) VALUES (NEW.id, 1);",
            "not have as many rows: auth_user_groups: 0 in",
        ),
    ],
)
def test_a_copy_that_is_not_the_same_is_none(body: str, reason: str, kinds: Kinds) -> None:
    """A row that PostgreSQL loses, changes or adds."""
    kinds.psql(SABOTAGE.format(body), TRIGGER)
    assert re.search(reason, kinds.refuses())


def test_a_run_that_is_killed_leaves_nothing(kinds: Kinds) -> None:
    kinds.psql(SABOTAGE.format("PERFORM pg_sleep(600);"), TRIGGER)
    before = kinds.digests()
    command = kinds.command("-c %s %s", database="kinds")
    kinds.host.check_output(f"{command} >/dev/null 2>&1 </dev/null &", *kinds.words())
    active = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'kinds' AND wait_event = 'PgSleep'"
    wait_for(lambda: kinds.psql(active, database="postgres") == "1", 120)
    kinds.host.check_output("pkill -KILL -u memories -f kinds/db.sqlite3")
    # which notices that its client is gone when it has slept
    kinds.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
        database="postgres",
    )
    assert kinds.digests() == before
    kinds.psql("DROP TRIGGER sabotage ON kinds_node")
    assert kinds.move()["copied"] is True
    assert kinds.tables("kinds") == kinds.tables()


def test_nobody_writes_between_the_comparison_and_the_copy(kinds: Kinds) -> None:
    """Who is writing is waited for, and what comes of that counts."""
    kinds.host.check_output(
        "runuser -u postgres -- psql -qtA -d kinds -c %s -c %s -c %s -c %s >/dev/null 2>&1 </dev/null &",
        "BEGIN",
        "INSERT INTO auth_group (id, name) VALUES (50, 'late')",
        "SELECT pg_sleep(15)",
        "COMMIT",
    )
    held = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'auth_group'::regclass AND mode = 'RowExclusiveLock'"
    )
    wait_for(lambda: kinds.psql(held) == "1", 12)
    assert kinds.move()["extra"] == {"auth_group": 1}
