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
from typing import Any, Union

from ansible_collections.homeport.django.plugins.module_utils.app.own_certificates import no_authority
from ansible_collections.homeport.django.plugins.module_utils.common.derive import SITE
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Certificate = x509.Certificate
Key = ec.EllipticCurvePrivateKey
Signer = Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey]

AUTHORITY, AUTHORITY_KEY = "homeport_authority_certificate", "homeport_authority_key"
NAME = "Homeport site authority"
# From the first year that has Homeport: clocks differ.
FROM = datetime.datetime(2025, 1, 1)
YEARS = datetime.timedelta(days=365)
AUTHORITY_LIFE = 30 * YEARS
LIFE = 10 * YEARS
# A run that finds less left issues a new certificate.
RENEW = 5 * YEARS
DAY = datetime.timedelta(days=1)
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


def tls(
    secrets: list[str], address: str, found: str = "", certificate: str = "", key: str = ""
) -> dict[str, str]:
    """In PEM: what clients trust (C(authority)), and the certificate of a server at an address, followed by that of the
    authority, with its C(key). What of ``found`` is right is kept.

    An own authority (its ``certificate`` and ``key``) signs in the place of the derived one. What follows its
    certificate is trusted, too, and the derived one, of which servers may still have certificates.
    """
    derived, own = authority(secrets, found), read(certificate)
    trusted = pem(*own) + derived
    server_key = derive_key(secrets[0], f"server/{address}")
    issuer = read(trusted)[0]
    signer = signing_key(key) if own else derive_key(secrets[0], "authority")
    kept = [one for one in read(found) if is_right(one, server_key, issuer, address)]
    names = [*_names(address), *earlier_names(read(found), read(trusted))]
    signed = kept[0] if kept else _signed(server_key, address, names, issuer, signer)
    return {
        "authority": trusted,
        "certificate": pem(signed, *(own or [issuer])),
        "key": server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    }


def signing_key(text: str) -> Signer:
    """The private key of an own authority; ValueError or TypeError where that cannot sign for Homeport's clients."""
    key = serialization.load_pem_private_key(text.encode(), None)
    # libpq's channel binding knows no hash for the others
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise ValueError("it is neither RSA nor ECDSA")
    return key


def is_right(found: Certificate, key: Key, issuer: Certificate, address: str) -> bool:
    """Whether a server can go on with a certificate."""
    # none lasts longer than the authority
    ends_with_issuer = issuer.not_valid_after_utc - found.not_valid_after_utc < DAY
    if not same_key(found, key) or (left(found) < RENEW and not ends_with_issuer):
        return False
    try:
        found.verify_directly_issued_by(issuer)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return set(names) >= set(_names(address))


def unfit_authority(chain: Any, key: Any) -> list[str]:
    """What is wrong with the site's own authority: its certificate (PEM, followed by others to trust) and its key."""
    if not chain and not key:
        return []
    for name, value, other in ((AUTHORITY, chain, AUTHORITY_KEY), (AUTHORITY_KEY, key, AUTHORITY)):
        if not isinstance(value, str) or not value:
            return [f"{name}: must be a text in PEM, which belongs to {other}"]
    problems = no_authority(AUTHORITY, chain.encode())
    if problems:
        return problems
    found = x509.load_pem_x509_certificates(chain.encode())
    first = found[0]
    now = datetime.datetime.now(datetime.timezone.utc)
    if not first.not_valid_before_utc <= now <= first.not_valid_after_utc:
        start, end = first.not_valid_before_utc, first.not_valid_after_utc
        problems.append(
            f"{AUTHORITY}: the first certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        )
    if not signs(first):
        problems.append(f"{AUTHORITY}: the first certificate is none of an authority (CA:TRUE, keyCertSign)")
    problems += [
        f"{AUTHORITY}: the certificate {one.subject.rfc4514_string()} was signed by "
        f"{one.issuer.rfc4514_string()}, whose certificate is missing"
        for one in found
        if one.issuer not in [other.subject for other in found]
    ]
    try:
        if not same_key(first, signing_key(key)):
            problems.append(f"{AUTHORITY_KEY}: is not the key of the first certificate")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        problems.append(
            f"{AUTHORITY_KEY}: must be a private key of RSA or ECDSA in PEM, without a passphrase"
        )
    return problems


def signs(certificate: x509.Certificate) -> bool:
    """Whether clients accept what it has signed."""
    try:
        found = certificate.extensions
        if not found.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid


def earlier_names(found: Iterable[Certificate], trusted: Iterable[Certificate]) -> list[x509.GeneralName]:
    """The address that a server had until now: live releases ask for it until new ones replace them. It is the subject
    of its certificate, so that the next certificate has it no more."""
    names = []
    trusted = list(trusted)
    for one in found:
        if one in trusted:
            continue
        for issuer in trusted:
            with contextlib.suppress(InvalidSignature, ValueError, TypeError):
                one.verify_directly_issued_by(issuer)
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


def same_key(certificate: Certificate, key: Signer) -> bool:
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
    key: Key, address: str, names: list[x509.GeneralName], issuer: Certificate, signer: Signer
) -> Certificate:
    until = min(datetime.datetime.now(datetime.timezone.utc) + LIFE, issuer.not_valid_after_utc)
    try:  # an own authority may have made it in another way than from its key
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    except x509.ExtensionNotFound:
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    # PostgreSQL's clients before 15 look for an address in the subject alone
    signed: Certificate = (
        _builder(address, key, until, {"digital_signature": True})
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(dict.fromkeys(names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(signed_by, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return signed
