# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a certificate that the operator brings along fits the app and its private key."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization


def no_authority(path: str, text: bytes) -> list[str]:
    """What is wrong with the certificates (PEM) of an authority."""
    try:
        found = x509.load_pem_x509_certificates(text)
    except ValueError:
        return [f"{path}: is not a certificate in PEM"]
    last = max(one.not_valid_after_utc for one in found)
    if last < datetime.datetime.now(datetime.timezone.utc):
        return [f"{path}: the certificate expired on {last:%Y-%m-%d}"]
    return []


def by_subject(text: bytes) -> dict[str, str]:
    """The certificates of an authority (PEM) by the names under which OpenSSL looks for them in a folder."""
    found: dict[str, str] = {}
    for one in x509.load_pem_x509_certificates(text):
        name = f"{subject_hash(one.subject)}.0"
        found[name] = found.get(name, "") + one.public_bytes(serialization.Encoding.PEM).decode()
    return found


def subject_hash(subject: x509.Name) -> str:
    """OpenSSL's hash of a subject (X509_NAME_hash): SHA-1 of its parts with all text as UTF-8, A to Z in lower case."""
    parts = b"".join(
        der(0x31, b"".join(sorted(der(0x30, oid_of(one) + value_of(one)) for one in part)))
        for part in subject.rdns
    )
    return f"{int.from_bytes(hashlib.sha1(parts).digest()[:4], 'little'):08x}"


def value_of(attribute: Any) -> bytes:
    # a bit string stays as it is; it does not occur in authorities
    return der(0x0C, b" ".join(str(attribute.value).encode().split()).lower())


def oid_of(attribute: Any) -> bytes:
    first, second, *rest = (int(number) for number in attribute.oid.dotted_string.split("."))
    found = bytes([40 * first + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(0x80 | number & 0x7F)
        found += bytes(reversed(digits))
    return der(0x06, found)


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def unfit(path: str, key_path: str, chain: bytes, key: Any, domains: list[str]) -> list[str]:
    """What is wrong with a certificate (PEM, its chain after it) for some domains, and with its private key."""
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        return [f"{path}: is not a certificate in PEM"]
    problems = []
    if found.not_valid_after_utc < datetime.datetime.now(datetime.timezone.utc):
        problems.append(f"{path}: the certificate expired on {found.not_valid_after_utc:%Y-%m-%d}")
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = set(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        known = set()
    missing = [
        domain for domain in domains if domain not in known and f"*.{domain.partition('.')[2]}" not in known
    ]
    if missing:
        problems.append(f"{path}: the certificate is not for {', '.join(missing)}")
    if isinstance(key, str):
        try:
            private = serialization.load_pem_private_key(key.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return [*problems, f"{key_path}: is not a private key in PEM, without a passphrase"]
        shape = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        if private.public_key().public_bytes(*shape) != found.public_key().public_bytes(*shape):
            problems.append(f"{key_path}: is not the private key of the certificate in {path}")
    return problems
