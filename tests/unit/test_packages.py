from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.apt_lists import lists_age
from ansible_collections.homeport.django.plugins.module_utils.host.given import installed
from ansible_collections.homeport.django.plugins.modules import packages


class Module:
    def __init__(self, out: str = "", known: tuple[str, ...] = ()) -> None:
        self.out = out
        self.known = known

    def run_command(self, words: list[str], **_options: Any) -> tuple[int, str, str]:
        if words[0] == "apt-cache":
            return 0, f"  Candidate: {'1.0' if words[-1] in self.known else '(none)'}\n", ""
        return 0, self.out, ""


def test_installed_and_provided() -> None:
    out = (
        "installed\tnginx\thttpd, httpd-cgi, nginx-abi-1.22 (= 1)\n"
        "config-files\tredis\t\n"
        "installed\tbash\t\n"
        "half-installed\tbroken\t\n"
    )
    assert installed(out) == {"nginx", "httpd", "httpd-cgi", "nginx-abi-1.22", "bash"}


@pytest.mark.parametrize(
    ("word", "known", "picked"),
    [
        ("nginx", (), "nginx"),
        ("a|b", ("a", "b"), "a"),
        ("a|b", ("b",), "b"),
        ("a|b", (), "b"),
    ],
)
def test_pick(word: str, known: tuple[str, ...], picked: str) -> None:
    assert packages.pick(Module(known=known), word) == picked


def test_the_age_of_the_lists(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    assert lists_age(str(lists)) == float("inf")
    lists.mkdir()
    (lists / "lock").touch()
    assert lists_age(str(lists)) == float("inf")
    release = lists / "example_InRelease"
    release.touch()
    assert lists_age(str(lists)) < 60
    old = time.time() - 10 * 86400
    os.utime(release, (old, old))
    os.utime(lists, (old, old))
    if not os.path.exists("/var/lib/apt/periodic/update-success-stamp"):
        assert lists_age(str(lists)) > 9 * 86400
