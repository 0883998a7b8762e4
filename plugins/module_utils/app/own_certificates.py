# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether a certificate that the operator brings along fits the app and its private key."""

from __future__ import annotations

import datetime
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
