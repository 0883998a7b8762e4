"""The search for secrets that every scenario ends with: it knows them all, and finds one that was put somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve

from tests.acceptance.secrecy import LEAST, Secret, found_in_file, secrets_of, shapes
from tests.unit.releases import write
from tests.unit.support import SECRET, app

OLD = "fedcba9876543210fedcba9876543210"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEF\nAASCAUAwggE8AgEAAkEA\n-----END PRIVATE KEY-----\n"
VARIABLES: dict[str, Any] = {
    "homeport_secret": SECRET,
    "homeport_secret_previous": [OLD],
    "django_apps": {"blog": app(cache="redis", broker="rabbitmq", rotation={"cache_password": [3, 2]})},
    "vault_django_apps": {
        "blog": {"env": {"KEY": "c4n4ry-of-the-app"}, "tls_key": KEY, "secret_key": ["x" * 40]}
    },
    "backup_credentials": {"AWS_SECRET_ACCESS_KEY": "c4n4ry-of-s3-0123"},
    "certificates_dns_key_secret": "YzRuNHJ5IG9mIHRoZSBETlM=",
    "redis_instances": "",
}


def known() -> list[Secret]:
    return secrets_of(VARIABLES)


def test_everything_that_is_given() -> None:
    names = {secret.name: secret.owner for secret in known()}
    for name in (
        "homeport_secret", "homeport_secret_previous.0", "backup_credentials.AWS_SECRET_ACCESS_KEY",
        "certificates_dns_key_secret",
    ):  # fmt: skip
        assert names[name] == ""
    for name in ("env.KEY", "tls_key", "secret_key.0"):
        assert names[f"vault_django_apps.blog.{name}"] == "blog"


def test_everything_that_is_derived(tmp_path: Path) -> None:
    found = resolve(VARIABLES["django_apps"], {}, SECRET, "site", {"database_host": "db"}, [OLD])["blog"]
    passwords = [
        login["password"] for service in ("database", "cache", "broker") for login in found[service]["logins"]
    ]
    assert len(passwords) == 8
    environment = found["environment"]
    for text in (*passwords, environment["SECRET_KEY"], environment["SECRET_KEY_FALLBACKS"]):
        (name,) = found_in_file(write(tmp_path / "log", f"TASK [x]\nok: {text}\n"), known())
        assert "of blog" in name


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert found_in_file(write(tmp_path / "log", f"{SECRET[:-1]} {app()}"), known()) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a secret/with = signs", "a%20secret%2Fwith%20%3D%20signs"),
        ('quoted "secret" of an app', r"quoted \"secret\" of an app"),
        ("postgres://me:p%2Fss-word-of-mine@h/n", "p/ss-word-of-mine"),
        (KEY, "MIIBVgIBADANBgkqhkiG9w0BAQEF"),
    ],
)
def test_as_it_may_be_written(text: str, written: str) -> None:
    assert written in shapes(text)
    assert all(len(form) >= LEAST for form in shapes(text))


def test_what_is_too_short_is_found_by_chance() -> None:
    assert shapes("short") == []
