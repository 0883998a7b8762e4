# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The modes and owners of files with secrets."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS

Entry = dict[str, str]
# What Homeport or a package has written: the bits of the mode that may not be there.
HOST_FILES = (
    ("/etc/shadow", 0o007),
    ("/etc/ssh/ssh_host_*_key", 0o077),
    ("/etc/ssl/private/*.key", 0o007),
    *(secret for facts in FACTS.values() for secret in facts.secrets),
    ("/etc/pgbackrest*/*", 0o007),
    ("/var/lib/homeport/backups", 0o077),
    ("/var/backups/homeport/*", 0o077),
)

HOMEPORT_SECRET = r"privkey.*\.pem|.*\.key|private_key\.json|password|ssh_key|credentials\.json|dns\.ini"
# What users left: a failure where it is world-readable.
LEFT_BEHIND = (
    r"\.env(\..+)?|\.?vault.*|.*\.vault|id_(rsa|dsa|ecdsa|ed25519)|.*\.key|\.pgpass|\.netrc|\.my\.cnf"
)
# Folders, each with how many below each other are looked into: what one account or app keeps hides nothing of others.
LEFT_IN = (("/root", 3), ("/home/*", 3), ("/srv", 0), ("/srv/*", 2))
MOST = 20000  # entries that are looked at below each
# Many files, none of them left by hand.
BULK = r".*/shared/media|.*/(static|venv|\.venv|node_modules|__pycache__|\.git|\.cache)"
APP_FILES = ("env", "release.env", "*.py", "files/*", "overlay.d/*", "processes/*")
APP_FOLDERS = (("home", 0o077), ("shared/data", 0o007), ("shared/media", 0o007), ("dumps", 0o007))


def host_files(base: str = "") -> dict[str, Any]:
    """Files with the host's secrets: how many there are, and those that too many can read."""
    paths = [
        (path, mask, False) for pattern, mask in HOST_FILES for path in sorted(glob.glob(f"{base}{pattern}"))
    ]
    own, _cut = named(f"{base}/etc/homeport", HOMEPORT_SECRET, 9)
    paths += [(path, 0o077, True) for path in own]
    found = [entry for path, mask, owned in paths if (entry := too_open(path, mask, owned))]
    unseen = []
    for pattern, depth in LEFT_IN:
        for folder in sorted(glob.glob(f"{base}{pattern}")):
            if uninteresting(folder):
                continue
            left, cut = named(folder, LEFT_BEHIND, depth, uninteresting)
            unseen += [folder] if cut else []
            for path in left:
                entry = too_open(path, 0o004, False)
                if entry and reachable(path, base) and not encrypted(path):
                    found.append(entry)
    return {"count": len(paths), "open": found, "unseen": unseen}


def app_files(spec: dict[str, Any]) -> dict[str, Any]:
    """The same of an app: its configuration is root's, and what it keeps is its own."""
    home = spec["home"]
    paths = [
        (path, 0o027, True)
        for folder in (f"{home}/config", *sorted(glob.glob(f"{home}/releases/*/config")))
        for pattern in APP_FILES
        for path in sorted(glob.glob(f"{glob.escape(folder)}/{pattern}"))
    ]
    paths += [(f"{home}/{name}", mask, False) for name, mask in APP_FOLDERS]
    paths += [(spec["logs"], 0o007, False)] if spec.get("logs") else []
    paths = [entry for entry in paths if os.path.lexists(entry[0])]
    found = [entry for path, mask, owned in paths if (entry := too_open(path, mask, owned))]
    return {"count": len(paths), "open": found}


def too_open(path: str, mask: int, owned: bool) -> Entry | None:
    """Path, mode and owner of a file that has a bit of ``mask``, or that is to be root's and is not."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    if os.path.islink(path) or not (found.st_mode & mask or (owned and found.st_uid != os.geteuid())):
        return None
    return {
        "path": path,
        "mode": f"{found.st_mode & 0o7777:04o}",
        "expected": f"{found.st_mode & 0o7777 & ~mask:04o}",
        "owner": user_name(found.st_uid),
    }


def named(
    folder: str, pattern: str, depth: int, passed: Callable[[str], bool] = lambda _path: False
) -> tuple[list[str], bool]:
    """Files below a folder by their names, and whether there is more than is looked at.

    Links are not followed, and folders that are to be C(passed) by are not looked into.
    """
    found: list[str] = []
    seen = 0
    for path, folders, files in os.walk(folder):
        if seen > MOST:
            return found, True
        found += [f"{path}/{name}" for name in sorted(files) if re.fullmatch(pattern, name)]
        deeper = path[len(folder) :].count("/") < depth
        folders[:] = sorted(name for name in folders if deeper and not passed(f"{path}/{name}"))
        seen += len(folders) + len(files)
    return found, False


def uninteresting(folder: str) -> bool:
    """Whether nobody left anything in a folder that everybody can read: one with bulk, or closed to others."""
    try:
        return re.fullmatch(BULK, folder) is not None or not os.stat(folder).st_mode & 0o001
    except OSError:
        return True


def encrypted(path: str) -> bool:
    """Whether a file is what ansible-vault has made: of no use to its readers."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.read(descriptor, 14) == b"$ANSIBLE_VAULT"
    except OSError:  # a pipe in which nothing is
        return False
    finally:
        os.close(descriptor)


def reachable(path: str, base: str = "") -> bool:
    """Whether everybody may pass all folders above a file."""
    folder = os.path.dirname(path)
    while len(folder) > len(base or "/"):
        with contextlib.suppress(OSError):  # it may just have been removed
            if not os.stat(folder).st_mode & 0o001:
                return False
        folder = os.path.dirname(folder)
    return True


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
