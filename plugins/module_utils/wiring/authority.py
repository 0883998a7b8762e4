# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The site's private authority, and the certificates of its servers (docs/decisions/0037).

Keys are derived from the site's secret like passwords. Nothing is signed the same way twice: a host's certificates are
kept as long as they are right.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.derive import SITE
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Certificate = x509.Certificate
Key = ec.EllipticCurvePrivateKey

NAME = "Homeport site authority"
# From the first year that has Homeport: clocks differ.
FROM = datetime.datetime(2025, 1, 1)
YEARS = datetime.timedelta(days=365)
AUTHORITY_LIFE = 30 * YEARS
LIFE = 10 * YEARS
# A run that finds less left issues a new certificate.
RENEW = 5 * YEARS
LOOPBACK = ("127.0.0.1", "::1")


def derive_key(secret: str, owner: str) -> Key:
    """A key of P-256: PostgreSQL's channel binding knows no Ed25519."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    message = f"homeport/v1/{SITE}/tls/{owner}".encode()
    digest = hmac.new(secret.encode(), message, hashlib.sha512).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") % (order - 1) + 1, ec.SECP256R1())


def authority(secrets: Iterable[str], found: str = "") -> str:
    """The certificates (PEM) that clients trust, of each valid secret: the first one signs. Those that are in ``found``
    are kept."""
    known = read(found)
    chosen = []
    for secret in secrets:
        key = derive_key(secret, "authority")
        kept = [one for one in known if same_key(one, key) and left(one) > RENEW]
        chosen.append(kept[0] if kept else _self_signed(key))
    return pem(*chosen)


def tls(secrets: list[str], address: str, found: str = "") -> dict[str, str]:
    """In PEM: what clients trust (C(authority)), and the certificate of a server at an address, followed by that of the
    authority, with its C(key). What of ``found`` is right is kept."""
    trusted = authority(secrets, found)
    key = derive_key(secrets[0], f"server/{address}")
    issuer = read(trusted)[0]
    kept = [one for one in read(found) if is_right(one, key, issuer, address)]
    names = [*_names(address), *earlier_names(read(found), read(trusted))]
    certificate = (
        kept[0] if kept else _signed(key, address, names, issuer, derive_key(secrets[0], "authority"))
    )
    return {
        "authority": trusted,
        "certificate": pem(certificate, issuer),
        "key": key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    }


def is_right(found: Certificate, key: Key, issuer: Certificate, address: str) -> bool:
    """Whether a server can go on with a certificate."""
    if not same_key(found, key) or left(found) < RENEW:
        return False
    try:
        found.verify_directly_issued_by(issuer)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return set(names) >= set(_names(address))


def earlier_names(found: Iterable[Certificate], trusted: Iterable[Certificate]) -> list[x509.GeneralName]:
    """The address that a server had until now: live releases ask for it until new ones replace them. It is the subject
    of its certificate, so that the next certificate has it no more."""
    names = []
    for one in found:
        for issuer in trusted:
            with contextlib.suppress(InvalidSignature, ValueError, TypeError):
                one.verify_directly_issued_by(issuer)
                if one.subject != one.issuer:
                    names += _names(str(one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value))
    return names


def read(text: str) -> list[Certificate]:
    """The certificates in a text; none where it is no PEM."""
    try:
        return x509.load_pem_x509_certificates(text.encode()) if text.strip() else []
    except ValueError:
        return []


def pem(*certificates: Certificate) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def same_key(certificate: Certificate, key: Key) -> bool:
    shape = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*shape) == key.public_key().public_bytes(*shape)


def left(certificate: Certificate) -> datetime.timedelta:
    return certificate.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)


def _names(address: str) -> list[x509.GeneralName]:
    own: x509.GeneralName
    try:
        own = x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        own = x509.DNSName(address.encode("idna").decode())
    return [own, *(x509.IPAddress(ipaddress.ip_address(one)) for one in LOOPBACK)]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(subject: str, key: Key, until: datetime.datetime, usage: Mapping[str, bool]) -> Any:
    uses = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only", "digital_signature", "key_cert_sign", "crl_sign"),
        False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(until)
        .add_extension(x509.KeyUsage(**{**uses, **usage}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _self_signed(key: Key) -> Certificate:
    until = datetime.datetime.now(datetime.timezone.utc) + AUTHORITY_LIFE
    signed: Certificate = (
        _builder(NAME, key, until, {"key_cert_sign": True, "crl_sign": True})
        .issuer_name(_name(NAME))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return signed


def _signed(
    key: Key, address: str, names: list[x509.GeneralName], issuer: Certificate, signer: Key
) -> Certificate:
    until = datetime.datetime.now(datetime.timezone.utc) + LIFE
    # PostgreSQL's clients before 15 look for an address in the subject alone
    signed: Certificate = (
        _builder(address, key, until, {"digital_signature": True})
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(dict.fromkeys(names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return signed
