# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The folders of a cluster: copied, put in the place of each other, and as they were before their files were linked."""

from __future__ import annotations

import os
import shutil
import stat
import time

RECENT = 2.0  # seconds before a copy in which a file may have changed once more without another time


def synchronize(source: str, target: str) -> None:
    """Makes a folder a copy of another one, of whose files those are copied that have changed since it last was one."""
    known = set()
    for top, below, names in os.walk(source):
        place = target + top[len(source) :]
        os.makedirs(place, 0o700, exist_ok=True)
        for name in [*below, *names]:
            path, copy = f"{top}/{name}", f"{place}/{name}"
            known.add(copy)
            # files come and go while a cluster serves; what matters is how it is once it is stopped
            try:
                found = os.lstat(path)
                if stat.S_ISLNK(found.st_mode) and not os.path.lexists(copy):
                    os.symlink(os.readlink(path), copy)
                elif stat.S_ISREG(found.st_mode) and differs(found, copy):
                    shutil.copyfile(path, copy)
                    os.chmod(copy, stat.S_IMODE(found.st_mode))
                    settled = time.time() - found.st_mtime > RECENT
                    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns if settled else 0))
            except FileNotFoundError:
                continue
    for top, below, names in os.walk(target, topdown=False):
        for name in names:
            if f"{top}/{name}" not in known:
                os.unlink(f"{top}/{name}")
        for name in below:
            if f"{top}/{name}" not in known:
                os.rmdir(f"{top}/{name}")


def differs(found: os.stat_result, copy: str) -> bool:
    try:
        there = os.lstat(copy)
    except FileNotFoundError:
        return True
    return (there.st_size, there.st_mtime_ns) != (found.st_size, found.st_mtime_ns)


def replace(source: str, target: str) -> None:
    """Puts a folder in the place of another; nothing where that has been done."""
    if os.path.isdir(source):
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.rename(source, target)


def unlinked(control: str) -> None:
    """pg_upgrade renames the control file of a cluster whose files it links; until that is used there is a way back."""
    if os.path.exists(f"{control}.old"):
        os.rename(f"{control}.old", control)
