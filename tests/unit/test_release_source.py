# ruff: noqa: E501
from __future__ import annotations

import base64
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import COMMAND, DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import archives, git_access
from ansible_collections.homeport.django.plugins.module_utils.host.release.git_access import (
    without_credentials,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.source import Source

from tests.unit.releases import HereRunner, layout
from tests.unit.support import CANARY


def unpack(archive: str, folder: str) -> None:
    with open(archive, "rb") as stream:
        archives.unpack(stream, folder)


Member = tuple[str, str, str]  # name, kind, content or target


def tar(path: Path, *members: Member, mode: int = 0o644) -> str:
    with tarfile.open(path, "w") as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if kind == "file":
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
                continue
            info.type = {"dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE}[kind]  # fmt: skip
            info.linkname = text
            archive.addfile(info)
    return str(path)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "release" / "src"
    folder.mkdir(parents=True)
    return folder


def test_tar(tmp_path: Path, target: Path) -> None:
    unpack(
        tar(tmp_path / "a.tar", ("manage.py", "file", "x"), ("app", "dir", ""), ("app/b.py", "file", "y")),
        str(target),
    )
    assert tree(target) == ["app", "app/b.py", "manage.py"]


def test_a_lone_folder_around_everything_is_left_out(tmp_path: Path, target: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("blog-1.0", "dir", ""), ("blog-1.0/manage.py", "file", "x")), str(target))
    assert tree(target) == ["manage.py"]


def test_a_lone_file_is_no_folder(tmp_path: Path, target: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("manage.py", "file", "x")), str(target))
    assert tree(target) == ["manage.py"]


def test_zip(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("blog/manage.py", "x")
        archive.writestr("blog/app/b.py", "y")
    unpack(str(tmp_path / "a.zip"), str(target))
    assert tree(target) == ["app", "app/b.py", "manage.py"]


def test_a_zip_keeps_what_is_executable(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, mode in (("bin/build", 0o100755), ("plain", 0o100644), ("bits", 0o104777)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "x")
    unpack(str(tmp_path / "a.zip"), str(target))
    assert [bool((target / name).stat().st_mode & 0o100) for name in ("bin/build", "plain", "bits")] == [
        True,
        False,
        True,
    ]
    assert not (target / "bits").stat().st_mode & 0o7022


def test_a_zip_stays_inside(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../escaped", "x")
        archive.writestr("/escaped2", "x")
    unpack(str(tmp_path / "a.zip"), str(target))
    assert not (tmp_path / "escaped").exists()
    assert tree(target) == ["escaped", "escaped2"]


def test_links_inside_are_kept(tmp_path: Path, target: Path) -> None:
    unpack(
        tar(
            tmp_path / "a.tar",
            ("a", "file", "x"),
            ("d", "dir", ""),
            ("d/l", "link", "../a"),
            ("h", "hard", "a"),
        ),
        str(target),
    )
    assert os.readlink(target / "d/l") == "../a"
    assert (target / "h").read_text() == "x"


def test_programs_stay_programs_and_gain_nothing(tmp_path: Path, target: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("run", "file", "x"), mode=0o6777), str(target))
    assert (target / "run").stat().st_mode & 0o7777 == 0o755


ESCAPES: dict[str, list[Member]] = {
    "a path with dots": [("../escaped", "file", "x")],
    "an absolute path": [("/tmp/homeport-escaped", "file", "x")],
    "a link out": [("l", "link", "../../escaped")],
    "an absolute link": [("l", "link", "/etc/passwd")],
    "a hard link out": [("h", "hard", "../../escaped")],
    "a file through a link": [("l", "link", "."), ("l/../../escaped", "file", "x")],
    "a link below a link": [("d", "link", "."), ("d/up", "link", ".."), ("up/escaped", "file", "x")],
    "a file in the place of a link": [("deep", "dir", ""), ("deep/s", "link", ".."), ("l", "link", "deep/s/../escaped"), ("l", "file", "x")],
    "a hard link to a link": [("a/b", "dir", ""), ("a/b/s", "link", "../.."), ("h", "hard", "a/b/s"), ("h/escaped", "file", "x")],
    "a pipe": [("p", "fifo", "")],
    "a device": [("c", "device", "")],
}  # fmt: skip


@pytest.mark.parametrize("members", ESCAPES.values(), ids=ESCAPES)
def test_escapes_are_refused(members: list[Member], tmp_path: Path, target: Path) -> None:
    before = tree(tmp_path)
    archive = tar(tmp_path / "a.tar", *members)
    with pytest.raises(
        ValueError, match=r"leads out of the archive|is a device or a pipe|goes through a link"
    ):
        unpack(archive, str(target))
    assert tree(tmp_path) == sorted([*before, "a.tar"])
    assert not Path("/tmp/homeport-escaped").exists()


def source(folder: Path, secrets: dict[str, str] | None = None, **fields: Any) -> Source:
    found = layout(folder, secrets, source=fields)
    return Source(found, HereRunner(found))


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "a.tar"
    broken.write_text("no archive")
    with pytest.raises(DeployError, match="the archive cannot be unpacked"):
        source(tmp_path / "blog", archive="a.tar").fetch("x", str(tmp_path / "blog/src"), str(broken))
    assert tree(tmp_path / "blog/src") == []


@pytest.mark.parametrize(
    ("fields", "revision"),
    [
        ({"archive": "https://example.org/a.tar.gz", "checksum": "0" * 64}, f"sha256:{'0' * 64}"),
        ({"archive": "https://example.org/a.tar.gz"}, "https://example.org/a.tar.gz"),
        ({"package": "blog==1.0"}, "blog==1.0"),
        ({"git": "https://example.org/x", "version": "a" * 40}, "a" * 40),
    ],
)
def test_revisions_that_need_no_question(fields: dict[str, Any], revision: str, tmp_path: Path) -> None:
    assert source(tmp_path, **fields).revision() == revision


def test_a_download_with_another_checksum_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", ("manage.py", "file", "x"))
    good = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    url = Path(archive).as_uri()

    def fetch(folder: str, checksum: str) -> Path:
        found = source(tmp_path / folder, archive="https://example.org/a.tar", checksum=checksum)
        found.spec["archive"] = url
        found.fetch("x", str(tmp_path / folder / "src"), None)
        return tmp_path / folder

    assert tree(fetch("good", good) / "src") == ["manage.py"]
    assert not (tmp_path / "good/src.download").exists()
    with pytest.raises(DeployError, match="has the SHA-256"):
        fetch("bad", "0" * 64)
    assert not (tmp_path / "bad/src.download").exists()


def test_a_download_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers may send a byte now and then for ever: the app's user asks, who has so long."""
    found = source(tmp_path / "blog", archive="https://example.org/a.tar")

    def as_app(_what: str, work: Any, *_arguments: Any, seconds: float = 0) -> None:
        assert (work, seconds) == (archives.download, COMMAND)
        raise DeployError("it did not end")

    monkeypatch.setattr(found.runner, "as_app", as_app)
    with pytest.raises(DeployError, match="did not end"):
        found.fetch("x", str(tmp_path / "blog/src"), None)
    assert not (tmp_path / "blog/src.download").exists()


def test_a_download_stops_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALLEST_FREE", 1 << 62)
    (tmp_path / "a.tar").write_text("x")
    with (tmp_path / "b").open("wb") as stream, pytest.raises(DeployError, match="almost full"):
        archives.download((tmp_path / "a.tar").as_uri(), stream, str(tmp_path), {})


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"]  # fmt: skip
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "manage.py").write_text("one")
    (folder / "gone.py").write_text("x")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "tag", "v1", "-a", "-m", "one")
    (folder / "manage.py").write_text("two")
    git(folder, "rm", "--quiet", "gone.py")
    git(folder, "commit", "--quiet", "-am", "two")
    return folder


def test_git_by_branch_tag_and_commit(repository: Path, tmp_path: Path) -> None:
    newest, first = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "v1^{commit}")
    for number, (version, commit, text) in enumerate(
        [(None, newest, "two"), ("main", newest, "two"), ("v1", first, "one"), (first, first, "one")]
    ):
        fields: dict[str, Any] = {"git": str(repository), **({"version": version} if version else {})}
        found = source(tmp_path / "blog", **fields)
        assert found.revision() == commit
        target = tmp_path / "blog/releases" / str(number)
        found.fetch(commit, str(target), None)
        assert found.subject == text
        assert (target / "manage.py").read_text() == text
        assert (target / "gone.py").exists() is (text == "one")
        assert not (target / ".git").exists()


def test_a_version_that_is_not_there(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="has no branch or tag nonsense"):
        source(tmp_path / "blog", git=str(repository), version="nonsense").revision()


def test_git_with_submodules(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # git allows submodules on the same disk only when told so
    for name, value in {"COUNT": "1", "KEY_0": "protocol.file.allow", "VALUE_0": "always"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "submodule", "--quiet", "add", str(repository), "lib")
    git(other, "commit", "--quiet", "-m", "one")
    found = source(tmp_path / "blog", git=str(other))
    found.runner.base.update(
        {name: os.environ[name] for name in os.environ if name.startswith("GIT_CONFIG_")}
    )
    target = tmp_path / "blog/releases/1"
    found.fetch(found.revision(), str(target), None)
    assert (target / "lib/manage.py").read_text() == "two"


def test_a_token_in_the_address_is_not_shown(tmp_path: Path) -> None:
    secret = f"http://me:{CANARY}@127.0.0.1:9/blog.git"
    found = source(tmp_path / "blog", {"git": secret}, git="https://git.example.org/blog.git")
    with pytest.raises(DeployError) as error:
        found.revision()
    assert CANARY not in str(error.value)
    assert "asking https://git.example.org/blog.git" in str(error.value)


@pytest.fixture
def guarded(repository: Path, tmp_path: Path) -> Iterator[str]:
    """The repository over HTTP, for who has the password; the address without it."""
    served = tmp_path / "served"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(served))
    git(served, "update-server-info")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            if given == "Basic " + base64.b64encode(f"me:{CANARY}/@".encode()).decode():
                super().do_GET()
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()

        def log_message(self, *_words: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_token_is_on_no_command_line(guarded: str, tmp_path: Path) -> None:
    """Neither on that of git nor on those of its helpers, which it tells of."""
    trace = tmp_path / "trace"
    secret = f"http://me:{CANARY}%2F%40@{guarded}/"
    found = source(tmp_path / "blog", {"git": secret}, git="https://git.example.org/blog.git")
    found.runner.base["GIT_TRACE"] = str(trace)
    target = tmp_path / "blog/releases/1"
    found.fetch(found.revision(), str(target), None)
    assert (target / "manage.py").read_text() == "two"
    told = trace.read_text()
    assert "git-remote-http" in told or "remote-http" in told
    assert f"http://{guarded}/" in told
    assert CANARY not in told
    config = "".join(path.read_text() for path in (tmp_path / "blog/cache").rglob("config"))
    assert CANARY not in config
    wrong = source(
        tmp_path / "shop", {"git": f"http://me:wrong@{guarded}/"}, git="https://git.example.org/x.git"
    )
    with pytest.raises(DeployError):
        wrong.revision()


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("https://token@h:8443/x.git", "https://h:8443/x.git"),
        ("https://h/x.git", None),
        ("git@h:x.git", None),
        ("ssh://git@h/x.git", None),
        ("/srv/x.git", None),
        ("https://[h", None),
    ],
)
def test_addresses_without_their_tokens(address: str, plain: str | None) -> None:
    found, environment = without_credentials(address)
    assert found == (plain or address)
    assert bool(environment) is (plain is not None)


def test_the_deploy_key_goes_again(repository: Path, tmp_path: Path) -> None:
    found = source(tmp_path / "blog", {"deploy_key": CANARY}, git=str(repository))
    seen = []
    original = found.runner.run

    def run(argv: list[str], what: str, *_more: Any, **options: Any) -> str:
        path = Path(found.layout.runtime) / f"deploy_key-{os.getpid()}"
        seen.append((path.read_text(), path.stat().st_mode & 0o777, options["env"]["GIT_SSH_COMMAND"]))
        return original(argv, what, **options)

    found.runner.run = run  # type: ignore[method-assign]
    found.revision()
    text, mode, command = seen[0]
    assert (text, mode) == (f"{CANARY}\n", 0o600)
    assert "IdentitiesOnly=yes" in command
    assert not (Path(found.layout.runtime) / f"deploy_key-{os.getpid()}").exists()


def test_what_the_app_puts_in_the_place_of_keys_stops_nothing(tmp_path: Path) -> None:
    found = source(tmp_path / "blog", {"deploy_key": CANARY}, git="x")
    key = Path(found.layout.runtime) / f"deploy_key-{os.getpid()}"
    (key.parent / "deploy_key-x").mkdir(parents=True)
    with git_access.git_access(found.layout):
        key.unlink()
        key.mkdir()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def test_pointers_of_git_lfs_do_not_go_live(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "logo.png").write_text(POINTER)
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "logo")
    found = source(tmp_path / "blog", git=str(repository))
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(DeployError, match=r"such as logo\.png; name git-lfs in system_packages"):
        found.fetch(found.revision(), str(tmp_path / "blog/releases/1"), None)
    archive = tar(tmp_path / "a.tar", ("x/logo.png", "file", POINTER))
    found = source(tmp_path / "shop", archive="a.tar")
    with pytest.raises(DeployError, match=r"git lfs pull"):
        found.fetch("x", str(tmp_path / "shop/releases/1"), archive)


def test_a_project_that_asks_git_for_its_version_finds_it(repository: Path, tmp_path: Path) -> None:
    (repository / "pyproject.toml").write_text('[build-system]\nrequires = ["setuptools-scm>=8"]\n')
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "three")
    address = f"file://{repository}"  # by its path git would not be asked for a single commit
    found = source(tmp_path / "blog", git=address)
    target = tmp_path / "blog/releases/1"
    found.fetch(found.revision(), str(target), None)
    assert found.history == f"{target}/.git"
    assert git(target, "describe", "--tags", "--dirty").startswith("v1-2-g")
    assert address not in (target / ".git/config").read_text()
    before = source(tmp_path / "blog", git=address, version="v1")
    before.fetch(before.revision(), str(tmp_path / "blog/releases/0"), None)
    assert before.history == ""
