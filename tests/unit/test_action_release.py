from __future__ import annotations

import os
import tarfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from ansible import constants as C
from ansible_collections.homeport.django.plugins.action.release import (
    LEFT_OUT,
    ActionModule,
    LeadsOut,
    SourceError,
    find,
    is_news,
    live_elsewhere,
    pack,
)
from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import this_run

from tests.unit.releases import write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in ("manage.py", "blog/settings.py", "blog/static/a.css", ".github/x.yml", ".python-version"):
        write(folder / name)
    (folder / "manage.py").chmod(0o775)
    return folder


def packed(folder: Path) -> bytes:
    path = Path(pack(str(folder)))
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def names(folder: Path) -> list[str]:
    path = pack(str(folder))
    try:
        with tarfile.open(path) as archive:
            return sorted(member.name for member in archive.getmembers() if member.isfile() or member.issym())
    finally:
        os.unlink(path)


def test_everything_but_the_developers_own(project: Path) -> None:
    before = names(project)
    assert before == [
        "source/.github/x.yml",
        "source/.python-version",
        "source/blog/settings.py",
        "source/blog/static/a.css",
        "source/manage.py",
    ]
    left = (".git/config", ".venv/x", "venv/x", "node_modules/x/y", "blog/__pycache__/x.pyc", "x.pyc", ".env")
    data = ("db.sqlite3", "db.sqlite3-wal", "blog/.DS_Store", ".mypy_cache/x", ".tox/x")
    for name in (*left, *data):
        write(project / name)
    assert names(project) == before


def test_secrets_and_data_are_named(project: Path) -> None:
    assert {".env", "*.sqlite3", ".git"} <= set(LEFT_OUT)


def test_a_virtual_environment_of_any_name_is_left_out(project: Path) -> None:
    before = names(project)
    write(project / "env/pyvenv.cfg")
    (project / "env/bin").mkdir()
    (project / "env/bin/python3").symlink_to("/usr/bin/python3")
    assert names(project) == before


@pytest.mark.parametrize("target", ["/mnt/nas", "../../elsewhere", "static/../../../elsewhere"])
def test_a_link_out_of_the_folder_is_named(target: str, project: Path) -> None:
    (project / "blog/media").symlink_to(target)
    with pytest.raises(LeadsOut, match=r"^blog/media$"):
        pack(str(project))


def test_a_link_within_the_folder_is_kept(project: Path) -> None:
    (project / "blog/static/b.css").symlink_to("../../blog/static/a.css")
    assert "source/blog/static/b.css" in names(project)


def test_the_same_files_make_the_same_archive(project: Path, tmp_path: Path) -> None:
    first = packed(project)
    later = project / "blog/settings.py"
    os.utime(later, (1, 1))
    (project / "blog/static/a.css").chmod(0o600)
    write(project / "zz").unlink()
    copy = tmp_path / "elsewhere"
    for path in sorted(project.rglob("*"), reverse=True):  # in another order on the disk
        if path.is_file():
            target = copy / path.relative_to(project)
            write(target, path.read_text())
            target.chmod(path.stat().st_mode)
    assert packed(project) == first
    assert packed(copy) == first


@pytest.mark.parametrize("change", ["content", "name", "program", "link"])
def test_another_file_makes_another_archive(change: str, project: Path) -> None:
    first = packed(project)
    path = project / "blog/settings.py"
    if change == "content":
        path.write_text("y\n")
    elif change == "name":
        path.rename(project / "blog/other.py")
    elif change == "program":
        path.chmod(0o755)
    else:
        (project / "link").symlink_to("manage.py")
    assert packed(project) != first


def test_owner_and_modes_are_those_of_nobody(project: Path) -> None:
    path = pack(str(project))
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    os.unlink(path)
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)
    }
    assert {member.mode for member in members} == {0o755, 0o644}


def leftovers() -> list[Path]:
    return list(Path(C.DEFAULT_LOCAL_TMP).glob("homeport-*"))


def test_code_that_cannot_be_had_is_the_matter_of_one_app(project: Path, tmp_path: Path) -> None:
    archive = write(tmp_path / "app.tar", "x")
    (project / "gone").mkdir()
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"base": str(tmp_path)})

    def problem(**source: str) -> str:
        with pytest.raises(SourceError) as caught:
            action._local({"name": "blog", "source": source}, {})
        return str(caught.value)

    before = leftovers()
    assert problem(path="nowhere").startswith("django_apps.blog.source.path: there is no folder ")
    assert problem(archive="none.tar") == (
        f"django_apps.blog.source.archive: {tmp_path}/none.tar: No such file or directory"
    )
    assert problem(archive="app.tar", checksum="0" * 64) == (
        f"django_apps.blog.source.checksum: {archive} does not have it"
    )
    with patch("tarfile.TarFile.addfile", side_effect=PermissionError(13, "Permission denied", "/x/secret")):
        assert problem(path="project") == "django_apps.blog.source.path: /x/secret: Permission denied"
    assert leftovers() == before
    copy = action._local({"name": "blog", "source": {"archive": "app.tar"}}, {})
    assert Path(str(copy)).read_text() == archive.read_text()
    os.unlink(str(copy))


def test_digest(tmp_path: Path) -> None:
    assert file_digest(str(write(tmp_path / "a", "abc"))).startswith("ba7816bf8f01cfea414140de5dae2223")


def test_paths_on_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert find("../app", "/site/prod") == "/site/app"
    assert find("/abs/app", "/site/prod") == "/abs/app"
    assert find("~/app", "/site/prod") == "/home/anna/app"


@pytest.mark.parametrize(
    ("live", "news"),
    [
        ({"blog": "sha256:a"}, False),
        ({"blog": "sha256:b"}, True),
        ({"blog": "4f2c"}, True),  # from git until now
        ({"shop": "sha256:a"}, True),
        ({}, True),
        (None, False),  # nobody has looked: the module says whether it wants the code
    ],
)
def test_code_is_sent_at_once_where_it_is_known_to_be_new(live: dict[str, str] | None, news: bool) -> None:
    assert is_news({"name": "blog", "source": {"digest": "a"}}, live) is news


def test_apps_that_are_live_on_another_host() -> None:
    looks = {
        "a": {"run": this_run(), "revisions": {"blog": "x"}},
        "b": {"run": "another", "revisions": {"shop": "x"}},
    }
    variables = {host: {"ansible_facts": {"homeport": facts}} for host, facts in looks.items()}
    assert live_elsewhere({"ansible_play_hosts_all": ["a", "b"], "hostvars": variables}) == {"blog"}
    assert live_elsewhere({}) == set()
