# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The uploads of an app on their way from its folder into its bucket, and back.

The app's user calls all of it (Runner.as_app): the folder is the app's, which can put links there at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import mimetypes
import os
import re
import shutil
import socket
import ssl
import stat
import threading
import urllib.error
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.parse import quote, unquote

from ansible_collections.homeport.django.plugins.module_utils.host.bucket import (
    LONG,
    Refused,
    Stored,
    etag_of,
    failure,
    listing,
    opened,
    steadily,
    store,
    url_of,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

TOGETHER = 4  # files at a time, each with one part in memory
NAMED = 20  # names in a message
SPARE = 200 << 20  # bytes of the disk that objects must leave free
PARTIAL = ".homeport-"  # begins the name of a file that is not whole yet
# Characters that a list in XML cannot have, or that are half of one.
UNLISTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# What a service keeps of where an object comes from: the host, and the file's ETag and time.
MARK = "x-amz-meta-homeport"
NETWORK = (
    Refused,
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    socket.timeout,
    ssl.SSLError,
)

Values = Mapping[str, Any]


def local_files(root: str) -> tuple[dict[str, int], list[str]]:
    """The files of a folder with their sizes, the newest first, and what cannot be an object, such as a link."""
    found: dict[str, tuple[float, int]] = {}
    others = []
    for folder, folders, names in os.walk(root, onerror=unlisted):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            try:
                state = os.lstat(path)
            except FileNotFoundError:  # the app has just removed it
                continue
            if stat.S_ISDIR(state.st_mode) or name.startswith(PARTIAL):
                continue
            key = os.path.relpath(path, root)
            if stat.S_ISREG(state.st_mode) and is_name(key) and os.access(path, os.R_OK):
                found[key] = (state.st_ctime, state.st_size)
            else:
                others.append(repr(key)[1:-1])
    newest = sorted(found, key=lambda key: found[key][0], reverse=True)
    return {key: found[key][1] for key in newest}, sorted(others)


def unlisted(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise DeployError(f"{error.filename}: {error.strerror}")


def is_name(key: str) -> bool:
    """Whether a file and an object can both have this name, and S3 can list it."""
    return not UNLISTED.search(key) and all(word not in ("", ".", "..") for word in key.split("/"))


def look(root: str) -> dict[str, Any]:
    """How much there is in a folder."""
    files, others = local_files(root)
    return counted(files.values(), others)


def look_there(bucket: Values, path: str, vault: str) -> dict[str, Any]:
    """How much there is in a bucket."""
    found, others = objects(bucket, path, vault)
    return counted((each.size for each in found.values()), others)


def counted(sizes: Iterable[int], others: list[str]) -> dict[str, Any]:
    found = list(sizes)
    return {"files": len(found), "bytes": sum(found), "others": len(others), "other_names": others[:NAMED]}


def objects(bucket: Values, path: str, vault: str) -> tuple[dict[str, Stored], list[str]]:
    """The objects of a bucket that can be files, and the names of the others. Folders of web consoles are neither."""
    try:
        found = listing(bucket)
    except NETWORK as error:
        raise DeployError(failure(error, bucket, path, vault)) from None
    named = {name: each for name, each in found.items() if name and not name.endswith("/")}
    return {name: each for name, each in named.items() if is_name(name)}, [
        name for name in named if not is_name(name)
    ]


def move(direction: str, root: str, bucket: Values, options: Values) -> dict[str, Any]:
    """Compares a folder with a bucket, and copies what is missing: C(up) or C(down). C(remove) takes the files that
    the bucket has from the folder.

    C(options): host; path and vault, the fields that messages begin with; dry, to copy nothing; overwrite, to replace
    what differs.
    """
    os.nice(10)  # the site serves meanwhile
    moving = {"up": Up, "down": Down, "remove": Remove}[direction](root, bucket, options)
    return moving.all()


class Move:
    """One comparison of all files."""

    def __init__(self, root: str, bucket: Values, options: Values) -> None:
        self.root = root
        self.bucket = bucket
        self.options = options
        self.there, self.unnamed = objects(bucket, options["path"], options["vault"])
        self.here, self.others = local_files(root)
        self.lock = threading.Lock()
        self.found = {"files": 0, "bytes": 0, "copied": 0, "copied_bytes": 0, "replaced": 0}
        self.differ: list[str] = []
        self.sent: dict[str, int] = {}

    def all(self) -> dict[str, Any]:
        in_parallel(self.one, self.names())
        self.check()
        return {**self.found, "differing": len(self.differ), "differ": sorted(self.differ)[:NAMED]}

    def names(self) -> list[str]:
        return list(self.here)

    def check(self) -> None:
        """A last look at what was copied."""

    def one(self, name: str) -> None:
        try:
            self.handle(name)
        except NETWORK as error:
            told = failure(error, self.bucket, self.options["path"], self.options["vault"])
            raise DeployError(f"{told} ({name})") from None
        except OSError as error:
            raise DeployError(f"{os.path.join(self.root, name)}: {error.strerror or error}") from None

    def handle(self, name: str) -> None:
        raise NotImplementedError

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def count(self, size: int, copied: bool, replaced: bool = False) -> None:
        with self.lock:
            self.found["files"] += 1
            self.found["bytes"] += size
            self.found["copied"] += copied
            self.found["copied_bytes"] += size if copied else 0
            self.found["replaced"] += replaced

    def refuse(self, name: str, size: int) -> None:
        self.count(size, False)
        with self.lock:
            self.differ.append(name)

    def same(self, name: str, size: int, etag: str) -> bool:
        """Whether the object has the content of a file. An ETag of another form says nothing: encrypted objects, and
        those that were sent in other parts, are read."""
        there = self.there[name]
        if there.size != size:
            return False
        return there.etag == etag or self.mark(name)[1] == etag or self.read(name) == etag

    def mark(self, name: str) -> tuple[str, str, int]:
        """Host, ETag and time of the file that an object was made of, where this program has made it."""

        def asked() -> str:
            with opened(self.bucket, "HEAD", url_of(self.bucket, name)) as answer:
                return str(answer.headers.get(MARK, ""))

        words = steadily(asked).split(" ")
        known = len(words) == 3 and words[2].isdecimal()
        return (unquote(words[0]), words[1], int(words[2])) if known else ("", "", 0)

    def read(self, name: str, into: IO[bytes] | None = None) -> str:
        """The ETag of what an object has, which is written to a file."""
        size = self.there[name].size

        def asked() -> str:
            if into:
                into.seek(0)
                into.truncate()
            with opened(self.bucket, "GET", url_of(self.bucket, name), timeout=LONG) as answer:
                return etag_of(Copied(answer, into, size), size)  # type: ignore[arg-type]

        return str(steadily(asked))


class Copied:
    """A stream of a known length whose blocks are written to a file as they are read."""

    def __init__(self, stream: IO[bytes], into: IO[bytes] | None, size: int) -> None:
        self.stream = stream
        self.into = into
        self.left = size

    def read(self, most: int) -> bytes:
        block = self.stream.read(most)
        self.left -= len(block)
        if self.left < 0 or (self.left and not block):
            raise http.client.IncompleteRead(b"")
        if self.into:
            self.into.write(block)
        return block


class Up(Move):
    """Into the bucket."""

    def handle(self, name: str) -> None:
        with opened_file(self.path(name)) as stream:
            if not stream:
                return
            state = os.fstat(stream.fileno())
            etag = etag_of(stream, state.st_size)
            there = name in self.there
            if there and self.same(name, state.st_size, etag):
                self.count(state.st_size, False)
            elif there and not self.options["overwrite"] and not self.is_older(name, state):
                self.refuse(name, state.st_size)
            else:
                if not self.options["dry"]:
                    stream.seek(0)
                    self.store(name, stream, state, etag)
                self.count(state.st_size, True, there)

    def is_older(self, name: str, state: os.stat_result) -> bool:
        """Whether the object is what this program has stored of the same file, which has changed since."""
        host, _etag, when = self.mark(name)
        return host == self.options["host"] and when < state.st_mtime_ns

    def store(self, name: str, stream: IO[bytes], state: os.stat_result, etag: str) -> None:
        kind, encoding = mimetypes.guess_type(name)  # as django-storages does
        headers = {
            "content-type": kind or "application/octet-stream",
            MARK: f"{quote(self.options['host'])} {etag} {state.st_mtime_ns}",
            **({"content-encoding": encoding} if encoding else {}),
        }
        store(self.bucket, name, stream, state.st_size, headers)
        with self.lock:
            self.sent[name] = state.st_size

    def check(self) -> None:
        if self.sent:
            there, _unnamed = objects(self.bucket, self.options["path"], self.options["vault"])
            lost = [name for name in self.sent if name not in there]
            if lost:
                raise DeployError(
                    f"{self.options['path']}: the bucket does not list {len(lost)} objects that were stored: "
                    f"{', '.join(sorted(lost)[:NAMED])}"
                )


class Remove(Up):
    """From the folder, what the bucket has."""

    def handle(self, name: str) -> None:
        with opened_file(self.path(name)) as stream:
            if not stream:
                return
            state = os.fstat(stream.fileno())
            if name not in self.there or not self.same(name, state.st_size, etag_of(stream, state.st_size)):
                self.refuse(name, state.st_size)
                return
            now = os.lstat(self.path(name))
            if (now.st_ino, now.st_ctime_ns) != (state.st_ino, state.st_ctime_ns):
                self.refuse(name, state.st_size)
                return
            if not self.options["dry"]:
                os.unlink(self.path(name))
            self.count(state.st_size, True)

    def check(self) -> None:
        if self.options["dry"]:
            return
        for folder, _folders, _names in os.walk(self.root, topdown=False):
            if folder != self.root:
                with contextlib.suppress(OSError):  # it is not empty
                    os.rmdir(folder)


class Down(Move):
    """Back into the folder."""

    def names(self) -> list[str]:
        if self.unnamed:
            raise DeployError(
                f"{self.options['path']}: {len(self.unnamed)} objects have names that no file can have: "
                f"{', '.join(self.unnamed[:NAMED])}"
            )
        needed = sum(each.size for name, each in self.there.items() if name not in self.here)
        free = shutil.disk_usage(self.root).free if os.path.isdir(self.root) else needed + SPARE
        if needed and needed + SPARE > free:
            raise DeployError(
                f"{self.root}: {needed} bytes are to come from the bucket, and {free} bytes are free"
            )
        return list(self.there)

    def handle(self, name: str) -> None:
        there = self.there[name]
        with opened_file(self.path(name)) as stream:
            size = os.fstat(stream.fileno()).st_size if stream else -1
            if stream and self.same(name, size, etag_of(stream, size)):
                self.count(there.size, False)
                return
        if size >= 0 and not self.options["overwrite"]:
            self.refuse(name, there.size)
            return
        if not self.options["dry"] and not self.fetch(name):
            self.refuse(name, there.size)
            return
        self.count(there.size, True, size >= 0)

    def fetch(self, name: str) -> bool:
        """Whether the file is there now: beside it first, so that it is whole."""
        path = self.path(name)
        folder, base = os.path.split(path)
        os.makedirs(folder, exist_ok=True)
        part = f"{folder}/{PARTIAL}{hashlib.sha256(base.encode()).hexdigest()[:16]}"
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(part, flags, 0o666), "r+b") as stream:
                self.read(name, stream)
            if os.path.lexists(path) and not self.options["overwrite"]:  # the app has just written it
                return False
            os.replace(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
        return True


@contextlib.contextmanager
def opened_file(path: str) -> Iterator[IO[bytes] | None]:
    """A regular file, or nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "It is no file", path)
        yield stream


def in_parallel(work: Callable[[str], None], names: Iterable[str]) -> None:
    """Calls ``work`` for each name. The first that fails ends it."""
    lock = threading.Lock()
    waiting = iter(names)
    failed = threading.Event()

    def worker() -> None:
        while not failed.is_set():
            with lock:
                name = next(waiting, None)
            if name is None:
                return
            try:
                work(name)
            except BaseException:
                failed.set()
                raise

    with ThreadPoolExecutor(TOGETHER) as pool:
        for ended in [pool.submit(worker) for _each in range(TOGETHER)]:
            ended.result()
