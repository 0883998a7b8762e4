# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What stood at the paths of a transaction, so that a failed one leaves them as they were."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable

from ansible_collections.homeport.django.plugins.module_utils.host.service_config.entries import (
    remove,
    same_access,
)


class Backup:
    """What stood at some paths, in a folder of its own; each path is saved once."""

    def __init__(self, folder: str, saved: Iterable[tuple[str, str | None]] = ()) -> None:
        self.folder = folder
        self.saved = list(saved)

    @classmethod
    def of_this_run(cls, folder: str, name: str) -> Backup:
        """So that a refused set leaves nothing behind."""
        prefix = f"undo.{name}."
        for left in os.listdir(folder):  # by an interrupted run
            if left.startswith(prefix):
                shutil.rmtree(os.path.join(folder, left), ignore_errors=True)
        return cls(tempfile.mkdtemp(prefix=prefix, dir=folder))

    def save(self, path: str) -> None:
        if path in dict(self.saved):
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        kept = os.path.join(self.folder, str(len(self.saved)))
        remove(kept)  # of an interrupted run
        if os.path.islink(path) or os.path.isfile(path):
            shutil.copy2(path, kept, follow_symlinks=False)
            if not os.path.islink(path):
                found = os.stat(path)
                os.chown(kept, found.st_uid, found.st_gid)
            self.saved.append((path, kept))
        elif os.path.isdir(path):
            os.mkdir(kept)
            same_access(path, kept)
            self.saved.append((path, kept))
        else:
            self.saved.append((path, None))

    def restore(self, only: Collection[str] | None = None) -> None:
        for path, kept in reversed(self.saved):
            if only is not None and path not in only:
                continue
            if kept is not None and os.path.isdir(kept) and not os.path.islink(kept):
                os.makedirs(path, exist_ok=True)
                same_access(kept, path)
            elif kept is not None:
                remove(path) if os.path.islink(path) or os.path.isfile(path) else None
                shutil.copy2(kept, path, follow_symlinks=False)
                if not os.path.islink(kept):
                    found = os.stat(kept)
                    os.chown(path, found.st_uid, found.st_gid)
            elif os.path.lexists(path):
                with contextlib.suppress(OSError):  # a new folder in which something has come to be
                    remove(path)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
