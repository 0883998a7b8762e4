# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Archives of an app's code: downloaded and unpacked."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import urllib.request
import zipfile
from collections.abc import Mapping
from typing import IO
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.host.app_process import SMALLEST_FREE
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
)


def download(url: str, target: IO[bytes], disk: str, environment: dict[str, str]) -> None:
    """A server may answer slowly, or for ever: the caller has a timeout, and the disk has an end."""
    # urllib speaks no SOCKS
    proxies = {key: proxy for key, proxy in proxies_for(url, environment).items() if not is_socks(proxy)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(url, timeout=60) as answer:
        for block in iter(lambda: answer.read(1 << 20), b""):
            if shutil.disk_usage(disk).free < SMALLEST_FREE:
                raise DeployError("The disk is almost full")
            target.write(block)
    target.flush()


def proxies_for(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The proxies for an address, by scheme, as git finds them: urllib knows no ALL_PROXY."""
    proxies = {
        name.lower().removesuffix("_proxy"): value
        for name, value in environment.items()
        if name.lower().endswith("_proxy")
    }
    if urllib.request.proxy_bypass_environment(urlsplit(url).hostname or "", proxies):  # type: ignore[attr-defined]
        return {}
    found = {scheme: proxies.get(scheme) or proxies.get("all", "") for scheme in ("http", "https")}
    return {scheme: proxy for scheme, proxy in found.items() if proxy}


def is_socks(proxy: str) -> bool:
    return proxy.lower().startswith("socks")


def unpack(archive: IO[bytes], target: str) -> None:
    """Unpacks a tar or zip file, without the lone folder that many archives have around everything."""
    inside = f"{target}/.homeport-unpacked"
    os.mkdir(inside, 0o700)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for member in packed.infolist():
                    path = packed.extract(member, inside)  # drops absolute paths and '..' itself
                    mode = member.external_attr >> 16
                    if stat.S_ISREG(mode) and mode & stat.S_IXUSR:
                        os.chmod(path, os.stat(path).st_mode | 0o100)
        else:
            archive.seek(0)
            with tarfile.open(fileobj=archive) as stream:
                stream.extractall(inside, members=safe_members(stream, inside))
        names = os.listdir(inside)
        lone = f"{inside}/{names[0]}" if len(names) == 1 else ""
        root = lone if os.path.isdir(lone) and not os.path.islink(lone) else inside
        for name in os.listdir(root):
            os.rename(f"{root}/{name}", f"{target}/{name}")
    finally:
        shutil.rmtree(inside)


def safe_members(archive: tarfile.TarFile, folder: str) -> list[tarfile.TarInfo]:
    """Members that stay inside ``folder``; anything else is refused."""
    root = os.path.realpath(folder)
    members: list[tarfile.TarInfo] = []
    links: set[str] = set()
    for member in archive.getmembers():
        path = os.path.normpath(os.path.join(root, member.name))
        link = (
            os.path.normpath(os.path.join(os.path.dirname(path), member.linkname)) if member.issym() else path
        )
        if member.islnk():
            link = os.path.normpath(os.path.join(root, member.linkname))
        if not (path == root or path.startswith(f"{root}/")) or not (
            link == root or link.startswith(f"{root}/")
        ):
            raise ValueError(f"{member.name} leads out of the archive")
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise ValueError(f"{member.name} is a device or a pipe")
        # what a link leads to can only be told when no other link is on the way to it
        parents = [path[:end] for end in range(len(root) + 1, len(path)) if path[end] == "/"]
        if not links.isdisjoint([path, *parents]) or (member.islnk() and link in links):
            raise ValueError(f"{member.name} goes through a link")
        if member.issym():
            links.add(path)
        member.mode = (member.mode or 0o644) & 0o755 | 0o400
        members.append(member)
    return members
