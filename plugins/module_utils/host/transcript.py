# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The whole output of a build, next to the app's logs: root writes it, and the app's group reads it."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from collections.abc import Iterable

MOST_BYTES = 16 << 20  # of one build
MOST_LINE = 1 << 20  # bytes that are kept back until their line ends
KEPT = 10  # builds
LEAST = 8  # characters of a secret: shorter ones are found in every text
CREDENTIALS = re.compile(rb"://[^/\s'\"`@]+@")
HIDDEN = b"****"


class Transcript:
    """Takes what commands print, line by line, without ``secrets``, credentials in addresses, and the lines that begin
    with ``answers``: these are for Homeport."""

    def __init__(self, path: str, group: int, secrets: Iterable[str] = (), answers: str = "") -> None:
        self.path = path
        self.group = group
        lines = {line.strip().encode() for secret in secrets for line in secret.splitlines()}
        self.secrets = sorted((line for line in lines if len(line) >= LEAST), key=len, reverse=True)
        self.answers = re.compile(rb"(?m)^" + answers.encode() + rb".*\n") if answers else None
        self.descriptor = -1
        self.begun: dict[int, bytes] = {}  # by stream: the line that has not ended yet
        self.full = False

    def __enter__(self) -> Transcript:
        folder = os.path.dirname(self.path)
        if os.path.isdir(folder):
            for path in sorted(set(glob.glob(f"{folder}/build-*T*-*.log")) - {self.path})[: -KEPT + 1]:
                os.unlink(path)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self.descriptor = os.open(self.path, flags, 0o640)
            os.fchown(self.descriptor, -1, self.group)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self.begin(f"Failed: {error}".partition("\n")[0])
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def begin(self, what: str) -> None:
        """Another command prints from here on."""
        for line in self.begun.values():
            self.put(line + b"\n" if line else b"")
        self.begun = {}
        self.put(f"==> {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {what}\n".encode())

    def add(self, stream: int, block: bytes) -> None:
        text = self.begun.get(stream, b"") + block
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 or (len(text) if len(text) > MOST_LINE else 0)
        self.begun[stream] = text[end:]
        self.put(text[:end])

    def put(self, text: bytes) -> None:
        if self.descriptor < 0 or self.full:
            return
        text = self.answers.sub(b"", text) if self.answers else text
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        text = CREDENTIALS.sub(b"://" + HIDDEN + b"@", text)
        if os.fstat(self.descriptor).st_size + len(text) > MOST_BYTES:
            self.full = True
            text = b"==> The rest of the output is not kept\n"
        with contextlib.suppress(OSError):  # a full disk fails the build itself
            os.write(self.descriptor, text)


def newest(folder: str) -> list[str]:
    """The transcript of the last build, if there is one."""
    return sorted(glob.glob(f"{folder}/build-*T*-*.log"))[-1:]
