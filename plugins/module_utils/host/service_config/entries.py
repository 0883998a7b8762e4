# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Declared paths, and the difference between them and the host."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.service_config.record import Record

DEFAULT_MODES = {"file": 0o644, "directory": 0o755}


class Entry:
    """One declared path, and the difference between it and the host."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.path = spec["path"].rstrip("/") or "/"
        self.state = spec["state"]
        self.data = (spec["content"] or "").encode()
        self.target = spec["target"]
        self.mode: int = int(spec["mode"], 8) if spec["mode"] else DEFAULT_MODES.get(self.state, 0)
        self.owner, self.group = spec["owner"], spec["group"]
        self.secret = spec["secret"]
        self.restarts: list[str] = spec["restarts"]
        self.reloads: list[str] = spec["reloads"]
        self.on_change = "none" if self.restarts or self.reloads else spec["on_change"]
        self.urgent: bool = spec["urgent"]
        self.of: str = spec["of"]

    def ids(self) -> tuple[int, int]:
        return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid

    def differs(self) -> bool:
        if self.state == "kept":
            return False
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return self.state != "absent"
        if self.state == "absent":
            return True
        if self.state == "link":
            return not stat.S_ISLNK(found.st_mode) or os.readlink(self.path) != self.target
        kind = stat.S_ISDIR if self.state == "directory" else stat.S_ISREG
        if not kind(found.st_mode) or stat.S_IMODE(found.st_mode) != self.mode:
            return True
        try:
            if (found.st_uid, found.st_gid) != self.ids():
                return True
        except KeyError:  # check mode before the account exists
            return True
        return self.state == "file" and (found.st_size != len(self.data) or read(self.path) != self.data)

    def apply(self) -> None:
        if self.state == "absent":
            remove(self.path)
            return
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        if self.state == "directory":
            if not os.path.isdir(self.path) or os.path.islink(self.path):
                remove(self.path)
                os.mkdir(self.path, 0o700)
            os.chown(self.path, *self.ids())
            os.chmod(self.path, self.mode)
            return
        if os.path.isdir(self.path) and not os.path.islink(self.path):
            raise IsADirectoryError(f"{self.path} is a folder; move it aside")
        owner, group = self.ids()
        beside = tempfile.mktemp(prefix=".homeport-", dir=os.path.dirname(self.path))
        if self.state == "link":
            os.symlink(self.target, beside)
        else:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.data)
                os.fchown(stream.fileno(), owner, group)
                os.fchmod(stream.fileno(), self.mode)
                stream.flush()
                os.fsync(stream.fileno())
        os.rename(beside, self.path)

    def difference(self) -> dict[str, str]:
        """Before and after, for --diff."""
        header = self.path
        if self.state != "file" or self.secret:
            return {"header": header, "before": "", "after": f"{'(secret)' if self.secret else self.state}\n"}
        before = read(self.path).decode(errors="replace") if os.path.isfile(self.path) else ""
        return {
            "before_header": header,
            "after_header": header,
            "before": before,
            "after": self.data.decode(),
        }


def read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def remove(path: str) -> None:
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        os.rmdir(path)  # an undeclared folder goes only when nothing else is left in it


def same_access(source: str, target: str) -> None:
    found = os.stat(source)
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, stat.S_IMODE(found.st_mode))


def removals(record: Record, entries: list[Entry]) -> list[Entry]:
    """Entries that remove what an earlier run put there, files before their folders."""
    declared = {entry.path for entry in entries}
    blank = {"state": "absent", "content": None, "target": None, "mode": None}
    result: list[Entry] = []
    going: set[str] = set()
    for path in sorted((p for p in record.paths if p not in declared), key=len, reverse=True):
        names = os.listdir(path) if os.path.isdir(path) and not os.path.islink(path) else []
        if not going.issuperset(os.path.join(path, name) for name in names):
            continue  # something else is in it
        going.add(path)
        spec: dict[str, Any] = {
            "path": path,
            "owner": "root",
            "group": "root",
            "secret": True,
            "on_change": "reload",
            "urgent": False,
            "restarts": [],
            "reloads": [],
            "of": "",
            **blank,
        }
        result.append(Entry(spec))
    return [entry for entry in result if entry.differs()]
