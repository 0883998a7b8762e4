"""The site's private authority: whose certificates real clients accept, and when a run issues new ones."""

import datetime
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from ansible_collections.homeport.django.plugins.filter.host import site_tls
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.authority import FOLDER
from ansible_collections.homeport.django.plugins.module_utils.wiring import authority
from cryptography import x509

from tests.unit.support import SECRET, app

OTHER = "another secret of the same length"
ADDRESS = "127.0.0.1"


def server(folder: Path, secrets: list[str], address: str = ADDRESS, found: str = "") -> dict[str, str]:
    made = site_tls(secrets, address, found)
    (folder / "crt").write_text(made["certificate"])
    (folder / "key").write_text(made["key"])
    return made


def trusted_by(secrets: list[str], found: str = "") -> str:
    return site_tls(secrets, ADDRESS, found)["authority"]


def shaken(folder: Path, trusted: str, name: str = ADDRESS) -> str:
    """What a client says that verifies everything; empty where it is content."""
    context = ssl.create_default_context(cadata=trusted)
    # Python 3.13 asks for it by default
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "crt", folder / "key")
    near, far = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(far, server_side=True).close()
        except OSError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context.wrap_socket(near, server_hostname=name).close()
    except ssl.SSLError as error:
        return str(error)
    finally:
        near.close()
        thread.join()
    return ""


def test_clients_accept_a_server_by_its_address_alone(tmp_path: Path) -> None:
    server(tmp_path, [SECRET], "10.0.0.3")
    trusted = trusted_by([SECRET])
    assert shaken(tmp_path, trusted, "10.0.0.3") == ""
    assert shaken(tmp_path, trusted, ADDRESS) == ""  # on the server itself
    assert "IP address mismatch" in shaken(tmp_path, trusted, "10.0.0.4")
    assert "Hostname mismatch" in shaken(tmp_path, trusted, "db.example")


@pytest.mark.parametrize("address", ["db.example", "fd00::3"])
def test_names_and_ipv6(address: str, tmp_path: Path) -> None:
    server(tmp_path, [SECRET], address)
    assert shaken(tmp_path, trusted_by([SECRET]), address) == ""


def test_an_impostor_is_refused(tmp_path: Path) -> None:
    server(tmp_path, [OTHER])
    assert "certificate verify failed" in shaken(tmp_path, trusted_by([SECRET]))


def test_while_the_secret_is_replaced_both_are_trusted(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    old = server(before, [SECRET])
    trusted = trusted_by([OTHER, SECRET], trusted_by([SECRET]))
    new = server(after, [OTHER, SECRET], found=old["certificate"])
    assert new["key"] != old["key"]
    assert shaken(before, trusted) == shaken(after, trusted) == ""
    done = trusted_by([OTHER], trusted)
    assert shaken(after, done) == ""
    assert "certificate verify failed" in shaken(before, done)


def test_what_a_host_has_is_kept(tmp_path: Path) -> None:
    made = server(tmp_path, [SECRET])
    trusted = trusted_by([SECRET], made["certificate"])
    assert trusted in made["certificate"]
    found = f"{trusted}no PEM\n{made['certificate']}"
    assert site_tls([SECRET], ADDRESS, made["certificate"] + trusted) == made
    assert trusted_by([SECRET], found) == trusted


@pytest.mark.parametrize("what", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "é"])
def test_what_is_no_certificate_is_replaced(what: str, tmp_path: Path) -> None:
    server(tmp_path, [SECRET], found=what)
    assert shaken(tmp_path, trusted_by([SECRET], what)) == ""


def test_another_address_or_secret_gets_another_certificate() -> None:
    made = site_tls([SECRET], ADDRESS)
    assert site_tls([SECRET], "10.0.0.3", made["certificate"]) != made
    assert site_tls([OTHER], ADDRESS, made["certificate"])["certificate"] != made["certificate"]


def test_a_server_is_known_by_its_earlier_address_until_the_next_change(tmp_path: Path) -> None:
    """Live releases ask for it until new ones replace them."""
    first = site_tls([SECRET], "10.0.0.3")
    moved = server(tmp_path, [SECRET], "10.0.0.4", first["certificate"])
    assert (
        shaken(tmp_path, first["authority"], "10.0.0.3")
        == shaken(tmp_path, first["authority"], "10.0.0.4")
        == ""
    )
    assert site_tls([SECRET], "10.0.0.4", moved["certificate"]) == moved
    later = server(tmp_path, [OTHER, SECRET], "10.0.0.4", moved["certificate"])
    assert shaken(tmp_path, later["authority"], "10.0.0.4") == ""
    assert "10.0.0.3" in shaken(tmp_path, later["authority"], "10.0.0.3")
    # of another authority's certificate nothing is taken over
    server(tmp_path, [SECRET], "10.0.0.4", site_tls([OTHER], "10.0.0.3")["certificate"])
    assert "10.0.0.3" in shaken(tmp_path, first["authority"], "10.0.0.3")


def test_one_is_renewed_long_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made = site_tls([SECRET], ADDRESS)
    (leaf, issuer) = x509.load_pem_x509_certificates(made["certificate"].encode())
    now = datetime.datetime.now(datetime.timezone.utc)
    assert leaf.not_valid_after_utc - now > datetime.timedelta(days=9 * 365)
    assert issuer.not_valid_after_utc > leaf.not_valid_after_utc
    monkeypatch.setattr(authority, "RENEW", authority.LIFE + datetime.timedelta(days=1))
    renewed = site_tls([SECRET], ADDRESS, made["certificate"])
    assert renewed["certificate"] != made["certificate"]
    assert renewed["key"] == made["key"]


def test_the_name_by_which_openssl_finds_the_authority(tmp_path: Path) -> None:
    """It is a hash of the subject alone, so that the role can know it."""
    files = yaml.safe_load((Path(__file__).parents[2] / "roles/host/vars/main.yml").read_text())
    (link,) = [entry["path"] for entry in files["__host_authority_files"] if entry.get("state") == "link"]
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash"],
        input=trusted_by([SECRET]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert link == f"{FOLDER}/{shown.stdout.strip()}.0"


def test_apps_say_whom_they_trust() -> None:
    services = {"cache": "redis", "broker": "rabbitmq", "processes": {"queue": {"kind": "celery"}}}
    host = {"cache_host": "10.0.0.3", "broker_host": "10.0.0.4"}
    found = resolve({"blog": app(**services)}, {}, SECRET, "site", host)["blog"]["environment"]
    assert found["CACHE_URL"].startswith("rediss://:") and "?" not in found["CACHE_URL"]
    assert found["REDIS_URL"].partition("?")[2] == (
        "ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs=/etc/ssl/homeport/authority.pem"
    )
    assert found["CELERY_BROKER_URL"].startswith("amqps://blog.")
    assert found["SSL_CERT_DIR"] == "/etc/ssl/certs:/etc/ssl/homeport"
    here = resolve({"blog": app(**services)}, {}, SECRET, "site")["blog"]["environment"]
    assert here["CACHE_URL"].startswith("redis://:")
    assert "SSL_CERT_DIR" not in here
