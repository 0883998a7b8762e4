"""Whether code can be fetched, before there is git on the host."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import source_look
from ansible_collections.homeport.django.plugins.module_utils.host.release.archives import proxies_for
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import release_specs

from tests.unit.releases import layout
from tests.unit.support import CANARY, resolved
from tests.unit.test_release_source import git, guarded, repository, source  # noqa: F401


def problem(folder: Path, secrets: dict[str, str] | None = None, **fields: Any) -> str:
    spec = release_specs({"blog": resolved(source=fields)})[0]
    return source_look.source_problem({**spec, "user": "no-such-user"}, secrets or {}, str(folder))


def test_over_http(guarded: str, tmp_path: Path) -> None:  # noqa: F811
    url = "https://git.example.org/blog.git"
    secrets = {"git": f"http://me:{CANARY}%2F%40@{guarded}/"}
    assert problem(tmp_path, secrets, git=url) == ""
    assert problem(tmp_path, secrets, git=url, version="main") == ""
    assert problem(tmp_path, secrets, git=url, version="v1") == ""
    assert problem(tmp_path, secrets, git=url, version="a" * 40) == ""
    told = problem(tmp_path, secrets, git=url, version="mian")
    assert told.startswith(f"source.version: {url} has no branch or tag mian (did you mean 'main'?)")
    told = problem(tmp_path, {"git": f"http://me:{CANARY}@{guarded}/"}, git=url)
    assert told.startswith(f"source.git: {url} answers with status 401; a private repository takes")
    told = problem(tmp_path, {"git": f"http://me:{CANARY}@127.0.0.1:9/"}, git=url)
    assert told.startswith(f"source.git: {url} cannot be reached from the host: ")
    assert CANARY not in told


def test_an_app_that_is_not_set_up_yet_does_not_look_itself(tmp_path: Path) -> None:
    found = layout(tmp_path)
    assert not source_look.has_user(found)
    Path(found.runtime).mkdir()
    assert source_look.has_user(found)


def test_what_an_app_brings_about_concerns_no_other_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_words: object) -> None:
        raise FileExistsError("deploy_key-1")

    monkeypatch.setattr(source_look, "look_without_git", taken)
    assert problem(tmp_path, git="x") == ""


def test_the_default_branch_is_named(repository: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(DeployError, match=r"\(did you mean 'main', its default branch\?\)"):
        source(tmp_path / "blog", git=str(repository), version="trunk").revision()
    with pytest.raises(DeployError, match="has no commit aaaa"):
        source(tmp_path / "blog", git=str(repository)).fetch("a" * 40, str(tmp_path / "x"), None)


def test_an_archive(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/blog.tar.gz"
    assert problem(tmp_path, archive=url).startswith(
        f"source.archive: {url} cannot be reached from the host: "
    )


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"]
)
def test_a_server_that_does_not_speak_http(answer: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=talk, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/blog.git"
        told = problem(tmp_path, git=url)
    assert told.startswith(f"source.git: {url} cannot be reached from the host: ")


def test_an_invalid_address_is_not_quoted(tmp_path: Path) -> None:
    url = "https://git.example.org/blog.git"
    told = problem(tmp_path, {"git": f"https://me:{CANARY}/x@git.example.org/"}, git=url)
    assert told == f"source.git: {url} cannot be reached from the host: invalid address"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ALL_PROXY": "http://proxy:1"}, {"http": "http://proxy:1", "https": "http://proxy:1"}),
        (
            {"all_proxy": "socks5h://s", "https_proxy": "http://p"},
            {"http": "socks5h://s", "https": "http://p"},
        ),
        ({"ALL_PROXY": "http://proxy:1", "HTTPS_PROXY": "", "NO_PROXY": "example.org"}, {}),
        ({}, {}),
    ],
)
def test_proxies(settings: dict[str, str], expected: dict[str, str]) -> None:
    assert proxies_for("https://git.example.org/x", settings) == expected


def test_a_proxy_that_only_git_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_look, "host_settings", lambda: {"ALL_PROXY": "socks5://127.0.0.1:9"})
    assert problem(tmp_path, git="https://git.example.org/blog.git") == ""
    monkeypatch.setattr(source_look, "host_settings", lambda: {"ALL_PROXY": "http://127.0.0.1:9"})
    assert "Connection refused" in problem(tmp_path, git="https://git.example.org/blog.git")


SSH = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/words
while [ $# -gt 1 ] && [ "$1" != -i ]; do shift; done
[ "$1" != -i ] || cp "$2" {folder}/seen
for last; do :; done
eval "$last"
"""


def test_over_ssh(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """With a program in the place of ssh that runs here what it was to run there."""
    programs, folder = tmp_path / "bin", tmp_path / "folder"
    for path in (programs, folder):
        path.mkdir()
    (programs / "ssh").write_text(SSH.format(folder=tmp_path))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setattr(source_look, "PATH", f"{programs}:{os.environ['PATH']}")
    url = f"ssh://git@git.example.org:2222{repository}"
    assert problem(folder, {"deploy_key": CANARY}, git=url, version="v1") == ""
    words = (tmp_path / "words").read_text().split("\n")
    assert words[words.index("-p") + 1 : words.index("-p") + 4] == ["2222", "--", "git@git.example.org"]
    assert (tmp_path / "seen").read_text() == f"{CANARY}\n"
    assert not list(folder.iterdir())
    assert "has no branch or tag mian (did you mean 'main'?)" in problem(folder, git=url, version="mian")
    told = problem(folder, git="git@git.example.org:nowhere.git")
    assert told.startswith("source.git: git@git.example.org:nowhere.git cannot be read from the host:\n")
    (programs / "ssh").write_text("#!/bin/sh\necho 'git@h: Permission denied (publickey).' >&2; exit 255\n")
    assert "takes vault_django_apps.blog.deploy_key (ssh)" in problem(folder, git=url)


def test_an_empty_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty")
    done = subprocess.run(
        ["git", "upload-pack", "--advertise-refs", str(tmp_path / "empty")], capture_output=True, check=True
    )
    assert source_look.parsed(done.stdout) == {}


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("git@git.example.org:me/blog.git", ("git@git.example.org", "", "me/blog.git")),
        ("git.example.org:blog", ("git.example.org", "", "blog")),
        ("ssh://git@h:22/~me/x.git", ("git@h", "22", "~me/x.git")),
        ("git@[2001:db8::1]:x.git", ("git@[2001:db8::1]", "", "x.git")),
        ("git://h/x.git", ()),
        ("/srv/x.git", ()),
    ],
)
def test_addresses_for_ssh(address: str, parts: tuple[str, ...]) -> None:
    assert source_look.ssh_place(address) == parts
