# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where backups go, read from one text: a folder, sftp or S3."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

# ssh takes a word that begins with a hyphen for an option
SFTP = (
    r"sftp:(?P<user>[\w.][\w.-]*)@(?P<host>[\w.:][\w.:-]*?|\[[0-9a-fA-F:]+\])"
    r"(?::(?P<port>[0-9]{1,6}):|:)(?P<path>\S+)"
)
S3 = r"s3:(?:https?://)?(?:[\w.-]+|\[(?P<address>[0-9a-fA-F:]+)\])(?::(?P<port>[0-9]{1,5}))?/\S+"
# The folder becomes root's alone: none of the system's or the apps' may be one.
CLOSED = (
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr",
    "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp", "/var/backups/homeport",
)  # fmt: skip


def target(repository: str) -> dict[str, Any]:
    """Kind of a repository (local, sftp or s3), its folder where it is local, and sftp's parts. Raises ValueError."""
    if repository.startswith("sftp:"):
        return by_sftp(repository)
    if repository.startswith("s3:"):
        return in_s3(repository)
    return in_folder(repository.rstrip("/"))


def by_sftp(repository: str) -> dict[str, Any]:
    found = re.fullmatch(SFTP, repository)
    if not found:
        raise ValueError("sftp is written sftp:USER@HOST:PATH, or sftp:USER@HOST:PORT:PATH")
    port = int(found["port"] or 22)
    if not 0 < port < 65536:
        raise ValueError("sftp has a port from 1 to 65535")
    return {
        "kind": "sftp",
        "sftp": {"user": found["user"], "host": found["host"].strip("[]"), "port": port},
        "path": found["path"],
        "repository": f"sftp:{found['user']}@{found['host']}:{found['path']}",
    }


def in_s3(repository: str) -> dict[str, Any]:
    found = re.fullmatch(S3, repository)
    if not found or not is_address(found["address"]) or not 0 < int(found["port"] or 443) < 65536:
        raise ValueError(
            "S3 is written s3:https://HOST/BUCKET/FOLDER, or s3:https://HOST:PORT/BUCKET/FOLDER "
            "with a port from 1 to 65535"
        )
    return {"kind": "s3", "repository": repository}


def in_folder(path: str) -> dict[str, Any]:
    if not re.fullmatch(r"(/[\w.-]+)+", path, re.ASCII) or "/../" in f"{path}/":
        raise ValueError(
            "must be a folder (/var/backups/site), sftp:USER@HOST:PATH, or s3:https://HOST/BUCKET"
        )
    of_the_system = any(f"{path}/".startswith(f"{closed}/") for closed in CLOSED)
    if of_the_system or re.fullmatch("/[^/]+|/var/[^/]+", path):
        raise ValueError(
            "must be a folder of its own, not one of the system, its users or the apps (/srv); "
            "choose /var/backups/site, or a folder where another disk is mounted (/mnt/disk/site)"
        )
    return {"kind": "local", "folder": path, "repository": path}


def is_address(text: str | None) -> bool:
    """Whether what stands in brackets, where anything does, is an address."""
    try:
        return text is None or bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False
