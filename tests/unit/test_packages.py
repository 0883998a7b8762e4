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
        self.params: dict[str, Any] = {}

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


POLICY = """git:
  Installed: (none)
  Candidate: 1:2.47.3-0+deb13u1
  Version table:
     1:2.47.3-0+deb13u1 500
mta:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


class Apt(packages.Apt):
    """Only a virtual package can be installed of what apt-cache has no version of."""

    def install(self, *words: str) -> tuple[int, str, str]:
        return (0 if words == ("--simulate", "mta") else 100), "", ""


def test_packages_that_no_list_has_fail_the_apps_that_name_them() -> None:
    module = Module()
    module.run_command = lambda _words, **_options: (0, POLICY, "")  # type: ignore[method-assign]
    of_apps = {"blog": ["git", "no-such=1.0"], "shop": ["git", "mta"], "wiki": ["no-such=1.0", "tool"]}
    module.params = {"of_apps": of_apps}
    missing = ["nginx", "git", "no-such=1.0", "mta"]
    module.params["lock_timeout"] = 1
    apt = Apt(module)
    left_out = packages.unavailable(module, apt, missing)
    assert left_out == {
        name: f"django_apps.{name}.system_packages: the package lists of this host have no no-such=1.0"
        for name in ("blog", "wiki")
    }
    assert packages.without(missing, left_out, of_apps) == ["nginx", "git", "mta"]
    assert packages.unavailable(module, apt, ["nginx"]) == {}
    assert packages.without(["a"], {}, of_apps) == ["a"]
