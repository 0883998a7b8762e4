"""What is found out about a host."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.modules import host_facts


@pytest.mark.parametrize(
    ("environment", "session", "user"),
    [
        ({"SUDO_USER": "deploy"}, "0", "deploy"),
        ({"DOAS_USER": "deploy"}, "0", "deploy"),
        ({}, "1", "daemon"),  # su
        ({}, "4294967295", "root"),  # no session at all
        ({}, "", "root"),
    ],
)
def test_who_logged_in(
    environment: dict[str, str], session: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SUDO_USER", "DOAS_USER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(host_facts, "open", lambda *_words, **_options: io.StringIO(session), raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert host_facts.login_user() == user


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "12"),
        ("ID=debian\nVERSION_CODENAME=forky\n", "99"),
    ],
)
def test_a_system_without_a_number_is_newer(text: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "open", lambda *_words, **_options: io.StringIO(text), raising=False)
    found = host_facts.os_release()
    assert (found["ID"], found["VERSION_ID"]) == ("debian", version)


def test_the_revisions_that_are_live(tmp_path: Path) -> None:
    for app, text in (("blog", '{"revision": "sha256:a"}'), ("shop", "{"), ("wiki", "[]"), ("old", "{}")):
        folder = tmp_path / app / "current"
        folder.mkdir(parents=True)
        (folder / "release.json").write_text(text)
    assert host_facts.live_records("revision", str(tmp_path)) == {"blog": "sha256:a", "old": ""}
