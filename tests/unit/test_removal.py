"""Removing an app: what is found, copied and taken away, in a temporary folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exported
from ansible_collections.homeport.django.plugins.module_utils.common.removal import is_there
from ansible_collections.homeport.django.plugins.module_utils.host import copies
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.history import append
from ansible_collections.homeport.django.plugins.module_utils.host.removal import dump as removal_dump
from ansible_collections.homeport.django.plugins.module_utils.host.removal import look as removal_look
from ansible_collections.homeport.django.plugins.module_utils.host.removal import steps as removal_steps
from ansible_collections.homeport.django.plugins.module_utils.host.removal.dump import Dump
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import (
    App,
    database_of,
    databases,
    mounted_below,
    recorded,
    refuse_during_deploy,
    size,
)
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import (
    owned,
    take_away,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import shell_exports

from tests.unit.releases import HereLayout, write
from tests.unit.support import CANARY, resolved

# A number that no user has, nor the tests that run beside these: all that a user runs is ended.
STRANGER = 61_417 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])


class HereApp(App):
    """An app below a temporary folder, of whoever runs the tests."""

    def __init__(self, folder: Path) -> None:
        super().__init__("blog")
        self.layout = HereLayout({"name": "blog", "user": "blog", "home": str(folder / "blog")})
        self.home = self.layout.home
        self.logs = str(folder / "logs")
        self.record = str(folder / "deploys/blog.jsonl")

    def account(self) -> Any:
        return SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HereApp:
    """With an SQLite database, media, a secret, and links that lead out of its folder."""
    found = HereApp(tmp_path)
    home = tmp_path / "blog"
    for name in ("releases/one/config", "shared/media", "shared/data", "slots", "config", "home"):
        (home / name).mkdir(parents=True)
    (home / "current").symlink_to(home / "releases/one")
    write(home / "releases/one/release.json", '{"id": "one", "revision": "abc"}')
    path = f"{home}/shared/data/db.sqlite3"
    (home / "config/env").write_text(
        shell_exports({"SECRET_KEY": CANARY, "DATABASE_URL": f"sqlite:///{path}"})
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE photo AS SELECT 1 AS id")
        connection.commit()
    write(home / "shared/media/a.txt", "a photo")
    write(tmp_path / "outside/precious", "precious")
    (home / "shared/media/link").symlink_to(tmp_path / "outside")
    (home / "shared/data/file").symlink_to(tmp_path / "outside/precious")
    monkeypatch.setattr(removal_dump, "LAST_DUMPS", str(tmp_path / "backups"))
    monkeypatch.setattr(Runner, "identity", lambda _self: {})
    monkeypatch.setattr(Runner, "scope", lambda _self: None)
    monkeypatch.setattr(Runner, "words", lambda _self, argv, cwd="/": ["env", "-C", "/", *argv])
    return found


# What there is


def test_the_environment_is_read_back() -> None:
    environment = {"A": 'it\'s "x" $HOME\nline two', "B": "", "DATABASE_URL": "postgres://u:p=1@h/n?x=y"}
    assert exported(shell_exports(environment)) == environment


@pytest.mark.parametrize(
    ("setup", "host", "expected"),
    [
        ("typical", {}, {"engine": "postgres", "name": "blog", "host": "/var/run/postgresql"}),
        ("typical", {"database_host": "db1"}, {"engine": "postgres", "name": "blog", "host": "db1"}),
        ("simple", {}, {"engine": "sqlite", "name": "/srv/blog/shared/data/db.sqlite3", "host": ""}),
    ],
)
def test_the_database_without_its_password(
    setup: str, host: dict[str, str], expected: dict[str, str]
) -> None:
    environment = resolved(vault={"database_password": CANARY * 2} if host else None, setup=setup, host=host)[
        "environment"
    ]
    found = database_of(environment)
    assert CANARY not in str(found)
    assert found == expected


def test_no_database() -> None:
    assert database_of({}) == {}
    assert database_of({"DATABASE_URL": "postgres://h:port/n"}) == {}
    unset = {"PGDATABASE": "shop", "PGHOST": "/var/run/postgresql"}
    assert database_of(unset) == {"engine": "postgres", "name": "shop", "host": "/var/run/postgresql"}
    assert database_of({"SQLITE_PATH": "/x"})["name"] == "/x"


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "a/x", "x" * 100_000)
    once = size(str(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a/x", tmp_path / "b/x")
    (tmp_path / "b/link").symlink_to("/usr")
    assert once >= 100_000
    assert size(str(tmp_path)) < once + 30_000


def test_another_app_with_a_longer_name_is_another_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {
        "paths": [
            "/etc/nginx/sites-enabled/blog.conf",
            "/etc/nginx/sites-enabled/blog2.conf",
            "/etc/supervisor/conf.d/blog.web.conf",
            "/etc/supervisor/conf.d/blog-two.web.conf",
            "/opt/blog.x",
            "/etc/redis/redis-blog-cache.conf",
            "/etc/redis/redis-blog-cache",
            "/etc/redis/redis-blog-cache/users.acl",
            "/etc/redis/redis-blog-two-cache/users.acl",
            "/etc/valkey/valkey-blog-broker.conf",
            "/etc/redis/redis-blog-cache-cache.conf",
            "/etc/redis/redis-other-cache.conf",
            "/etc/systemd/system/memcached@blog.service.d/homeport.conf",
            "/etc/systemd/system/memcached@blog-two.service.d/homeport.conf",
            "/etc/systemd/system/memcached@.service",
        ],
        "units": ["blog.digest.timer", "blog2.digest.timer"],
    }
    units = ["redis-server@blog-cache.service", "redis-server@blog-cache-cache.service",
             "valkey-server@blog-broker.service", "redis-server@blog2-cache.service"]  # fmt: skip
    write(tmp_path / "redis.json", json.dumps({"units": units}))
    write(
        tmp_path / "memcached.json", json.dumps({"units": ["memcached@blog.service", "memcached@b.service"]})
    )
    write(tmp_path / "django_app.json", json.dumps(record))
    write(tmp_path / "broken.json", "{")
    monkeypatch.setattr(removal_look, "STATE", str(tmp_path))
    monkeypatch.setattr("os.path.exists", lambda _path: True)
    assert App("blog").files_of_roles() == [
        "/etc/nginx/sites-enabled/blog.conf",
        "/etc/supervisor/conf.d/blog.web.conf",
        "/etc/redis/redis-blog-cache.conf",
        "/etc/redis/redis-blog-cache",
        "/etc/redis/redis-blog-cache/users.acl",
        "/etc/valkey/valkey-blog-broker.conf",
        "/etc/systemd/system/memcached@blog.service.d/homeport.conf",
    ]
    assert App("blog").timers() == ["blog.digest.timer"]
    assert App("blog").stores() == [
        "redis-server@blog-cache.service",
        "valkey-server@blog-broker.service",
        "memcached@blog.service",
    ]
    assert recorded(str(tmp_path / "none.json"), "paths") == []


def test_a_folder_that_homeport_did_not_make_is_not_the_apps(
    app: HereApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "account", lambda: None)
    assert app.home in app.leftovers()
    os.rmdir(f"{app.home}/slots")
    assert not app.is_ours()
    assert app.leftovers() == []


def test_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"1 2 0:1 / {point} rw - x y z"
        for point in ("/", "/srv/blog2", "/srv/blog/shared/my\\040media", "/srv")
    ]
    monkeypatch.setattr(removal_look, "MOUNTS", str(write(tmp_path / "mountinfo", "\n".join(lines))))
    assert mounted_below("/srv/blog") == ["/srv/blog/shared/my media"]


def test_a_deploy_stops_it(app: HereApp) -> None:
    refuse_during_deploy(app)
    text = json.dumps({"run": "1", "holder": "eve@laptop", "started": 0})
    lock = write(Path(app.home) / "deploy.lock", text)
    refuse_during_deploy(app)
    with lock.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(DeployError, match="by eve@laptop since 1970-01-01"):
            refuse_during_deploy(app)
    assert lock.read_text() == text


class Cluster:
    """Answers as the cluster would."""

    def __init__(self, *entries: str, elsewhere: list[str] | None = None) -> None:
        listed = [{"name": name, "bytes": 10} for name in entries]
        logins = ["blog.0123abcd"]
        self.answer = {"role": True, "logins": logins, "databases": listed, "elsewhere": elsewhere or []}
        self.seen: list[str] = []
        self.fails_at = "nothing"

    def ask(self, statements: str, seconds: int = 0) -> str:
        self.seen.append(statements)
        if self.fails_at in statements:
            raise DeployError("out of luck")
        return json.dumps(self.answer)

    def clear(self) -> None:
        self.seen.append("clear")

    @contextlib.contextmanager
    def login(self, database: str, roles: list[str]) -> Iterator[Any]:
        self.seen.append(f"{database} as {roles}")
        yield self

    def run(self, words: list[str], what: str, *_arguments: Any, **_options: Any) -> str:
        self.seen.append(" ".join(words))
        if "--file=/dev/null" in words:
            raise DeployError(f"{what} failed")
        return "; 1 TABLE DATA public a blog\n"


def test_databases_of_the_role(app: HereApp) -> None:
    found = databases(Cluster("blog", "kept"), app, ["kept"])  # type: ignore[arg-type]
    assert [entry["name"] for entry in found["databases"]] == ["blog"]
    assert (found["kept"], found["role"]) == (["kept"], False)
    assert databases(Cluster("blog"), app, [])["role"] is True  # type: ignore[arg-type]


def test_a_role_that_has_something_elsewhere(app: HereApp) -> None:
    with pytest.raises(DeployError, match=r"outside its own databases \(shop\)"):
        databases(Cluster("blog", elsewhere=["shop"]), app, [])  # type: ignore[arg-type]


def test_a_cluster_that_is_down(app: HereApp) -> None:
    cluster = Cluster()
    cluster.fails_at = "SELECT"
    with pytest.raises(DeployError, match="out of luck"):
        databases(cluster, app, [])  # type: ignore[arg-type]


def test_is_there() -> None:
    empty = {
        "paths": [],
        "files": [],
        "programs": [],
        "user": "",
        "databases": [],
        "role": False,
        "removed": {"x": 1},
    }
    assert not is_there(empty)
    assert is_there({**empty, "role": True})
    assert is_there({**empty, "stores": ["memcached@blog.service"]})
    assert is_there({**empty, "vhost": "blog"})


# The dump


def make(app: HereApp, stamp: str = "now") -> Path:
    dump = Dump(app, stamp)
    dump.make(None, [], {"release": "one"})
    return Path(dump.folder)


def test_everything_is_in_the_dump(app: HereApp, tmp_path: Path) -> None:
    folder = make(app)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.txt", "config.tar.gz", "data.tar.gz", "db.sqlite3", "manifest.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    with contextlib.closing(sqlite3.connect(folder / "db.sqlite3")) as connection:
        assert connection.execute("SELECT id FROM photo").fetchall() == [(1,)]
    with tarfile.open(folder / "data.tar.gz") as archive:
        names = set(archive.getnames())
        links = {member.name for member in archive.getmembers() if member.issym()}
    assert "shared/media/a.txt" in names
    assert links == {"shared/media/link", "shared/data/file"}
    assert not any("precious" in name or "sqlite3" in name for name in names)
    with tarfile.open(folder / "config.tar.gz") as archive:
        texts = "".join(archive.getnames())
    assert "blog/config/env" in texts
    assert "releases/one/release.json" in texts
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {entry["file"] for entry in manifest["contents"]} == {"config.tar.gz", "data.tar.gz", "db.sqlite3"}
    # what the README says brings the files back
    text = (folder / "README.txt").read_text()
    (Path(app.home) / "shared/media/a.txt").write_text("changed")
    write(Path(app.home) / "shared/media/later.txt")
    start, end = text.index("  mkdir -m 0700"), text.index("/restored\n", text.index("  rm -r "))
    script = text[start:end] + "/restored\n"
    subprocess.run(["sh", "-euc", script], cwd=folder, check=True)
    assert (Path(app.home) / "shared/media/a.txt").read_text() != "changed"
    assert not (Path(app.home) / "shared/media/later.txt").exists()
    assert not (Path(app.home) / "restored").exists()


@pytest.mark.parametrize("failing", ["config.tar.gz", "data.tar.gz", "db.sqlite3"])
def test_a_dump_that_fails_leaves_nothing(
    app: HereApp, failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copies.create

    def create(path: str) -> Any:
        # every write there fails as on a full disk
        return open("/dev/full", "wb") if path.endswith(failing) else real(path)

    monkeypatch.setattr(removal_dump, "create", create)
    with pytest.raises((DeployError, OSError)):
        make(app)
    assert os.listdir(tmp_path / "backups") == []


def test_what_an_earlier_run_left_half_done_goes(app: HereApp, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    for name in ("blog-1.partial", "blog2-1.partial", "blog-two-1.partial", "blog-1"):
        write(backups / name / "x")
    make(app)
    assert sorted(path.name for path in backups.iterdir()) == [
        "blog-1", "blog-now", "blog-two-1.partial", "blog2-1.partial",
    ]  # fmt: skip


def test_a_dump_of_nothing_is_none(app: HereApp, tmp_path: Path) -> None:
    os.rename(app.home, tmp_path / "elsewhere")
    dump = Dump(app, "now")
    assert dump.make(None, [], {}) == []
    assert os.listdir(tmp_path / "backups") == []


def test_databases_of_one_name_in_two_folders(app: HereApp) -> None:
    own, other = f"{app.home}/shared/data/db.sqlite3", f"{app.home}/shared/data/reports/db.sqlite3"
    os.mkdir(os.path.dirname(other))
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE report (id)")
    urls = {"DATABASE_URL": f"sqlite:///{own}", "REPORTS_DATABASE_URL": f"sqlite:///{other}"}
    Path(app.home, "config/env").write_text(shell_exports(urls))
    folder = make(app)
    for name, table in (("db.sqlite3", "photo"), ("2-db.sqlite3", "report")):
        with contextlib.closing(sqlite3.connect(folder / name)) as connection:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert (table,) in found
    text = (folder / "README.txt").read_text()
    assert f"cat >{own}' <db.sqlite3\n" in text and f"cat >{other}' <2-db.sqlite3\n" in text


def test_a_database_elsewhere_is_not_copied(app: HereApp, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite3"
    sqlite3.connect(other).close()
    Path(app.home, "config/env").write_text(shell_exports({"DATABASE_URL": f"sqlite:///{other}"}))
    assert not (make(app) / "other.sqlite3").exists()


def test_a_damaged_copy_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) "
            "SELECT i FROM n"
        )
        connection.commit()

    def copied() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv_of("sqlite_copy", sys.executable, path=str(path)), capture_output=True)

    whole = path.read_bytes()
    assert copied().stdout[100:] == whole[100:]
    path.write_bytes(whole[: len(whole) // 2])
    assert b"malformed" in copied().stderr or b"damaged" in copied().stderr
    path.write_bytes(b"no database" * 100)
    done = copied()
    assert (done.returncode, done.stdout) == (1, b"")


def test_pg_dump_is_made_without_rights_of_a_superuser_and_read_again(
    app: HereApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_dump, "newest", lambda name: name)
    cluster = Cluster("blog")
    dump = Dump(app, "now")
    with pytest.raises(DeployError, match=r"Reading blog\.pgdump again failed"):
        dump.make(cluster, [], {})  # type: ignore[arg-type]
    assert cluster.seen[1:] == [
        "blog as ['blog', 'blog.0123abcd']",
        "pg_dump --format=custom --no-password --lock-wait-timeout=60000",
        "pg_restore --list",
        "pg_restore --file=/dev/null",
    ]


def test_nobody_is_advised_to_restore_as_the_superuser(app: HereApp) -> None:
    words = {"name": "blog", "home": "/srv/blog", "dump": "blog.pgdump"}
    text = removal_dump.RESTORE.format(**words, url=removal_dump.OWN_URL)
    assert "postgres" not in text.replace("postgres:${DATABASE_URL", "")
    assert text.count("<blog.pgdump") == 2


# The removal


def test_links_are_removed_and_never_followed(app: HereApp, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path / "outside")
    assert take_away(str(tmp_path / "way"))
    assert take_away(app.home)
    assert not take_away(app.home)
    assert (tmp_path / "outside/precious").read_text() == "precious"


def test_what_the_user_left_in_common_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_steps, "TEMPORARY", (str(tmp_path),))
    (tmp_path / "link").symlink_to("/etc")
    assert owned(os.getuid()) == [str(tmp_path / "link")]
    assert owned(os.getuid() + 1) == []


def test_databases_are_dropped_before_the_role(app: HereApp) -> None:
    cluster = Cluster("blog", 'od"d')
    done = removal_steps.drop(cluster, app, [])  # type: ignore[arg-type]
    assert done == ["database blog", 'database od"d', "PostgreSQL role blog"]
    drops = [statement.strip() for statement in cluster.seen if statement.startswith("DROP")]
    assert drops == [
        'DROP DATABASE "blog" WITH (FORCE);', 'DROP DATABASE "od""d" WITH (FORCE);',
        'DROP ROLE "blog.0123abcd";', 'DROP ROLE "blog";',
    ]  # fmt: skip


def test_what_a_user_has_run_later_goes_before_its_processes(
    app: HereApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cron asks for a name: whoever is called so next would run it."""
    write(tmp_path / "crontabs/blog", "* * * * * ./run")
    write(tmp_path / "crontabs/blog2", "* * * * * ./run")
    monkeypatch.setattr(removal_steps, "LATER", (str(tmp_path / "crontabs"),))
    monkeypatch.setattr(removal_steps, "TEMPORARY", (str(tmp_path / "none"),))
    monkeypatch.setattr(removal_steps, "programs", lambda _app: [])
    there: list[list[str]] = []
    monkeypatch.setattr(
        removal_steps, "end_processes", lambda _app: there.append(os.listdir(tmp_path / "crontabs"))
    )
    assert str(tmp_path / "crontabs/blog") in removal_steps.remove(app, None, [])
    assert there == [["blog2"]]


def test_a_database_that_cannot_be_dropped(app: HereApp) -> None:
    cluster = Cluster("blog")
    cluster.fails_at = "DROP DATABASE"
    with pytest.raises(DeployError, match=r"DROP DATABASE .*out of luck"):
        removal_steps.drop(cluster, app, [])  # type: ignore[arg-type]
    assert not any("DROP ROLE" in statement for statement in cluster.seen)


def test_nothing_is_removed_while_supervisord_knows_the_app(
    app: HereApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_steps, "programs", lambda _app: ["blog.web:0"])
    cluster = Cluster("blog")
    with pytest.raises(DeployError, match=r"still has the programs blog\.web:0"):
        removal_steps.remove(app, cluster, [])  # type: ignore[arg-type]
    assert cluster.seen == []
    assert os.path.isdir(app.home)


def test_nothing_is_removed_while_its_cache_is_declared(
    app: HereApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_steps, "programs", lambda _app: [])
    monkeypatch.setattr(app, "stores", lambda: ["redis-server@blog-cache.service"])
    with pytest.raises(DeployError, match=r"redis-server@blog-cache\.service is still declared"):
        removal_steps.remove(app, None, [])
    assert os.path.isdir(app.home)


def test_the_data_of_its_redis_goes_with_it(app: HereApp, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(app.home).parent / "lib"
    write(folder / "redis/blog-broker/appendonlydir/x.aof", "a task")
    write(folder / "redis/blog-cache-cache/x", "of the app blog-cache")
    monkeypatch.setattr(removal_look, "STORES", str(folder))
    assert [path for path in app.leftovers() if path.startswith(str(folder))] == [
        f"{folder}/redis/blog-broker"
    ]


def test_the_record_outlives_the_app(app: HereApp) -> None:
    folder = os.path.dirname(app.record)
    assert app.removed() == {}
    append(app.name, {"verb": "remove", "outcome": "removed", "by": "eve@laptop"}, folder)
    path = Path(app.record)
    assert app.removed()["by"] == "eve@laptop"
    with path.open("a") as stream:
        stream.write('{"verb": "deploy"}\n')
    assert app.removed() == {}


def test_a_process_that_is_ended(app: HereApp, monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["sleep", "60"])
    monkeypatch.setattr(
        removal_steps, "processes_of", lambda _uid: [] if process.poll() is not None else [process.pid]
    )
    # never for real here: that would end everything of whoever runs the tests
    monkeypatch.setattr(removal_steps, "signal_all", lambda _uid, number: process.send_signal(number))
    monkeypatch.setattr(app, "account", lambda: SimpleNamespace(pw_uid=STRANGER))
    removal_steps.end_processes(app)
    assert process.returncode == -15


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_processes_that_fork_faster_than_they_are_counted(
    app: HereApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends as soon as it has started the next one: killed one by one, they are never all ended."""
    monkeypatch.setattr(app, "account", lambda: SimpleNamespace(pw_uid=STRANGER))
    reading, writing = os.pipe()  # whose end is the last of them
    for _ in range(20):
        if os.fork() == 0:
            os.setuid(STRANGER)
            while not os.fork():
                pass
            os._exit(0)
        os.wait()
    os.close(writing)
    try:
        assert select.select([reading], [], [], 0)[0] == []
        removal_steps.end_processes(app)
        assert select.select([reading], [], [], 30)[0] == [reading]
    finally:
        removal_steps.signal_all(STRANGER, signal.SIGKILL)
        os.close(reading)


def test_nobody_ends_what_is_roots(app: HereApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "account", lambda: SimpleNamespace(pw_uid=0))
    monkeypatch.setattr(removal_steps, "signal_all", lambda *_: pytest.fail("it went on"))
    with pytest.raises(DeployError, match="is root"):
        removal_steps.end_processes(app)
