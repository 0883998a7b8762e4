# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A session of PostgreSQL in its own protocol: before anything is changed, a host has no client yet.

It knows what a provider's login may need: a password in the clear, MD5 or SCRAM-SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
import unicodedata
from collections.abc import Mapping
from typing import Any

PROTOCOL = 196608  # 3.0
CLEAR, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 3, 5, 10, 11, 12
SCRAM = "SCRAM-SHA-256"


class Rejected(Exception):
    """What the server answers instead of what was asked for; ``state`` is its SQLSTATE."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class Unknown(Exception):
    """The server wants a login that this client does not know: it may still accept the app's."""


class Session:
    """A login over a connection that is open, and encrypted where it is to be. ``process`` is the server process that
    the other side names, which is another one than answers where a pooler stands in between."""

    def __init__(self, stream: Any, login: Mapping[str, str], password: str) -> None:
        self.stream = stream
        self.process = 0
        self.ready = False
        self.user, self.password = login["user"], password
        words = [word for pair in login.items() for word in pair]
        body = struct.pack(">I", PROTOCOL) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        stream.write(struct.pack(">I", len(body) + 4) + body)
        stream.flush()
        self.scram = Scram(password)
        self.answers()

    def ask(self, query: str) -> list[list[str | None]]:
        """The rows of a query, as text."""
        self.send(b"Q", query.encode() + b"\0")
        return [row(payload) for kind, payload in self.answers() if kind == b"D"]

    def answers(self) -> list[tuple[bytes, bytes]]:
        """The messages up to the next one that says that the server is ready."""
        found: list[tuple[bytes, bytes]] = []
        failure: Rejected | None = None
        while True:
            kind, payload = self.receive()
            if kind == b"E":
                failure = rejected(payload)
                if not self.ready:  # a login that fails ends the connection
                    raise failure
            elif kind == b"Z":
                self.ready = True
                if failure:
                    raise failure
                return found
            elif kind == b"R":
                self.authenticate(payload)
            elif kind == b"K":
                self.process = struct.unpack(">I", payload[:4])[0]
            else:
                found.append((kind, payload))

    def authenticate(self, payload: bytes) -> None:
        (code,) = struct.unpack(">I", payload[:4])
        rest = payload[4:]
        if code == 0:
            return
        if code == CLEAR:
            self.send(b"p", self.password.encode() + b"\0")
        elif code == MD5:
            inner = hashlib.md5((self.password + self.user).encode()).hexdigest()
            digest = hashlib.md5(inner.encode() + rest[:4]).hexdigest()
            self.send(b"p", b"md5" + digest.encode() + b"\0")
        elif code == SASL and SCRAM.encode() in rest.split(b"\0"):
            first = self.scram.first()
            self.send(b"p", SCRAM.encode() + b"\0" + struct.pack(">I", len(first)) + first)
        elif code == SASL_CONTINUE:
            self.send(b"p", self.scram.final(rest))
        elif code == SASL_FINAL:
            self.scram.verify(rest)
        else:
            raise Unknown

    def send(self, kind: bytes, payload: bytes) -> None:
        self.stream.write(kind + struct.pack(">I", len(payload) + 4) + payload)
        self.stream.flush()

    def receive(self) -> tuple[bytes, bytes]:
        kind, size = struct.unpack(">cI", self.exactly(5))
        return kind, self.exactly(size - 4)

    def exactly(self, size: int) -> bytes:
        found: bytes = self.stream.read(size)
        if len(found) < size:
            raise ConnectionError("it closes the connection")
        return found


class Scram:
    """SCRAM-SHA-256 (RFC 7677), which also shows whether the server knows the password."""

    def __init__(self, password: str) -> None:
        self.password = unicodedata.normalize("NFKC", password).encode()
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.bare = f"n=,r={self.nonce}"
        self.signature = b""

    def first(self) -> bytes:
        return f"n,,{self.bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        given = dict(part.split("=", 1) for part in challenge.decode().split(","))
        if not given["r"].startswith(self.nonce):
            raise Rejected("28000", "the server's nonce is not for this login")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(given["s"]), int(given["i"]))
        without_proof = f"c=biws,r={given['r']}"
        text = ",".join([self.bare, challenge.decode(), without_proof]).encode()
        key = digest(salted, b"Client Key")
        mask = digest(hashlib.sha256(key).digest(), text)
        proof = bytes(one ^ other for one, other in zip(key, mask))
        self.signature = digest(digest(salted, b"Server Key"), text)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, answer: bytes) -> None:
        given = base64.b64decode(answer.partition(b"v=")[2].partition(b",")[0])
        if not hmac.compare_digest(given, self.signature):
            raise Rejected("28000", "the server does not know the password")


def digest(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def row(payload: bytes) -> list[str | None]:
    """The columns of a row."""
    (count,) = struct.unpack(">H", payload[:2])
    found: list[str | None] = []
    at = 2
    for _ in range(count):
        (size,) = struct.unpack(">i", payload[at : at + 4])
        at += 4
        if size < 0:
            found.append(None)
        else:
            found.append(payload[at : at + size].decode(errors="replace"))
            at += size
    return found


def rejected(payload: bytes) -> Rejected:
    """An error of the server's."""
    parts = {field[:1]: field[1:].decode(errors="replace") for field in payload.split(b"\0") if field}
    return Rejected(parts.get(b"C", ""), parts.get(b"M", ""))
