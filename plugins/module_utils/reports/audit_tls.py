# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""TLS as clients ask for it that speak nothing good, whatever this machine's own OpenSSL still speaks."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Any

from cryptography import x509

ANCIENT, MODERN = 0x0302, 0x0303  # TLS 1.1 and everything before it; TLS 1.2
VERSIONS = {0x0300: "SSL 3", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2"}
# Suites without forward secrecy, with CBC or with broken ciphers, or without a key at all; in OpenSSL's words.
WEAK = {
    0xC009: "ECDHE-ECDSA-AES128-SHA", 0xC00A: "ECDHE-ECDSA-AES256-SHA", 0xC013: "ECDHE-RSA-AES128-SHA",
    0xC014: "ECDHE-RSA-AES256-SHA", 0xC023: "ECDHE-ECDSA-AES128-SHA256", 0xC024: "ECDHE-ECDSA-AES256-SHA384",
    0xC027: "ECDHE-RSA-AES128-SHA256", 0xC028: "ECDHE-RSA-AES256-SHA384", 0xC008: "ECDHE-ECDSA-DES-CBC3-SHA",
    0xC012: "ECDHE-RSA-DES-CBC3-SHA", 0xC007: "ECDHE-ECDSA-RC4-SHA", 0xC011: "ECDHE-RSA-RC4-SHA",
    0x0033: "DHE-RSA-AES128-SHA", 0x0039: "DHE-RSA-AES256-SHA", 0x0067: "DHE-RSA-AES128-SHA256",
    0x006B: "DHE-RSA-AES256-SHA256", 0x0016: "DHE-RSA-DES-CBC3-SHA", 0x0088: "DHE-RSA-CAMELLIA256-SHA",
    0x009C: "AES128-GCM-SHA256", 0x009D: "AES256-GCM-SHA384", 0x002F: "AES128-SHA", 0x0035: "AES256-SHA",
    0x003C: "AES128-SHA256", 0x003D: "AES256-SHA256", 0x0041: "CAMELLIA128-SHA", 0x0084: "CAMELLIA256-SHA",
    0x000A: "DES-CBC3-SHA", 0x0005: "RC4-SHA", 0x0004: "RC4-MD5", 0x0001: "NULL-MD5", 0x0002: "NULL-SHA",
    0x003B: "NULL-SHA256", 0xC018: "AECDH-AES128-SHA", 0xC019: "AECDH-AES256-SHA", 0x0034: "ADH-AES128-SHA",
    0x006C: "ADH-AES128-SHA256",
}  # fmt: skip
GROUPS = (0x001D, 0x0017, 0x0018)  # X25519, P-256, P-384
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)


def client_hello(name: str, version: int, suites: Iterable[int]) -> bytes:
    """The first message of a client that speaks ``version`` at best, and nothing but ``suites``."""
    host = name.encode("idna")
    extensions = b"".join(
        struct.pack("!HH", kind, len(body)) + body
        for kind, body in (
            (0, vector(2, b"\0" + vector(2, host))),
            (10, vector(2, numbers(GROUPS))),
            (11, vector(1, b"\0")),
            (13, vector(2, numbers(SIGNATURES))),
        )
    )
    body = struct.pack("!H", version) + os.urandom(32) + vector(1, b"") + vector(2, numbers(suites))
    body += vector(1, b"\0") + vector(2, extensions)
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + vector(2, message)


def vector(size: int, body: bytes) -> bytes:
    return len(body).to_bytes(size, "big") + body


def numbers(values: Iterable[int]) -> bytes:
    return b"".join(struct.pack("!H", value) for value in values)


def hello(address: str, port: int, name: str, version: int, suites: Iterable[int], timeout: float) -> str:
    """The version and the suite that a server agrees to; nothing where it refuses."""
    with socket.create_connection((address, port), timeout=timeout) as connection:
        try:
            connection.sendall(client_hello(name, version, suites))
            found = received(connection, 5)
            if len(found) == 5 and found[0] == 0x16:
                found += received(connection, int.from_bytes(found[3:5], "big"))
        except ConnectionError:
            return ""
    return agreed(found)


def received(connection: socket.socket, count: int) -> bytes:
    """As many bytes as there come, ``count`` at most."""
    found = b""
    while len(found) < count:
        block = connection.recv(count - len(found))
        if not block:
            break
        found += block
    return found


def agreed(record: bytes) -> str:
    """What a ServerHello says; nothing where the record is an alert."""
    if len(record) < 46 or record[0] != 0x16 or record[5] != 0x02:
        return ""
    version = int.from_bytes(record[9:11], "big")
    start = 44 + record[43]
    suite = int.from_bytes(record[start : start + 2], "big")
    return f"{VERSIONS.get(version, hex(version))} {WEAK.get(suite, hex(suite))}"


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
