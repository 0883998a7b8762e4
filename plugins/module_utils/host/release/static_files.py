# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Static files of all kept releases, for the web server."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import time
from collections.abc import Iterator

from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    BUILD,
    DeployError,
    Layout,
)


def publish(root: str, layout: Layout, end: float = math.inf) -> None:
    """Adds a release's static files to those that the web server reads, next to the other releases' files.

    Pages of the release that is live and of the one that follows it both find theirs, before and after
    the switch. The files are hard links: they cost no space. The app may exchange what it has there meanwhile: each
    folder and file is opened in the one above it, and only a regular file of the app's own is published.
    """
    with folder_below(os.path.realpath(layout.releases), root) as top:
        publish_from(top, layout, end)


def publish_from(top: int, layout: Layout, end: float) -> None:
    uid, gid = layout.ids()[0], layout.web_gid()
    for folder, _folders, files, descriptor in os.fwalk(".", dir_fd=top):
        if time.monotonic() > end:
            raise DeployError(f"Publishing static files did not finish within {BUILD} s")
        target = os.path.normpath(os.path.join(layout.static, folder))
        if not os.path.isdir(target):
            os.mkdir(target)
        os.chown(target, 0, gid)  # root's, so that the app cannot lead root elsewhere by a link
        os.chmod(target, 0o2751)  # the app passes through to the files, which it owns
        for name in files:
            with contextlib.suppress(FileNotFoundError), opened(name, descriptor, uid) as found:
                if found is not None:
                    put(found, os.path.join(target, name), uid, gid)


@contextlib.contextmanager
def folder_below(base: str, path: str) -> Iterator[int]:
    """A folder below one of root's, reached through no link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    names = os.path.relpath(path, base).split("/")
    if ".." in names:
        raise DeployError(f"Static files: {path} is not a folder of the app's releases")
    with contextlib.ExitStack() as opened_ones:
        found = os.open(base, flags)
        opened_ones.callback(os.close, found)
        for name in names:
            try:
                found = os.open(name, flags, dir_fd=found)
            except NotADirectoryError:
                raise DeployError(f"Static files: {path} is reached through a link") from None
            opened_ones.callback(os.close, found)
        yield found


@contextlib.contextmanager
def opened(name: str, folder: int, uid: int) -> Iterator[int | None]:
    """A regular file of a user's in an open folder; nothing where the name is something else."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise
        yield None
        return
    try:
        found = os.fstat(descriptor)
        yield descriptor if stat.S_ISREG(found.st_mode) and found.st_uid == uid else None
    finally:
        os.close(descriptor)


def put(descriptor: int, public: str, uid: int, gid: int) -> None:
    """Gives an open file another name, in one step, and to the web server the right to read it."""
    os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, 0o640)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.lstat(public)):
            return
    folder, name = os.path.split(public)
    new = os.path.join(folder, f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    # with a folder, though the path needs none, Python has the kernel follow this link to what is open
    os.link(f"/proc/self/fd/{descriptor}", new, src_dir_fd=descriptor, follow_symlinks=True)
    os.rename(new, public)


def withdraw(layout: Layout, releases: list[str]) -> None:
    """Removes static files that no kept release has any more."""
    roots = [root for release in releases for root in [layout.record(release).get("static_root")] if root]
    if not roots:
        return
    for folder, _folders, files in os.walk(layout.static, topdown=False):
        relative = os.path.relpath(folder, layout.static)
        for name in files:
            if not any(os.path.lexists(os.path.join(root, relative, name)) for root in roots):
                os.unlink(os.path.join(folder, name))
        if folder != layout.static and not os.listdir(folder):
            os.rmdir(folder)
