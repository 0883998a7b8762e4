# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How git reaches an app's repository: its deploy key or token, and the names of its branches and tags."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible_collections.homeport.django.plugins.module_utils.common.words import closest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    Layout,
)

COMMIT = re.compile(r"[0-9a-f]{40}")
# Answers git from the environment, which others cannot see.
HELPER = '!echo "username=$HOMEPORT_GIT_USER"; echo "password=$HOMEPORT_GIT_PASSWORD"; :'


def without_credentials(address: str) -> tuple[str, dict[str, str]]:
    """An http address without user and password, and the environment that gives these to git, for that server alone."""
    try:
        parts = urlsplit(address)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return address, {}
    if parts.scheme not in ("http", "https") or parts.username is None:
        return address, {}
    name = f"credential.{parts.scheme}://{place}.helper"
    # an empty one first: what is configured elsewhere is not asked
    config = git_config((name, ""), (name, HELPER))
    config["HOMEPORT_GIT_USER"] = unquote(parts.username)
    config["HOMEPORT_GIT_PASSWORD"] = unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=place)), config


def git_config(*settings: tuple[str, str]) -> dict[str, str]:
    """Settings of git, as the environment that gives them to git and to what git starts."""
    config = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings):
        config.update({f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value})
    return config


@contextlib.contextmanager
def git_access(layout: Layout) -> Iterator[dict[str, str]]:
    """The environment in which git may read what the app may: its deploy key, its token, the hosts it knows."""
    ssh = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=accept-new"
    ssh += f" -o UserKnownHostsFile={layout.home}/home/known_hosts"
    # a look before a deploy, or a plan, may run during a deploy
    key = f"{layout.runtime}/deploy_key-{os.getpid()}"
    for left in glob.glob(f"{layout.runtime}/deploy_key-*"):
        if not os.path.exists(f"/proc/{left.rpartition('-')[2]}") or left == key:  # of an interrupted run
            with contextlib.suppress(OSError):  # the app may have put a folder there
                os.unlink(left)
    if layout.secrets.get("deploy_key"):
        layout.own_folder(layout.runtime)
        uid, gid = layout.ids()
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchown(stream.fileno(), uid, gid)
            stream.write(layout.secrets["deploy_key"].rstrip("\n") + "\n")
        ssh += f" -i {key} -o IdentitiesOnly=yes"
    credentials = without_credentials(layout.secrets.get("git", ""))[1]
    try:
        yield {"GIT_SSH_COMMAND": ssh, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "0", **credentials}
    finally:
        with contextlib.suppress(OSError):
            os.unlink(key)


def refs_of(text: str) -> dict[str, str]:
    """The commits of a repository's branches and tags, as git lists them."""
    lines = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
    return {name: commit for commit, name in lines if COMMIT.fullmatch(commit)}


def commit_of(version: str, refs: dict[str, str]) -> str:
    """The commit of a branch or tag; empty where there is none. The ``^{}`` of an annotated tag is what it names."""
    for name in (f"refs/tags/{version}^{{}}", f"refs/heads/{version}", f"refs/tags/{version}", version):
        if name in refs:
            return refs[name]
    return ""


def private(app: str) -> str:
    return (
        f"a private repository takes vault_django_apps.{app}.deploy_key (ssh), or an address with a token in "
        f"vault_django_apps.{app}.git (https)"
    )


def no_version(url: str, version: str, refs: dict[str, str]) -> str:
    """That a branch or tag is missing, with the one that may have been meant: a name like it, or the default branch."""
    if not refs:
        return f"source.version: {url} is empty, so that it has no branch or tag {version}"
    names = [name.split("/", 2)[2] for name in refs if name.startswith(("refs/heads/", "refs/tags/"))]
    heads = [name for name in refs if name.startswith("refs/heads/") and refs[name] == refs.get("HEAD")]
    hint = closest(version, names)
    if not hint and heads:
        hint = f" (did you mean '{heads[0].split('/', 2)[2]}', its default branch?)"
    return f"source.version: {url} has no branch or tag {version}{hint}; name a commit by all its 40 digits"


def lfs_filter() -> list[str]:
    """The options by which git puts a file of Git LFS in the place of its pointer, where git-lfs is installed."""
    if not shutil.which("git-lfs"):
        return []
    settings = {"process": "git-lfs filter-process", "smudge": "git-lfs smudge -- %f", "required": "true"}
    return [word for name, value in settings.items() for word in ("-c", f"filter.lfs.{name}={value}")]
