"""Caches and brokers that somebody else runs, with an authority of their own; and databases behind a pooler."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.action.reachability import with_authorities
from ansible_collections.homeport.django.plugins.filter.parts import unproven
from ansible_collections.homeport.django.plugins.module_utils.app.own_certificates import by_subject
from ansible_collections.homeport.django.plugins.module_utils.app.services import unencrypted
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import check_cursors
from ansible_collections.homeport.django.plugins.module_utils.wiring.authority import authority
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import app_files, overlaid
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.support import CANARY, SECRET, problems, resolved

CONFIG = "/srv/blog/config"
CACHE, BROKER = "rediss://:p@cache.example:6380/1", "rediss://:p@broker.example:6380/0"
QUERY = "ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs="


def test_a_redis_with_an_authority_of_its_own() -> None:
    urls = {"cache_url": CACHE, "broker_url": BROKER}
    app = resolved(urls, setup="site", cache={"ca": "ca.pem"}, broker={"ca": "ca.pem"})
    found = app["environment"]
    assert found["CACHE_URL"] == CACHE
    assert found["BROKER_URL"] == found["CELERY_BROKER_URL"] == f"{BROKER}?{QUERY}{CONFIG}/broker-ca.pem"
    assert found["REDIS_URL"] == found["BROKER_URL"]
    assert found["SSL_CERT_DIR"] == f"/etc/ssl/certs:/etc/ssl/homeport:{CONFIG}/authorities"
    # what the url says already stays
    given = resolved(
        {"broker_url": f"{BROKER}?ssl_check_hostname=false"}, setup="site", broker={"ca": "ca.pem"}
    )
    assert given["environment"]["BROKER_URL"] == (
        f"{BROKER}?ssl_check_hostname=false&ssl_cert_reqs=required&ssl_ca_certs={CONFIG}/broker-ca.pem"
    )
    only = resolved({"cache_url": CACHE}, setup="site", cache={"ca": "ca.pem"})["environment"]
    assert only["REDIS_URL"] == f"{CACHE}?{QUERY}{CONFIG}/cache-ca.pem"


def test_a_rabbitmq_with_an_authority_of_its_own() -> None:
    app = resolved({"broker_url": "amqps://u:p@mq.example/v"}, setup="site", broker={"ca": "ca.pem"})
    assert app["environment"]["AMQP_URL"] == "amqps://u:p@mq.example/v"
    assert app["environment"]["SSL_CERT_DIR"].endswith(f":{CONFIG}/authorities")


def test_without_one_the_systems_authorities_are_trusted() -> None:
    app = resolved({"cache_url": CACHE}, setup="site")
    assert app["environment"]["REDIS_URL"] == CACHE
    assert "SSL_CERT_DIR" not in app["environment"]


@pytest.mark.parametrize(
    ("fields", "vault", "told"),
    [
        ({"cache": {"engine": "redis", "ca": "ca.pem"}}, {}, "cache.ca: goes with the url of a service"),
        ({"broker": {"engine": "redis", "plain": True}}, {}, "broker.plain: goes with the url of a service"),
        ({"cache": {"ca": "ca.pem"}}, {"cache_url": "redis://:p@c.example/0"}, "cache.ca: is for a url with TLS: rediss://"),
        ({"broker": {"ca": "ca.pem"}}, {"broker_url": "amqp://u:p@c.example/v"}, "broker.ca: is for a url with TLS"),
        ({"broker": {"ca": "ca.pem"}}, {"broker_url": f"{BROKER}?ssl_ca_certs=/x"}, "broker.ca: is also in the url"),
        ({"broker": {"ca": "ca.pem", "plain": True}}, {"broker_url": BROKER}, "broker.plain: is for a url without TLS"),
        ({"database": {"url": "mysql://u@h/n", "extensions": ["a"]}}, {}, "extensions: are those of PostgreSQL only"),
        ({}, {"database_direct_url": "postgres://u:p@h/n"}, "database_direct_url: goes with the url of a database"),
        (
            {},
            {"database_url": "postgres://u:p@h/n", "database_direct_url": "mysql://u:p@h/n"},
            "database_direct_url: is for PostgreSQL",
        ),
        ({}, {"database_direct_urls": {"crm": "postgres://u:p@h/n"}}, "database_direct_urls.crm: no such database"),
        ({"database": {"url": "postgres://u@h/n", "extensions": ["citext"]}}, {}, ""),
    ],
)  # fmt: skip
def test_what_does_not_fit(fields: dict[str, Any], vault: dict[str, Any], told: str) -> None:
    given = {"domains": ["b.example"], "source": {"git": "https://g.example/b.git"}, **fields}
    found = problems(given, vault, "site")
    assert len(found) == bool(told), found
    assert all(told in problem for problem in found)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://:p@c.example/0", True),
        ("amqp://u:p@10.0.0.3/v", True),
        ("rediss://:p@c.example/0", False),
        ("amqps://u:p@c.example/v", False),
        ("redis://:p@localhost/0", False),
        ("redis://:p@127.0.0.9/0", False),
        ("redis://:p@[::1]/0", False),
        ("redis://%2Frun%2Fredis/0", False),
        ("unix:///run/redis.sock", False),
        ("kafka://c.example", False),
    ],
)
def test_who_reads_along_is_warned_of(url: str, told: bool) -> None:
    vault = {"blog": {"broker_url": url}}
    found = unencrypted({"blog": {"broker": {}}}, vault)
    assert bool(found) == told
    if told:
        assert found[0].startswith("vault_django_apps.blog.broker_url: leads to another host without TLS")
        assert found[0].endswith("confirm it by django_apps.blog.broker.plain: true")
    assert unencrypted({"blog": {"broker": {"plain": True}}}, vault) == []
    assert bool(unencrypted({"blog": {"cache": {"url": url}}}, {})) == told


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://:p@c.example/0", "the password and the data: use rediss://, or confirm it by"),
        ("valkey://:p@c.example/0", "the password and the data: use valkeys://, or confirm it by"),
        ("amqp://u:p@c.example/v", "the password and the data: use amqps://, or confirm it by"),
        ("memcached://10.0.0.4", "the network sees the data: confirm it by"),
    ],
)
def test_the_advice_is_for_the_engine(url: str, advice: str) -> None:
    (found,) = unencrypted({"blog": {"cache": {"url": url}}}, {})
    assert advice in found


def made(*names: x509.NameAttribute[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(list(names))
    known = x509.load_pem_x509_certificates(authority([SECRET]).encode())[0]
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(known.not_valid_before_utc)
        .not_valid_after(known.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM)


def test_openssl_finds_an_authority_by_its_name(tmp_path: Path) -> None:
    """Text of every kind, in several parts."""
    for names in (
        [x509.NameAttribute(NameOID.COMMON_NAME, "Homeport site authority")],
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "  Amazon   Web Services, Inc. "),
            x509.NameAttribute(NameOID.COMMON_NAME, "Grüße Root CA ÄÖ"),
        ],
        [
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "CA@Example.org"),
            x509.NameAttribute(NameOID.COMMON_NAME, "x" * 60),
        ],
    ):  # fmt: skip
        text = made(*names)
        (tmp_path / "ca.pem").write_bytes(text)
        command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(tmp_path / "ca.pem")]
        wanted = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert by_subject(text) == {f"{wanted}.0": text.decode()}


def test_the_authorities_are_files_of_the_app(tmp_path: Path) -> None:
    one = made(x509.NameAttribute(NameOID.COMMON_NAME, "one"))
    other = made(x509.NameAttribute(NameOID.COMMON_NAME, "other"))
    (tmp_path / "cache.pem").write_bytes(one)
    (tmp_path / "broker.pem").write_bytes(one + other)
    urls = {"cache_url": CACHE, "broker_url": BROKER}
    app = resolved(urls, setup="site", cache={"ca": "cache.pem"}, broker={"ca": "broker.pem"})
    files = {entry["path"]: entry for entry in app_files({"blog": app}, str(tmp_path))}
    assert files[f"{CONFIG}/cache-ca.pem"]["src"] == str(tmp_path / "cache.pem")
    assert files[f"{CONFIG}/authorities"]["state"] == "directory"
    known = {
        path: entry["content"] for path, entry in files.items() if path.startswith(f"{CONFIG}/authorities/")
    }
    assert sorted(known.values()) == sorted([one.decode(), other.decode()])
    assert all(files[path]["mode"] == "0640" and files[path]["group"] == "blog" for path in known)


POOLED = {
    "database_url": f"postgres://u:{CANARY}@pool.example:6432/n",
    "database_direct_url": f"postgres://u:{CANARY}@db/n",
}


def test_a_database_behind_a_pooler() -> None:
    app = resolved(POOLED, database={"ca": "ca.pem"})
    query = f"sslmode=verify-full&sslrootcert={CONFIG}/database-ca.pem"
    assert app["environment"]["DATABASE_URL"] == f"{POOLED['database_url']}?{query}"
    assert app["environment"]["DATABASE_DIRECT_URL"] == f"{POOLED['database_direct_url']}?{query}"
    assert app["environment"]["PGHOST"] == "pool.example"
    further = {
        "database_urls": {"crm": "postgres://u:p@pool.example/crm"},
        "database_direct_urls": {"crm": "postgres://u:p@db/crm"},
    }
    app = resolved(further, databases={"crm": {}, "own": {}})
    assert app["environment"]["CRM_DATABASE_DIRECT_URL"] == "postgres://u:p@db/crm"
    assert "DATABASE_DIRECT_URL" not in app["environment"]
    lines = overlaid(app["databases"]).splitlines()
    assert lines[2].endswith('DATABASES.get("crm", {}), "CRM_DATABASE_DIRECT_URL")')
    assert lines[3].endswith('DATABASES.get("own", {}))')


def test_a_bought_database_is_asked_for_what_is_to_be_done_there() -> None:
    facts: dict[str, Any] = {"logins": {}}
    app = resolved(POOLED, database={"extensions": ["citext"]}, migrate={"dump": False})
    asked = unproven({"blog": app}, facts)
    assert asked == {
        "django_apps.blog.database": {
            "url": POOLED["database_url"], "direct": POOLED["database_direct_url"], "ca": "", "home": "/srv/blog",
            "migrate": True, "dumped": False, "extensions": ["citext"],
            "direct_field": "vault_django_apps.blog.database_direct_url",
        }
    }  # fmt: skip
    # what is secret goes by itself
    divided = with_authorities(asked, "")
    assert CANARY not in str(divided["services"])
    assert set(divided["service_secrets"]["django_apps.blog.database"]) == {"url", "direct"}


def test_what_is_not_migrated_is_not_asked_for_rights() -> None:
    further = {"crm": {"url": "postgres://u:p@db/crm", "extensions": ["citext"]}}
    app = resolved({"database_url": "postgres://u:p@db/n"}, migrate={"run": False}, databases=further)
    asked = unproven({"blog": app}, {"logins": {}})
    assert [(each["migrate"], each["dumped"]) for each in asked.values()] == [(False, False)] * 2


def test_server_side_cursors_behind_a_pooler_are_refused() -> None:
    check_cursors([])
    with pytest.raises(DeployError, match=r'database_direct_urls.crm: .* DATABASES\["crm"\]'):
        check_cursors(["crm"])
