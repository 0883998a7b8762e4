"""What a backup says of itself, where the app may have had a part in writing it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.backup import main as backup_main
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import Fetched, manifest_of
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    is_kept,
    refuse_sparse,
    staging_of,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

GOOD: dict[str, Any] = {
    "format": 1,
    "app": "blog",
    "home": "/srv/blog",
    "vendor": "postgresql",
    "release": "20261129T120000-0123abcd",
    "commit": "",
    "migrations": ["blog.0001_initial"],
    "extensions": [],
    "rows": {"blog_post": 3},
    "paths": [staging_of("blog"), "/srv/blog/shared", "/srv/blog/releases/1/src"],
    "dump": {"file": "database.pgdump", "bytes": 1, "sha256": "0" * 64},
    "ids": {"uid": 990, "gid": 990, "web_gid": 33},
}


class Kept:
    """A repository with one backup."""

    def __init__(self, manifest: Any, owner: int = 990) -> None:
        self.manifest = manifest
        self.owner = owner

    def read(self, _snapshot: str, _path: str) -> str:
        return self.manifest if isinstance(self.manifest, str) else json.dumps(self.manifest)

    def listed(self, _snapshot: str) -> list[dict[str, Any]]:
        return [{"path": "/srv/blog/home", "type": "dir", "uid": self.owner, "gid": self.owner}]

    def files(self, _listed: list[dict[str, Any]], _paths: list[str]) -> dict[str, int]:
        raise AssertionError("it went on")


def test_a_manifest() -> None:
    assert manifest_of(Kept(GOOD), "blog", "0" * 64)["home"] == "/srv/blog"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"home": "/srv/victim"}, {"home": "/srv/blog/../victim"}, {"home": "/"}, {"app": "victim"}, {"format": 7},
        {"dump": {**GOOD["dump"], "file": "../../etc/homeport/backup/password"}}, {"dump": {"file": "database.pgdump"}},
        {"dump": {**GOOD["dump"], "file": "database.sqlite3"}}, {"dump": []}, {"vendor": "mysql"}, {"ids": {}},
        {"ids": {**GOOD["ids"], "uid": "0"}}, {"ids": {**GOOD["ids"], "uid": -1}}, {"rows": {"a": "1"}}, {"rows": []},
        {"migrations": "all"}, {"release": None},
        *(
            {"paths": [path]}
            for path in (
                "/etc", "/etc/shadow", "/srv/victim/shared", "/srv/blog2/shared", "/srv/blog/shared/../../victim",
                "/srv/blog/dumps", "/etc/systemd/system/blog.../../x", "/etc/systemd/system/victim.daily.timer", "",
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_nobody_but_the_app_can_have_meant(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeployError, match=r"manifest"):
        manifest_of(Kept({**GOOD, **wrong}), "blog", "0" * 64)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, '"manifest"'])
def test_a_manifest_that_is_none(text: str) -> None:
    with pytest.raises(DeployError, match=r"manifest"):
        manifest_of(Kept(text), "blog", "0" * 64)  # type: ignore[arg-type]


@pytest.mark.parametrize(("claimed", "owner"), [(991, 990), (0, 0), (990, 991)])
def test_an_owner_that_the_snapshot_does_not_have(claimed: int, owner: int, tmp_path: Any) -> None:
    manifest = {**GOOD, "ids": {"uid": claimed, "gid": claimed, "web_gid": 33}}
    kept: Any = Kept(manifest, owner)
    kept.files = lambda _listed, _paths: {}
    with pytest.raises(DeployError, match="names another owner than its files have"):
        Fetched(kept, "blog", "0" * 64, str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_the_paths_of_a_backup() -> None:
    assert is_kept("/etc/nginx/sites-enabled/blog.conf", "blog")
    assert is_kept("/srv/blog/releases/1/release.json", "blog")
    assert not is_kept("/srv/blog/releases/../../victim/src", "blog")


def test_what_goes_wrong_with_one_app_is_written_down_and_no_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {}
    monkeypatch.setattr(backup_state, "write", lambda name, _kind, outcome: written.update({name: outcome}))

    def broken() -> dict[str, Any]:
        return {**[]}  # type: ignore[dict-item]

    assert not backup_main.attempted("evil", "backup", broken)
    assert backup_main.attempted("victim", "backup", lambda: {"seconds": 1.0})
    assert (written["evil"]["ok"], written["victim"]["ok"]) == (False, True)

    def shouting() -> dict[str, Any]:
        raise DeployError("\x1b]52;c;x\x07")

    backup_main.attempted("evil", "backup", shouting)
    assert "\x1b" not in capsys.readouterr().err


def endless() -> dict[str, Any]:
    try:
        subprocess.run(["sleep", "600"], check=True)
    finally:
        print("cleared")
    return {}


def vanish() -> dict[str, Any]:
    os.kill(os.getpid(), 9)
    return {}


def told_of(work: Callable[[], dict[str, Any]], seconds: float) -> str:
    with pytest.raises(DeployError) as error:
        backup_main.apart(work, seconds)
    return str(error.value)


def test_what_never_ends_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A file that grows as fast as it is read, or what takes more memory than there is."""
    assert backup_main.apart(lambda: {"seconds": 1.5}, 10) == {"seconds": 1.5}
    mark = tmp_path / "cleared"

    def work() -> dict[str, Any]:
        try:
            return endless()
        finally:
            mark.touch()

    started = time.monotonic()
    assert "Did not end" in told_of(work, 0.3)
    assert time.monotonic() - started < 30
    assert mark.exists()
    assert told_of(vanish, 10) == "The process was ended"
    assert told_of(lambda: {**[]}, 10).startswith("TypeError")  # type: ignore[dict-item]


def test_what_took_long_comes_last_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Any] = {
        "slow": {"backup": {"last": {"seconds": 4000}}},
        "quick": {"backup": {"last": {"seconds": 3.5}}},
    }
    monkeypatch.setattr(backup_state, "read", lambda name: known.get(name, {}))
    apps: Any = [SimpleNamespace(name=name) for name in ("slow", "quick", "new")]
    assert [app.name for app in backup_main.quickest(apps, "backup")] == ["new", "quick", "slow"]
    assert [backup_main.bound(name, "backup") for name in ("slow", "quick", "new")] == [16000, 3600, 43200]


def test_a_file_that_is_longer_than_the_disk(tmp_path: Path) -> None:
    app: Any = SimpleNamespace(name="blog", home=str(tmp_path))
    (tmp_path / "small").write_text("x")
    refuse_sparse(app, [str(tmp_path)])
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(DeployError, match="is sparse"):
        refuse_sparse(app, [str(tmp_path)])
