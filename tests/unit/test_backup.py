"""Backups: what is refused, which one is meant, who gets what back, and when one is late."""

from __future__ import annotations

import ast
import contextlib
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.backup import archive as backup_archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup import archive_main
from ansible_collections.homeport.django.plugins.module_utils.host.backup import restore as backup_restore
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import (
    WrongKey as WrongArchiveKey,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import (
    Fetched,
    chosen,
    compared,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.recovery import Recovery, foreign
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import (
    Restore,
    Torn,
    timestamp,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import (
    NoRepository,
    Store,
    WrongKey,
    escaped,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App, take
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, remove
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.validation.repositories import target
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (
    InputError,
    parsed,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.backup import (
    MODULES,
    backup_apps,
    backup_files,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.pgbackrest import (
    ARCHIVE_MODULES,
    archive_files,
    recovery_of,
    settings_of,
)
from ansible_collections.homeport.django.plugins.modules.archive_recovery import alone

from tests.unit.support import CANARY, resolved

ROOT = Path(__file__).parents[2]
VALUES: dict[str, Any] = {
    "repository": "/var/backups/site",
    "passwords": [CANARY * 2],
    "ssh_key": "",
    "known_hosts": "",
    "credentials": {},
    "ca": "",
    "keep": {"daily": 7},
    "schedule": "daily",
    "drill_schedule": "weekly",
    "drill_percent": 100,
    "bandwidth": 0,
    "scratch": {},
}
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
HOSTS = "vault.example ssh-ed25519 AAAA"
CA = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"
S3 = {
    "repository": "s3:https://s3.example:9000/bucket/pg/x",
    "credentials": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"},
}
BLOG = {"name": "blog", "user": "blog", "home": "/srv/blog", "database": "blog"}


def test_the_modules_on_a_host_are_all_that_they_import() -> None:
    prefix = "ansible_collections.homeport.django.plugins.module_utils."
    for name in (*MODULES, *ARCHIVE_MODULES):
        tree = ast.parse((ROOT / f"plugins/module_utils/{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix):
                path = (node.module or "").removeprefix(prefix).replace(".", "/")
                is_package = (ROOT / "plugins/module_utils" / path).is_dir()
                found = {f"{path}/{alias.name}" for alias in node.names} if is_package else {path}
                assert found <= {*MODULES, *ARCHIVE_MODULES}, (name, found)
            elif isinstance(node, ast.ImportFrom) and node.level:
                room = name.rpartition("/")[0]
                found = {f"{room}/{module}" for module in [node.module] if module}
                found |= {f"{room}/{alias.name}" for alias in node.names if not node.module}
                assert found <= {*MODULES, *ARCHIVE_MODULES}, (name, found)


# The inputs


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("/var/backups/site/", {"kind": "local", "folder": "/var/backups/site"}),
        ("/mnt/disk", {"kind": "local"}),
        ("/var/backups/homeport2", {"kind": "local"}),
        ("/mnt/srv/site", {"kind": "local"}),
        ("sftp:me@vault.example:/b/site", {"repository": "sftp:me@vault.example:/b/site"}),
        ("sftp:me@vault.example:2222:site", {"sftp": {"user": "me", "host": "vault.example", "port": 2222}}),
        ("sftp:me@[2001:db8::1]:/b", {"sftp": {"user": "me", "host": "2001:db8::1", "port": 22}}),
        ("s3:https://s3.example.org/bucket/site", {"kind": "s3"}),
        ("s3:http://minio:61000/bucket/site", {"repository": "s3:http://minio:61000/bucket/site"}),
        ("s3:minio:65535/bucket", {"kind": "s3"}),
        ("s3:https://[2001:db8::1]:9000/bucket/site", {"kind": "s3"}),
        ("s3:[2001:db8::1]/bucket", {"kind": "s3"}),
    ],
)
def test_a_repository(repository: str, expected: dict[str, Any]) -> None:
    found = target(repository)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    "repository",
    [
        "backups", "/", "/srv", "/mnt", "/var/lib", "/var/backups", "/var/lib/postgresql", "/usr/x",
            "/var/backups/homeport/x",
            "/srv/blog", "/srv/blog/shared", "/home/me/b", "/tmp/b", "/var/backups/../../etc", "/a b",
        "/etc/x\n", "sftp:vault:/b", "sftp:-oProxyCommand=x@vault:/b", "sftp:me@-oProxyCommand=x:/b", "s3:bucket",
        "s3:https://minio:65536/b", "s3:https://minio:0/b", "s3:https://[2001:db8:::1]/b", "s3:https://[minio]/b",
        "s3:https://2001:db8::1/b",
        "rest:http://x/", "/var/backups/$HOME", "/var/backups/ü",
    ],
)  # fmt: skip
def test_a_repository_that_is_refused(repository: str) -> None:
    for role in ("backup", "pgbackrest"):
        with pytest.raises(InputError, match=rf"^{role}_repository: "):
            parsed(repository, f"{role}_repository")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"passwords": []}, "backup_password"),
        ({"passwords": ["fifteen-letters"]}, "backup_password"),
        ({"passwords": [f"{CANARY * 2}\nmore"]}, "backup_password"),
        ({"passwords": [CANARY * 2, CANARY]}, "backup_previous_passwords"),
        ({"repository": "sftp:me@vault:/b"}, "backup_ssh_key"),
        (
            {"repository": "s3:https://s3.example/b", "credentials": {"AWS_ACCESS_KEY_ID": "x"}},
            "backup_credentials",
        ),
        ({"ca": CA}, "backup_ca: is for S3"),
        ({**S3, "ca": "/etc/ssl/ca.pem"}, "backup_ca: must be certificates"),
        ({**S3, "ca": f"{CA}-----BEGIN PRIVATE KEY-----"}, "backup_ca"),
        ({"keep": {"daly": 7}}, "backup_keep"),
        ({"keep": {"daily": -1}}, "backup_keep"),
        ({"keep": {"daily": 0}}, "backup_keep"),
        ({"drill_percent": 0}, "backup_drill_percent"),
    ],
)
def test_inputs_that_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field) as caught:
        backup_files({**VALUES, **change}, [BLOG], "web1")
    assert CANARY not in str(caught.value)


def test_all_inputs_that_are_refused_are_named_at_once() -> None:
    bad = {**VALUES, "repository": "sftp:me@vault:/b", "passwords": [], "keep": {}, "scratch": {"blog": 1}}
    with pytest.raises(InputError) as caught:
        backup_files(bad, [{**BLOG, "home": "srv"}], "web1")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "backup_keep",
        "backup_scratch.blog",
        "backup_apps[0].home",
        "backup_ssh_key",
        "backup_known_hosts",
        "backup_password",
    ]
    with pytest.raises(InputError) as caught:
        recovery_of({**ARCHIVE, "repository": "", "password": "", "keep": 0})
    assert caught.value.problems == [
        "pgbackrest_keep: must be from 1 to 2147483648",
        "pgbackrest_repository: is required: where the archive of PostgreSQL goes",
        "pgbackrest_password: is required: what the archive is encrypted with",
    ]


def test_a_bundle_of_certificates_is_judged() -> None:
    """As systems have them, with a remark at the end: no number of certificates makes that a matter of years."""
    bundle = CA * 150
    assert backup_files({**VALUES, **S3, "ca": f"\n{bundle}\n"}, [BLOG], "web1")
    with pytest.raises(InputError, match="backup_ca: must be certificates"):
        backup_files({**VALUES, **S3, "ca": f"{bundle}# the last one\n"}, [BLOG], "web1")


def test_nothing_is_put_anywhere_without_a_repository() -> None:
    assert backup_files({**VALUES, "repository": "", "passwords": []}, [BLOG], "web1") == []


def test_the_files_of_a_host() -> None:
    files = {entry["path"]: entry for entry in backup_files(VALUES, [BLOG], "web1")}
    closed = [path for path, entry in files.items() if CANARY in str(entry.get("content", ""))]
    assert closed == ["/etc/homeport/backup/password"]
    assert files[closed[0]]["secret"]
    assert files[closed[0]]["mode"] == "0600"
    assert files["/var/backups/site"]["state"] == "directory"
    # a change of the password, and of nothing else, changes the repository
    reloading = [path for path, entry in files.items() if entry.get("on_change", "reload") == "reload"]
    assert reloading == ["/etc/homeport/backup/password"]
    several = {**VALUES, "passwords": [CANARY * 2, CANARY * 3, CANARY * 2]}
    paths = [entry["path"] for entry in backup_files(several, [BLOG], "web1") if entry.get("secret")]
    assert paths == ["/etc/homeport/backup/password", "/etc/homeport/backup/password.1"]
    config = json.loads(files["/etc/homeport/backup/config.json"]["content"])
    assert config["apps"] == [{**BLOG, "sqlite": "", "scratch": "", "extensions": []}]
    for entry in files.values():
        if "src" in entry:
            assert (ROOT / "roles/backup/files" / entry["src"]).is_file(), entry
    given = {**VALUES, "scratch": {"blog": "spare"}}
    config = json.loads(
        {e["path"]: e for e in backup_files(given, [BLOG], "w")}["/etc/homeport/backup/config.json"][
            "content"
        ]
    )
    assert config["apps"][0]["scratch"] == "spare"


@pytest.mark.parametrize(
    ("setup", "host", "expected"),
    [
        ("typical", {}, {"database": "blog", "sqlite": "", "scratch": ""}),
        (
            "typical",
            {"database_host": "db1"},
            {"database": "", "sqlite": "", "scratch": "homeport_drill_blog"},
        ),
        ("simple", {}, {"database": "", "sqlite": "/srv/blog/shared/data/db.sqlite3", "scratch": ""}),
    ],
)
def test_the_apps(setup: str, host: dict[str, str], expected: dict[str, str]) -> None:
    app = resolved(setup=setup, host=host)
    (found,) = backup_apps({"blog": app})
    assert found == {
        "name": "blog",
        "user": "blog",
        "home": "/srv/blog",
        "extensions": [],
        "databases": {},
        **expected,
    }


# The repository


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (12, "", WrongKey),
        (1, "Fatal: wrong password or no key found", WrongKey),
        (10, "", NoRepository),
        (1, "Is there a repository at the following location?\n/x", NoRepository),
        (1, "Fatal: pack 12 is damaged", DeployError),
    ],
)
def test_what_restic_says(status: int, told: str, kind: type[DeployError]) -> None:
    store = Store({"repository": "/x", "host": "web1", "keep": {}, "bandwidth": 0})
    assert type(store.error(status, told, "reading")) is kind


def test_no_secret_is_an_argument(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(CANARY)
    (tmp_path / "credentials.json").write_text(json.dumps({"AWS_SECRET_ACCESS_KEY": CANARY}))
    sftp = {"user": "me", "host": "vault", "port": 22}
    config = {"repository": "sftp:me@vault:/b", "host": "web1", "keep": {}, "bandwidth": 100, "sftp": sftp}
    store = Store(config, str(tmp_path))
    assert CANARY not in " ".join(store.words())
    assert store.environment()["AWS_SECRET_ACCESS_KEY"] == CANARY
    assert "StrictHostKeyChecking=yes" in " ".join(store.words())


def test_what_a_timer_starts_leaves_cores_to_others() -> None:
    config = {"repository": "/x", "host": "web1", "keep": {}, "bandwidth": 0}
    cores = len(os.sched_getaffinity(0))
    assert Store(config, "/x", gently=True).environment()["GOMAXPROCS"] == str(max(1, cores // 2))
    assert "GOMAXPROCS" not in Store(config, "/x").environment()  # a restore is in a hurry


def test_a_path_is_no_pattern() -> None:
    assert escaped("/srv/a*b/[c]?\\d") == "/srv/a\\*b/\\[c\\]\\?\\\\d"


# Which one


def snapshot(number: int, time: str, *tags: str) -> dict[str, Any]:
    return {"id": f"{number:064x}", "time": time, "tags": ["homeport", "app:blog", *(tags or ("scheduled",))]}


SNAPSHOTS = [
    snapshot(0xA << 252, "2026-01-01T02:30:00.123456789Z"),
    snapshot(0xB << 252, "2026-01-02T03:30:00.5+01:00"),
    snapshot(0xC << 252, "2026-01-03T02:30:00Z", "before-restore"),
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("latest", 1),
        ("", 1),
        ("2026-01-02", 0),
        ("2026-01-02T02:30:00", 1),
        ("2026-01-02T02:29", 0),
        ("2026-01-04T00:00Z", 1),
        ("a0000000", 0),
        ("c0000000", 2),
    ],
)
def test_the_backup_that_is_meant(wanted: str, expected: int) -> None:
    assert chosen(SNAPSHOTS, "blog", wanted) is SNAPSHOTS[expected]


@pytest.mark.parametrize(
    "wanted", ["2025-12-31", "yesterday", "d0000000", "--help", "latest; rm", "2026-13-01"]
)
def test_a_backup_that_is_not_there(wanted: str) -> None:
    with pytest.raises(DeployError):
        chosen(SNAPSHOTS, "blog", wanted)


def test_the_latest_is_that_by_the_clock() -> None:
    """A host in Vienna was lost, and the one in its place has UTC."""
    lost = snapshot(0xA << 252, "2026-07-02T03:00:00+02:00")
    later = snapshot(0xB << 252, "2026-07-02T02:00:00Z")
    written = sorted([lost, later], key=lambda found: str(found["time"]))
    assert chosen(written, "blog", "latest") is later
    assert chosen(written, "blog", "2026-07-02T02:30") is later


def test_no_backup_at_all() -> None:
    with pytest.raises(DeployError, match="no backup of blog"):
        chosen(SNAPSHOTS[2:], "blog", "latest")


# What comes back


MANIFEST = {"rows": {"photo": 3, "album": 1}, "migrations": ["album.0001_initial"]}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"photo": 2, "album": 1}, "photo: 3 in the backup, 2 restored"),
        ({"photo": 3}, "album: 1 in the backup, no table restored"),
        ({"photo": 3, "album": 1, "x": 0}, "x: no table in the backup, 0 restored"),
    ],
)
def test_one_row_is_a_failure(rows: dict[str, int], told: str) -> None:
    with pytest.raises(DeployError, match=told):
        compared(MANIFEST, {**MANIFEST, "rows": rows})


def test_migrations_are_compared() -> None:
    compared(MANIFEST, MANIFEST)
    with pytest.raises(DeployError, match="migrations"):
        compared(MANIFEST, {**MANIFEST, "migrations": []})


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    found = App(
        {
            "name": "blog",
            "user": "blog",
            "home": str(tmp_path / "blog"),
            "sqlite": "",
            "database": "blog",
            "scratch": "",
        }
    )
    monkeypatch.setattr(found.layout, "ids", lambda: (os.getuid(), os.getgid()))
    monkeypatch.setattr(found.layout, "web_gid", lambda: 33)
    return found


def fetched(app: App, tmp_path: Path, **files: str) -> Fetched:
    """As it is after restic has restored it."""
    found = Fetched.__new__(Fetched)
    found.folder, found.source = str(tmp_path / "fetched"), "blog"
    found.manifest = {"home": "/srv/blog", "ids": {"uid": 1001, "gid": 1001, "web_gid": 33}}
    media = Path(found.part("shared")) / "media"
    media.mkdir(parents=True)
    for name, text in files.items():
        (media / name).write_text(text)
    return found


def test_only_what_was_the_apps_is_given_to_it(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = fetched(app, tmp_path, photo="x", shadow="root:secret")
    media = Path(back.part("shared")) / "media"
    (media / "link").symlink_to("/etc/shadow")
    (media / "shadow").chmod(0o644)
    (media / "photo").chmod(0o640)
    owners: dict[str, tuple[int, int]] = {}
    real = os.lstat

    class Entry:
        """What was the app's has its old number; the stolen file is root's."""

        def __init__(self, path: str) -> None:
            self.st_mode = real(path).st_mode
            stolen = path.endswith("shadow")
            self.st_uid, self.st_gid = (0, 42) if stolen else (1001, 33 if path.endswith("media") else 1001)

    monkeypatch.setattr(os, "lstat", Entry)

    def chown(path: str, uid: int, gid: int, follow_symlinks: bool = True) -> None:
        assert not follow_symlinks
        owners[os.path.basename(path)] = (uid, gid)

    monkeypatch.setattr(os, "chown", chown)
    back.hand_over(app)
    monkeypatch.undo()
    mine = (os.getuid(), os.getgid())
    assert owners.pop("shared") == mine  # the folder itself: of home it is the one that is moved
    assert owners == {"media": (mine[0], 33), "photo": mine, "link": mine, "shadow": (0, 0)}
    assert (media / "shadow").stat().st_mode & 0o7777 == 0o700
    assert (media / "photo").stat().st_mode & 0o7777 == 0o640


def test_a_missing_file_and_one_too_many_are_noticed(app: App, tmp_path: Path) -> None:
    back = fetched(app, tmp_path, photo="xyz")
    path = "/srv/blog/shared/media/photo"
    back.manifest["dump"] = {"file": "d", "sha256": ""}
    for wanted in ({path: 2}, {path: 3, "/srv/blog/shared/media/other": 1}, {}):
        back.wanted = wanted
        with pytest.raises(DeployError, match="differ from the stored ones"):
            back.verify()


def restoring(app: App) -> Restore:
    store = Store({"repository": "/x", "host": "", "keep": {}, "bandwidth": 0})
    return Restore(app, store, "blog", "1", False)


def test_folders_change_places_and_back(app: App, tmp_path: Path) -> None:
    shared = Path(app.home) / "shared"
    (shared / "media").mkdir(parents=True)
    (shared / "media/new").write_text("new")
    (shared / "words").symlink_to("media")
    back = fetched(app, tmp_path, old="old")
    (Path(back.part("shared")) / "extra").mkdir()
    (Path(back.part("shared")) / "note").write_text("a file of root's")
    (Path(back.part("shared")) / "words").symlink_to("media")
    work = restoring(app)
    work.exchange(back)
    assert [path.name for path in (shared / "media").iterdir()] == ["old"]
    assert (shared / "extra").is_dir()
    work.back(DeployError("the database is not what it was"))
    assert [path.name for path in (shared / "media").iterdir()] == ["new"]
    assert sorted(path.name for path in shared.iterdir()) == ["media", "words"]


@pytest.mark.parametrize("number", range(4))
def test_folders_are_put_back_wherever_it_stops(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Right after a folder was moved, too, before anything else can note that."""
    shared = Path(app.home) / "shared"
    for name in ("data", "media"):
        (shared / name).mkdir(parents=True)
        (shared / name / "new").write_text("new")
    back = fetched(app, tmp_path, old="old")
    (Path(back.part("shared")) / "data").mkdir()
    real, count = os.rename, iter(range(9))

    def rename(source: str, target: str) -> None:
        real(source, target)
        if next(count) == number:
            raise KeyboardInterrupt

    work = restoring(app)
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            work.exchange(back)
    work.back(KeyboardInterrupt())
    assert sorted(str(path.relative_to(shared)) for path in shared.rglob("new")) == ["data/new", "media/new"]
    assert not list(shared.rglob("old"))


def test_what_could_not_be_put_back_is_kept(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = Path(app.home) / "shared/media"
    media.mkdir(parents=True)
    (media / "new").write_text("new")
    back = fetched(app, tmp_path, old="old")
    monkeypatch.setattr(back, "verify", dict)
    monkeypatch.setattr(back, "hand_over", lambda _app: None)
    monkeypatch.setattr(Fetched, "dumps", {})
    done: list[str] = []
    for name in ("stop", "start", "clear"):
        monkeypatch.setattr(backup_restore, name, lambda _app, name=name: done.append(name))
    monkeypatch.setattr(backup_restore, "Fetched", lambda *_words: back)
    flag = Path(app.home) / "maintenance/on"
    flag.parent.mkdir()
    work = restoring(app)

    def fail(*_words: Any) -> None:
        raise DeployError("the rows differ")

    def rename(_source: str, _target: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def broken(*_words: Any) -> None:
        monkeypatch.setattr(os, "rename", rename)
        fail()

    monkeypatch.setattr(work, "replace_databases", broken)
    with pytest.raises(DeployError, match=r"the rows differ\n.*Input/output error\nThey are in .*/before"):
        work.run()
    assert done == ["stop", "clear"]  # nothing writes to what is half of each
    assert flag.exists()
    kept = Path(work.before) / "shared/media/new"
    assert kept.exists()
    again = restoring(app)
    with pytest.raises(
        Torn, match=r"/before has the files.*stays stopped until then. Nothing else was changed"
    ):
        again.run()
    assert kept.exists()
    assert done == ["stop", "clear", "stop"]


@pytest.mark.parametrize("number", range(5))
def test_a_restore_that_ended_with_its_host_is_undone_by_the_next(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    shared = Path(app.home) / "shared"
    for name in ("data", "media"):
        (shared / name).mkdir(parents=True)
        (shared / name / "new").write_text("new")
    back = fetched(app, tmp_path, old="old")
    (Path(back.part("shared")) / "more").mkdir()
    real, count = os.rename, iter(range(99))

    def rename(source: str, target: str) -> None:
        if next(count) == number:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
        patched.setattr(os, "rename", rename)
        restoring(app).exchange(back)  # and nobody cleans up
    done: list[str] = []
    for name in ("stop", "start"):
        monkeypatch.setattr(backup_restore, name, lambda _app, name=name: done.append(name))
    monkeypatch.setattr(app, "release", lambda: "/r")
    next_one = restoring(app)
    if number:  # else nothing was moved, and nothing says what would have been
        with pytest.raises(DeployError, match="A restore of blog was interrupted"):
            take(app, next_one.store, "scheduled")

        def cut(folder: str) -> None:
            assert not os.path.lexists(next_one.before)  # the next one has nothing to undo
            remove(folder)

        monkeypatch.setattr(backup_restore, "remove", cut)
        next_one.undo_interrupted()
        assert done == ["stop", "start"]
        assert not os.path.lexists(next_one.folder)
    assert sorted(str(path.relative_to(shared)) for path in shared.rglob("*") if path.is_file()) == [
        "data/new",
        "media/new",
    ]
    assert not (shared / "more").exists()


# What is known of them


def test_the_last_good_one_outlives_a_bad_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_state, "STATE", str(tmp_path))
    backup_state.write("blog", "backup", {"ok": True, "message": "", "seconds": 1})
    backup_state.write("blog", "backup", {"ok": False, "message": "no", "seconds": 1})
    found = backup_state.read("blog")["backup"]
    assert found["good"]["ok"]
    assert not found["last"]["ok"]
    assert (tmp_path / "blog.json").stat().st_mode & 0o777 == 0o600


# The continuous archive

ARCHIVE: dict[str, Any] = {
    "repository": "/var/backups/postgres",
    "password": CANARY * 2,
    "ssh_key": "",
    "known_hosts": "",
    "credentials": {},
    "ca": "",
    "archive_timeout": 60,
    "keep": 2,
    "full_schedule": "weekly",
    "incremental_schedule": "daily",
    "drill_schedule": "weekly",
    "queue_gb": 8,
}


def told_of(**change: Any) -> dict[str, Any]:
    found: dict[str, Any] = settings_of({**ARCHIVE, **change})["settings"]
    return found


def test_the_places_of_an_archive() -> None:
    assert told_of()["repo1-path"] == "/var/backups/postgres"
    keys = {"ssh_key": KEY, "known_hosts": HOSTS}
    sftp = told_of(repository="sftp:me@vault.example:2222:/b/pg", **keys)
    assert (sftp["repo1-sftp-host"], sftp["repo1-sftp-host-port"], sftp["repo1-path"]) == (
        "vault.example",
        2222,
        "/b/pg",
    )
    assert sftp["repo1-sftp-host-key-check-type"] == "strict"
    s3 = told_of(**S3)
    assert (s3["repo1-s3-bucket"], s3["repo1-path"], s3["repo1-s3-endpoint"]) == (
        "bucket",
        "/pg/x",
        "s3.example",
    )
    assert s3["repo1-storage-port"] == 9000
    address = told_of(**{**S3, "repository": "s3:https://[2001:db8::1]:61000/bucket/pg"})
    assert (address["repo1-s3-endpoint"], address["repo1-storage-port"]) == ("[2001:db8::1]", 61000)
    for found in (told_of(), sftp, s3):
        assert found["repo1-cipher-type"] == "aes-256-cbc"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"repository": "/var/lib/postgresql"}, "pgbackrest_repository"),
        ({"repository": "sftp:me@vault:b", "ssh_key": KEY, "known_hosts": HOSTS}, "pgbackrest_repository"),
        ({"repository": "sftp:me@vault:/b"}, "pgbackrest_ssh_key"),
        ({"repository": "s3:https://s3.example/b"}, "pgbackrest_credentials"),
        ({"password": "short"}, "pgbackrest_password"),
        ({"password": "with a space and more of it"}, "pgbackrest_password"),
        ({"ca": CA}, "pgbackrest_ca"),
        ({"archive_timeout": 0}, "pgbackrest_archive_timeout"),
        ({"keep": 0}, "pgbackrest_keep"),
    ],
)
def test_inputs_of_the_archive_that_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        archive_files({**ARCHIVE, **change}, "17", "main")


def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    assert told_of(**S3, ca=CA)["repo1-storage-ca-file"] == "/etc/pgbackrest/ca.pem"
    assert "repo1-storage-ca-file" not in told_of(**S3)
    for files in (
        archive_files({**ARCHIVE, **S3, "ca": CA}, "17", "main"),
        backup_files({**VALUES, **S3, "ca": f"\n{CA}"}, [BLOG], "web1"),
    ):
        (found,) = [entry for entry in files if entry["path"].endswith("/ca.pem")]
        assert found["content"] == CA
    store = Store({"repository": "s3:x", "host": "web1", "keep": {}, "bandwidth": 0}, str(tmp_path))
    assert "--cacert" not in store.words()
    (tmp_path / "ca.pem").write_text(CA)
    assert f"--cacert {tmp_path}/ca.pem" in " ".join(store.words())


def test_the_files_of_an_archive() -> None:
    assert archive_files({**ARCHIVE, "repository": ""}, "17", "main") == []
    files = {entry["path"]: entry for entry in archive_files(ARCHIVE, "17", "main")}
    assert files["/etc/pgbackrest/pgbackrest.conf"]["secret"]
    # neither role takes away what the other needs
    others = {
        entry["path"] for entry in backup_files(VALUES, [BLOG], "web1") if entry.get("state") != "directory"
    }
    assert not others & set(files)
    for entry in files.values():
        if "src" in entry:
            assert (ROOT / "roles/pgbackrest/files" / entry["src"]).is_file(), entry


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T14:30", "2026-01-31 14:30:00+00"),
        ("2026-01-31 14:30:05Z", "2026-01-31 14:30:05+00"),
        ("2026-01-31T14:30:05.25", "2026-01-31 14:30:05.25+00"),
    ],
)
def test_a_moment(text: str, expected: str) -> None:
    assert timestamp(text) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-01-31", "2026-02-31T14:30", "2026-01-31T14:30:00+02", "' or 1"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(DeployError, match="target_time"):
        timestamp(text)


# What pgBackRest says


INFO: dict[str, Any] = {
    "name": "homeport",
    "db": [{"id": 1, "system-id": 6, "version": "15"}, {"id": 2, "system-id": 7, "version": "17"}],
    "backup": [
        {
            "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
            "database": {"id": 2},
            "timestamp": {"stop": 1_769_900_000},
            "type": "full",
        }
    ],
    "status": {"code": 0, "message": "ok"},
}
WRONG = "[FormatError] unable to load info file '/x/backup.info':\nFormatError: key/value found at line 1: \x12\x7f"


class Answering(Cluster):
    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    def ask(self, statements: str, seconds: int = 0) -> str:
        return self.answer


class Told(Archive):
    """An archive and a cluster that say what they are told to say."""

    def __init__(self, info: dict[str, Any], system: str = "7", timeline: str = "00000001") -> None:
        super().__init__({"version": "17", "cluster": "main"}, "/x/pgbackrest.conf")
        self.live = Answering(f"{timeline}0000000000000009\n")
        self.info, self.number = info, system
        self.beside: dict[str, str] = {}
        self.asked: list[str] = []

    def run(self, words: list[str], what: str) -> str:
        self.asked.append(" ".join(words))
        if "info" in words:
            return json.dumps([self.info]).replace(
                "\\u0012", "\x12"
            )  # pgBackRest does not escape what it cannot read
        if words[0] == "pg_controldata":
            return f"pg_control version number: 1300\nDatabase system identifier:           {self.number}\n"
        if words[0] == "sh":
            return "".join(
                f"/var/lib/postgresql/{name}/global/pg_control\n" for name in ("17/main", *self.beside)
            )
        if words[0] == "od":
            return f"  {self.beside['/'.join(words[-1].split('/')[4:6])]}\n"
        return ""


class Somewhen:
    """The databases of some moment, of which one holds what cannot even be read."""

    owners = {"evil": "evil", "victim": "victim"}

    def arrived(self, _lsn: str) -> bool:
        return True

    def counted(self, database: str) -> dict[str, Any]:
        if database == "evil":
            json.loads("[" * 100_000)
        return {"rows": {"a": 1}}


def test_a_database_that_cannot_be_read_keeps_no_other_from_its_drill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Told({"status": {"code": 0, "message": "ok"}, "db": [], "backup": []})
    monkeypatch.setattr(archive, "now", lambda: "0/1")
    monkeypatch.setattr(archive, "as_of", lambda _moment: contextlib.nullcontext(Somewhen()))
    with pytest.raises(DeployError, match=r"1 of 2 databases .* 1 tables with 1 rows\nevil: RecursionError"):
        archive_main.drill(archive)


def test_an_archive_that_is_this_clusters() -> None:
    archive = Told(INFO)
    archive.prepare()
    assert [words.split()[-1] for words in archive.asked[-2:]] == ["stanza-create", "check"]
    assert all("--config=/x/pgbackrest.conf" in words for words in archive.asked if "pgbackrest" in words)
    assert not foreign(archive)


def test_an_archive_of_another_cluster_is_left_alone() -> None:
    archive = Told(INFO, system="8")
    with pytest.raises(DeployError, match=r"another PostgreSQL cluster.*playbook recover"):
        archive.prepare()
    assert not any("stanza-create" in words for words in archive.asked)
    assert foreign(archive)


def test_an_archive_goes_on_with_the_upgraded_cluster() -> None:
    before = {**INFO, "db": INFO["db"][:1], "backup": [{**INFO["backup"][0], "database": {"id": 1}}]}
    archive = Told(before)
    with pytest.raises(DeployError, match=r"upgrade from PostgreSQL 15, .*stanza-upgrade"):
        archive.prepare()
    assert not any("stanza-upgrade" in words for words in archive.asked)
    archive.beside = {"15/main": "6", "16/main": "3"}
    archive.prepare()
    verbs = [words.split()[-1] for words in archive.asked if words.startswith("pgbackrest")]
    assert verbs[-3:] == ["stanza-upgrade", "stanza-create", "check"]
    # what the archive has is none of it
    archive.info = {**before, "db": INFO["db"]}
    assert archive.backups() == []
    assert archive.begins()
    # an upgrade was undone: the old cluster goes on, and not where its backups are
    undone = Told({**before, "db": [*INFO["db"], {"id": 3, "system-id": 6, "version": "15"}]}, system="6")
    assert undone.begins()
    with pytest.raises(DeployError, match="has no full backup"):
        foreign(Told(archive.info, system="8"))


def test_a_time_before_an_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {**INFO["backup"][0], "database": {"id": 1}, "timestamp": {"stop": 1_769_800_000}}
    archive = Told({**INFO, "backup": [old, *INFO["backup"]]})
    assert archive.version_at("2026-01-30 19:06:41.5+00") == "15"
    assert archive.version_at("2026-01-31 22:53:21+00") == "17"
    assert archive.version_at("2026-01-01 00:00:00+00") == "17"
    monkeypatch.setattr(os.path, "exists", lambda path: "/15/" not in path)
    with pytest.raises(DeployError, match=r"before the upgrade from PostgreSQL 15.*install postgresql-15"):
        archive.take_version("15")
    archive.take_version("17")


def test_an_archive_that_does_not_open() -> None:
    told = {"status": {"code": 99, "message": "other"}, "repo": [{"status": {"code": 99, "message": WRONG}}]}
    for work in (Told(told).prepare, lambda: foreign(Told(told)), Told(told).backups):
        with pytest.raises(WrongArchiveKey, match="pgbackrest_password"):
            work()
    assert type(Told(INFO).error("ERROR: [103]: unable to find a valid repository", "x")) is DeployError
    assert "\x12" not in str(Told(INFO).error("\x12", "x"))


@pytest.mark.parametrize(
    ("change", "system", "text"),
    [
        ({"db": [], "backup": [], "status": {"code": 1, "message": "missing"}}, "8", "There is no archive"),
        ({"db": INFO["db"][:1]}, "8", "The archive is of PostgreSQL 15, and this host has 17"),
        ({"backup": [], "status": {"code": 2, "message": "no valid backups"}}, "8", "has no full backup"),
    ],
)
def test_what_cannot_be_brought_back(change: dict[str, Any], system: str, text: str) -> None:
    with pytest.raises(DeployError, match=text):
        foreign(Told({**INFO, **change}, system))


@pytest.mark.parametrize(
    ("info", "timeline", "expected"),
    [
        (INFO, "00000001", False),
        (INFO, "00000002", True),  # what was written since it was brought back is in no archive
        ({**INFO, "backup": []}, "00000001", True),
    ],
)
def test_when_an_archive_begins_with_a_full_backup(
    info: dict[str, Any], timeline: str, expected: bool
) -> None:
    assert Told(info, timeline=timeline).begins() is expected


def test_what_a_recovery_is_told() -> None:
    sftp = {"repository": "sftp:me@vault.example:/b", "ssh_key": f"{KEY}\n", "known_hosts": HOSTS}
    found = recovery_of({**ARCHIVE, **sftp})
    assert found["files"] == {"ssh_key": KEY, "known_hosts": f"{HOSTS}\n"}
    assert found["secrets"] == {"repo1-cipher-pass": ARCHIVE["password"]}
    s3 = recovery_of({**ARCHIVE, **S3, "ca": CA})
    assert s3["files"] == {"ca.pem": CA}
    assert s3["secrets"]["repo1-s3-key-secret"] == "key"
    assert CANARY not in str(found["settings"])
    with pytest.raises(InputError, match="pgbackrest_repository"):
        recovery_of({**ARCHIVE, "repository": ""})


class Recovering(Recovery):
    """Its steps by name, on a real folder."""

    def __init__(self, folder: Path, tables: dict[str, int], replace: bool = False, fails: str = "") -> None:
        self.told = Told(INFO, system="8")
        self.told.data = str(folder / "main")
        super().__init__(self.told, "", replace)
        self.steps: list[str] = []
        self.held, self.fails = tables, fails
        (folder / "main/global").mkdir(parents=True)
        (folder / "main/global/pg_control").write_text("")
        (folder / "main/old").write_text("")

    def tables(self) -> dict[str, int]:
        return self.held

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.fails:
            raise DeployError("it broke")

    def fetch(self) -> None:
        """In the order of pgBackRest."""
        data = Path(self.archive.data)
        (data / "global").mkdir(parents=True)
        (data / "recovery.signal").write_text("")
        aim = f"recovery_target_time = '{self.target_time}'\n" if self.target_time else ""
        (data / "postgresql.auto.conf").write_text(f"# Recovery settings\nrestore_command = 'x'\n{aim}")
        self.step("fetch")
        (data / "global/pg_control").write_text("")
        self.told.number = "7"

    def wait(self) -> None:
        self.step("wait")
        Path(f"{self.archive.data}/recovery.signal").unlink(missing_ok=True)
        self.step("arrived")

    def finish(self, started: float, keep: bool) -> dict[str, Any]:
        self.step("finish")
        return super().finish(started, keep)

    def systemctl(self, verb: str) -> None:
        self.steps.append(verb)


def test_a_recovery(tmp_path: Path) -> None:
    work = Recovering(tmp_path, {})
    assert work.run()["kept"] == ""
    assert work.steps == ["stop", "fetch", "start", "wait", "arrived", "finish"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
    assert not (tmp_path / "main/old").exists()


def test_a_cluster_that_is_not_empty_stays(tmp_path: Path) -> None:
    work = Recovering(tmp_path, {"blog": 14})
    with pytest.raises(DeployError, match=r"blog \(14 tables\).*Nothing was changed"):
        work.run()
    assert work.steps == []
    work.replace = True
    kept = work.run()["kept"]
    assert (Path(kept) / "old").exists()


@pytest.mark.parametrize("fails", ["fetch", "wait"])
def test_a_recovery_that_fails_puts_back_what_there_was(tmp_path: Path, fails: str) -> None:
    work = Recovering(tmp_path, {}, fails=fails)
    with pytest.raises(DeployError, match="it broke"):
        work.run()
    assert work.steps[-2:] == ["stop", "start"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]
    assert (tmp_path / "main/old").exists()


def test_a_cluster_that_cannot_be_put_aside_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Recovering(tmp_path, {})

    def rename(*_paths: str) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename)
        with pytest.raises(OSError, match="busy"):
            work.run()
    assert work.steps == ["stop", "stop", "start"]
    assert (tmp_path / "main/old").exists()


def test_a_cluster_on_a_disk_of_its_own_is_told_of_before_anything_stops(tmp_path: Path) -> None:
    work = Recovering(tmp_path, {})
    (tmp_path / "main").rename(tmp_path / "disk")
    (tmp_path / "main").symlink_to("disk")
    with pytest.raises(DeployError, match=r"a link or a disk of its own.*Nothing was changed"):
        work.run()
    assert work.steps == []


@pytest.mark.parametrize("came", ["nothing", "half", "recovering"])
def test_a_recovery_that_was_interrupted_begins_anew(tmp_path: Path, came: str) -> None:
    work = Recovering(tmp_path, {}, fails="" if came == "recovering" else "fetch")
    (tmp_path / "main").rename(work.aside)
    if came != "nothing":
        with contextlib.suppress(DeployError):
            work.fetch()
    work.fails = ""
    work.steps.clear()
    assert work.run()["kept"] == ""
    assert work.steps == ["stop", "start", "stop", "fetch", "start", "wait", "arrived", "finish"]
    assert [path.name for path in tmp_path.iterdir()] == ["main"]


AS_OF = "2026-01-31 14:29:30+00"


def written(tmp_path: Path, fails: str, timestamp: str = "") -> Recovering:
    """A recovery that ended after the cluster had come back, which apps have written to since."""
    work = Recovering(tmp_path, {}, fails=fails)
    work.target_time = timestamp
    with pytest.raises(DeployError, match="it broke"):
        work.run()
    (tmp_path / "main/rows").write_text("of days")
    work.fails = ""
    work.steps.clear()
    return work


@pytest.mark.parametrize("fails", ["arrived", "finish"])
def test_a_recovery_that_was_interrupted_at_the_end_is_only_finished(tmp_path: Path, fails: str) -> None:
    work = written(tmp_path, fails)
    assert (Path(work.run()["kept"]) / "old").exists()
    assert work.steps == ["start", "wait", "arrived", "finish"]
    assert (tmp_path / "main/rows").exists()
    assert not Path(work.aside).exists()


@pytest.mark.parametrize(
    ("aimed", "asked", "text"),
    [
        (AS_OF, "", "as of 2026-01-31T14:29:30.*run this again with -e target_time=2026-01-31T14:29:30. "),
        (AS_OF, "2026-01-30 10:00:00+00", "run this again with -e target_time=2026-01-31T14:29:30. "),
        ("", AS_OF, "as of the end of the archive.*run this again without target_time"),
    ],
)
def test_a_recovery_that_was_interrupted_is_not_finished_for_another_moment(
    tmp_path: Path, aimed: str, asked: str, text: str
) -> None:
    work = written(tmp_path, "finish", aimed)
    work.target_time = asked
    with pytest.raises(DeployError, match=text):
        work.run()
    assert work.steps == []
    work.target_time = aimed
    work.run()
    assert (tmp_path / "main/rows").exists()


@pytest.mark.parametrize(
    ("info", "system", "fails", "text"),
    [
        ({"status": {"code": 99, "message": "cannot be reached"}}, "7", "", "cannot be reached"),
        (
            {"db": [], "backup": [], "status": {"code": 1, "message": "missing"}},
            "7",
            "",
            "There is no archive",
        ),
        ({}, "9", "", "that of another cluster.*Nothing was changed"),
        ({}, "7", "wait", "it broke"),
    ],
)
def test_no_doubt_costs_a_cluster_that_came_back(
    tmp_path: Path, info: dict[str, Any], system: str, fails: str, text: str
) -> None:
    """Neither an archive that cannot be asked or is another one, nor PostgreSQL that is down."""
    work = written(tmp_path, "finish")
    work.told.info, work.told.number, work.fails = {**INFO, **info}, system, fails
    with pytest.raises(DeployError, match=text):
        work.run()
    assert "stop" not in work.steps
    assert (tmp_path / "main/rows").exists()
    assert (Path(work.aside) / "old").exists()


def test_half_of_a_cluster_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not arrive is cut off while it is removed."""
    work = Recovering(tmp_path, {}, fails="wait")

    def rmtree(path: str) -> None:
        os.unlink(f"{path}/recovery.signal")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", rmtree)
        with pytest.raises(KeyboardInterrupt):
            work.run()
    work.fails = ""
    work.steps.clear()
    work.run()
    assert work.steps[:4] == ["stop", "start", "stop", "fetch"]


def test_one_recovery_at_a_time(tmp_path: Path) -> None:
    data = str(tmp_path / "main")
    with alone(data), pytest.raises(DeployError, match="Another recovery"), alone(data):
        pass
    with alone(data):
        pass


def test_invalid_pages_of_a_database_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_archive, "SCRATCH", str(tmp_path))
    archive = Told(INFO)
    monkeypatch.setattr(archive, "second", lambda: Answering("16385\n"))
    line = "2026-11-30 06:20:33 GMT [1] {}:  page 13 of relation base/{}/1259 is uninitialized\n"
    for level, oid in (("WARNING", 16585), ("WARNING", 1638), ("LOG", 16385)):
        (tmp_path / "log").write_text(line.format(level, oid))
        archive.refuse_invalid_pages("blog")
    (tmp_path / "log").write_text(line.format("WARNING", 16385))
    with pytest.raises(DeployError, match="invalid pages of blog"):
        archive.refuse_invalid_pages("blog")
