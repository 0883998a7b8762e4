"""The site's private authority: whose certificates real clients accept, and when a run issues new ones."""

import datetime
import hashlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.filter.host import authority_links, site_tls
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.authority import FOLDER
from ansible_collections.homeport.django.plugins.module_utils.wiring import authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

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


def test_the_names_by_which_openssl_finds_the_authorities() -> None:
    trusted = site_tls([SECRET], ADDRESS, "", *own("Ünser CA"))["authority"]
    shown = [
        subprocess.run(
            ["openssl", "x509", "-noout", "-subject_hash"],
            input=one,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for one in trusted.split("-----END CERTIFICATE-----\n")[:-1]
        for one in [f"{one}-----END CERTIFICATE-----\n"]
    ]
    assert len(shown) == 2
    assert {link["path"] for link in authority_links(trusted)} == {f"{FOLDER}/{name}.0" for name in shown}


def own(
    name: str, kind: str = "ec", above: "tuple[str, str] | None" = None, days: int = 4000, ca: bool = True
) -> tuple[str, str]:
    """Certificate and key of an authority as others make them: another identifier of its key, and its own dates."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    issuer = x509.load_pem_x509_certificate(above[0].encode()).subject if above else subject
    signer = serialization.load_pem_private_key(above[1].encode(), None) if above else key
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(hashlib.sha256(name.encode()).digest()[:20]), critical=False)
    )
    if above:
        found = x509.load_pem_x509_certificate(above[0].encode()).extensions
        known = found.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), critical=False
        )
    if ca:
        uses = {"key_cert_sign": True, "crl_sign": True, "digital_signature": False}
        others = (
            "content_commitment key_encipherment data_encipherment key_agreement encipher_only decipher_only"
        )
        made = made.add_extension(
            x509.KeyUsage(**uses, **dict.fromkeys(others.split(), False)), critical=True
        )
    shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    signed = made.sign(signer, hashes.SHA256())  # type: ignore[arg-type]
    chain = signed.public_bytes(serialization.Encoding.PEM).decode() + (above[0] if above else "")
    return chain, key.private_bytes(*shape).decode()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("between", [False, True])
def test_an_own_authority_signs(kind: str, between: bool, tmp_path: Path) -> None:
    given = own("Company", kind)
    if between:
        given = own("Company, servers", kind, above=given)
    assert authority.unfit_authority(*given) == []
    before = site_tls([SECRET], ADDRESS)
    made = site_tls([SECRET], ADDRESS, before["certificate"], *given)
    # both, while servers have certificates of the other one
    (tmp_path / "key").write_text(before["key"])
    (tmp_path / "crt").write_text(before["certificate"])
    assert shaken(tmp_path, made["authority"]) == ""
    (tmp_path / "key").write_text(made["key"])
    (tmp_path / "crt").write_text(made["certificate"])
    assert shaken(tmp_path, made["authority"]) == shaken(tmp_path, given[0]) == ""
    assert "certificate verify failed" in shaken(tmp_path, before["authority"])
    assert "mismatch" in shaken(tmp_path, made["authority"], "Company")
    # kept, and given up for the derived one again
    kept = site_tls([SECRET], ADDRESS, made["certificate"] + made["authority"], *given)
    assert kept == made
    assert site_tls([SECRET], ADDRESS, made["certificate"])["certificate"] != made["certificate"]


def test_none_lasts_longer_than_an_own_authority() -> None:
    given = own("Company", days=100)
    made = site_tls([SECRET], ADDRESS, "", *given)
    (leaf, issuer) = x509.load_pem_x509_certificates(made["certificate"].encode())
    assert leaf.not_valid_after_utc == issuer.not_valid_after_utc
    assert site_tls([SECRET], ADDRESS, made["certificate"] + made["authority"], *given) == made


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("", ""), ""),
        (
            (own("A")[0], ""),
            "homeport_authority_key: must be a text in PEM, which belongs to homeport_author",
        ),
        (("", own("A")[1]), "homeport_authority_certificate: must be a text in PEM"),
        (("no PEM", own("A")[1]), "homeport_authority_certificate: is not a certificate in PEM"),
        ((own("A")[0], own("A")[1]), "homeport_authority_key: is not the key of the first certificate"),
        ((own("A")[0], "no PEM"), "homeport_authority_key: must be a private key of RSA or ECDSA in PEM"),
        (own("A", days=-1), "homeport_authority_certificate: the certificate expired on"),
        (own("A", ca=False), "the first certificate is none of an authority (CA:TRUE, keyCertSign)"),
        (([own("A")[0]], own("A")[1]), "homeport_authority_certificate: must be a text in PEM"),
    ],
)
def test_an_own_authority_that_cannot_sign_is_refused(given: tuple[str, str], problem: str) -> None:
    found = authority.unfit_authority(*given)
    assert len(found) == bool(problem)
    assert all(problem in one for one in found)


def test_the_certificates_above_an_own_authority_belong_to_it() -> None:
    chain, key = own("Between", above=own("Root"))
    alone = chain.partition("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    [found] = authority.unfit_authority(alone, key)
    assert found == (
        "homeport_authority_certificate: the certificate CN=Between was signed by CN=Root, whose certificate is missing"
    )


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
