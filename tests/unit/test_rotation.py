"""What is still in use is not taken away: live releases and what is encrypted already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.filter import backup as filters
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.derive import (
    accepted,
    fingerprint,
    is_login,
    logins,
)
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import (
    archive_password,
    revoked_passwords,
    used_logins,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import shell_exports
from ansible_collections.homeport.django.plugins.modules.host_facts import encrypted, live_logins

from tests.unit.releases import write
from tests.unit.support import CANARY, SECRET, app

OLD = "fedcba9876543210fedcba9876543210"
HOST = {"database_host": "DB.example", "cache_host": "10.0.0.3"}


def apps(secret: str = SECRET, previous: Any = (), host: Any = None, **fields: Any) -> dict[str, Any]:
    given = app(**{"cache": "redis", "broker": "rabbitmq", **fields})
    return resolve({"blog": given}, {}, secret, "site", HOST if host is None else host, previous)


def live(found: dict[str, Any]) -> dict[str, Any]:
    """What a host tells of the releases that were made of ``found``."""
    return {name: used_logins(entry["environment"]) for name, entry in found.items()}


def test_a_live_release_goes_on_with_the_same_passwords() -> None:
    assert revoked_passwords(apps(), live(apps())) == []
    assert revoked_passwords(apps(SECRET, [OLD]), live(apps(OLD))) == []
    assert revoked_passwords(apps(OLD, [SECRET]), live(apps(SECRET, [OLD]))) == []  # the way back
    assert revoked_passwords(apps(), {}) == []


def test_a_live_release_that_would_be_refused() -> None:
    assert revoked_passwords(apps(SECRET), live(apps(OLD))) == [
        "blog: the password of its database and its cache and its broker"
    ]
    assert revoked_passwords(apps(rotation={"cache_password": [2]}), live(apps())) == [
        "blog: the password of its cache"
    ]
    assert revoked_passwords(apps(rotation={"cache_password": [2, 1]}), live(apps())) == []


def test_only_the_services_that_are_the_same_count() -> None:
    before = live(apps(OLD))
    assert revoked_passwords(apps(cache="none", broker="none", database="none"), before) == []
    moved = {"database_host": "10.0.0.9", "cache_host": "10.0.0.9", "broker_host": "10.0.0.9"}
    assert revoked_passwords(apps(host=moved), before) == []
    assert (
        revoked_passwords(apps(host={"cache_host": "10.0.0.9", "broker_host": "10.0.0.9"}), before) == []
    )  # by a socket
    elsewhere = apps(cache={"url": "redis://:x@10.0.0.3:1/0"})
    assert "cache" not in revoked_passwords(elsewhere, before)[0]
    assert revoked_passwords({}, before) == []


def test_a_host_tells_no_password() -> None:
    url = f"postgres://u:{CANARY * 2}@h:5432/n"
    found = used_logins({"DATABASE_URL": url, "CACHE_URL": "redis://h", "BROKER_URL": "amqp://[x"})
    assert found == {
        "database": {"server": ["h", 5432], "user": "u", "password": fingerprint(CANARY * 2)},
        "cache": {"server": ["h", 0], "user": "", "password": ""},
    }
    assert CANARY not in str(found)


def test_what_a_host_tells_of_its_live_releases(tmp_path: Path) -> None:
    found = apps()["blog"]
    write(tmp_path / "blog/releases/1/config/env", shell_exports(found["environment"]))
    (tmp_path / "blog/current").symlink_to("releases/1")
    write(tmp_path / "plain/current/config/env", shell_exports({"DATABASE_URL": "sqlite:////x"}))
    write(tmp_path / "odd/current/config/env", "export A='")
    assert live_logins(str(tmp_path)) == live(apps())
    assert revoked_passwords(apps(OLD), live_logins(str(tmp_path))) != []


def test_what_a_host_tells_of_what_is_encrypted(tmp_path: Path) -> None:
    config = str(write(tmp_path / "archive.json", '{"repository": "/a"}'))
    secret = str(write(tmp_path / "conf", f"[global]\nrepo1-cipher-pass={CANARY}\nrepo1-path=/a\n"))
    expected = {"repository": "/a", "password": fingerprint(CANARY)}
    assert encrypted(config, secret, "repo1-cipher-pass=") == expected
    assert encrypted(config, str(write(tmp_path / "password", f"{CANARY}\n")), "") == expected
    assert encrypted(config, str(tmp_path / "none"), "") == {}
    assert encrypted(str(tmp_path / "none"), secret, "") == {}


def test_logins() -> None:
    (first, second) = logins("blog", ["one", "two"])
    assert first["name"] != second["name"]
    assert is_login(first["name"], "blog")
    assert [
        name
        for name in ("blog", "blog.monitor", "blog2.0123abcd", "xblog.0123abcd")
        if is_login(name, "blog")
    ] == []


# What is encrypted


def passwords(*secrets: str) -> list[str]:
    return accepted(secrets, "@site", "archive_password")


def test_the_archive_keeps_its_password() -> None:
    (old,) = passwords(OLD)
    found = {"repository": "/a", "password": fingerprint(old)}
    for secrets in ([OLD], [SECRET, OLD], [OLD, SECRET], [SECRET, OLD, "x" * 32]):
        assert archive_password(passwords(*secrets), found) == old
    # on an empty host it is that of the oldest secret
    assert archive_password(passwords(SECRET, OLD), {}) == old
    assert archive_password(passwords(SECRET), found) == passwords(SECRET)[0]


@pytest.mark.parametrize(
    ("repository", "password", "count"), [("/a", "new", 1), ("/a", "old", 0), ("/b", "new", 0)]
)
def test_an_archive_with_another_password(repository: str, password: str, count: int) -> None:
    found = {"repository": "/a", "password": fingerprint("old")}
    problems = filters.foreign_archive(repository, found, password)
    assert len(problems) == count
    assert all("set pgbackrest_password to the old one" in problem for problem in problems)
    assert filters.foreign_archive(repository, {}, password) == []


def test_backups_with_another_password() -> None:
    found = {"repository": "sftp:me@vault:/b", "password": fingerprint("old")}
    place = "sftp:me@vault:2222:/b"
    (problem,) = filters.foreign_backups(place, found, ["new", "newer"])
    assert "homeport_secret in homeport_secret_previous" in problem
    assert filters.foreign_backups(place, found, ["new", "old"]) == []
    assert filters.foreign_backups("/var/backups/site", found, ["new"]) == []
