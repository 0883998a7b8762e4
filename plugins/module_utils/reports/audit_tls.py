# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The worst TLS that a server accepts, and what a certificate says (decision 35)."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from cryptography import x509

OLD, TLS_1_2 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2
VERSIONS = {"SSLv3": "SSL 3", "TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2"}


def accepted(address: str, port: int, name: str, newest: ssl.TLSVersion, timeout: float) -> str:
    """The version and the suite that a server accepts of a client with weak suites alone; nothing where it refuses."""
    context = weak_client(newest)
    if not offers(context):
        raise OSError("the OpenSSL of this machine cannot offer it")
    with socket.create_connection((address, port), timeout=timeout) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as wrapped:
                version, suite = wrapped.version() or "", wrapped.cipher()
        except (ssl.SSLError, ConnectionError):
            return ""
    return f"{VERSIONS.get(version, version)} {suite[0] if suite else ''}".strip()


def weak_client(newest: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks ``newest`` at best, with all suites that this OpenSSL has and that are weak."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.options |= getattr(ssl, "OP_LEGACY_SERVER_CONNECT", 0x4)  # servers without secure renegotiation
    found.minimum_version, found.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
    found.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    weak = [suite["name"] for suite in found.get_ciphers() if is_weak(suite)]
    found.set_ciphers(":".join([*weak, "@SECLEVEL=0"]))
    return found


def is_weak(suite: Any) -> bool:
    """Without forward secrecy, without authenticated encryption, or without a key of the server."""
    secret = suite["kea"] in ("kx-ecdhe", "kx-dhe", "kx-any")
    return not (secret and suite["aead"] and suite["auth"] != "auth-null")


def offers(context: ssl.SSLContext) -> bool:
    """Whether OpenSSL, as this machine has built and configured it, sends a ClientHello at all."""
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent).do_handshake()
    except ssl.SSLWantReadError:
        return sent.pending > 0
    except ssl.SSLError:
        pass
    return False


def described(der: bytes) -> dict[str, Any]:
    """Names and times of a certificate, and whether it has signed itself."""
    found = x509.load_der_x509_certificate(der)
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = extension.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    return {
        "names": names,
        "from": int(found.not_valid_before_utc.timestamp()),
        "until": int(found.not_valid_after_utc.timestamp()),
        "self_signed": found.issuer == found.subject,
    }
