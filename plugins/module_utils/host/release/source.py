# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Getting an app's code onto its host: git, a folder or archive from the controller, a URL, a package."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import shutil
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import is_url
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import SMALLEST_FREE
from ansible_collections.homeport.django.plugins.module_utils.host.copies import digest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    COMMAND,
    DeployError,
    Layout,
    Runner,
    remove,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project

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
    # a look before a deploy, or a plan, may be under way beside a deploy
    key = f"{layout.runtime}/deploy_key-{os.getpid()}"
    for left in glob.glob(f"{layout.runtime}/deploy_key-*"):
        if not os.path.exists(f"/proc/{left.rpartition('-')[2]}") or left == key:  # of a run that was cut off
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


LONGEST_SUBJECT = 72


class Source:
    """Where the code of one app comes from."""

    def __init__(self, layout: Layout, runner: Runner) -> None:
        self.layout = layout
        self.runner = runner
        self.spec: dict[str, Any] = layout.spec["source"]
        # the address as it may be shown, as the vault has it, and as git gets it: what is on a command line is seen
        self.git: str = self.spec.get("git", "")
        self.secret: str = layout.secrets.get("git") or self.git
        self.address = without_credentials(self.secret)[0]
        self.subject = ""  # of the commit that was fetched
        self.history = ""  # the repository in the code, where its build asks git for its version

    def revision(self) -> str:
        """What identifies the code that is wanted, without fetching it."""
        if "git" in self.spec:
            return self._git_revision()
        if "archive" in self.spec and "checksum" in self.spec:
            return f"sha256:{self.spec['checksum']}"
        if "archive" in self.spec and is_url(self.spec["archive"]):
            return str(self.spec["archive"])
        if "package" in self.spec:
            return str(self.spec["package"])
        return f"sha256:{self.spec['digest']}"  # packed by the controller

    def fetch(self, revision: str, target: str, upload: str | None) -> None:
        """Puts the code of ``revision`` into the new folder ``target``."""
        self.layout.own_folder(target)
        if "git" in self.spec:
            self._git_fetch(revision, target)
        elif "package" in self.spec:
            return  # the package is installed with the other requirements
        else:
            archive = upload or self._download(target)
            try:
                with open(archive, "rb") as stream:  # root's: the app gets it open
                    self.runner.as_app(
                        "the archive cannot be unpacked", unpack, stream, target, seconds=COMMAND
                    )
            finally:
                if archive != upload:
                    os.unlink(archive)
        pointers = self.runner.as_app("looking for Git LFS", app_project.lfs_pointers, target)
        if pointers and not ("git" in self.spec and shutil.which("git-lfs")):
            raise DeployError(
                f"the source has files that are only pointers of Git LFS, such as {pointers[0]}; "
                + (
                    "name git-lfs in system_packages"
                    if "git" in self.spec
                    else "pack what they stand for (git lfs pull), or use source.git"
                )
            )

    def _git(self, words: list[str], what: str, **options: Any) -> str:
        given = options.pop("env", {})
        try:
            with git_access(self.layout) as env:
                return self.runner.run(
                    ["git", *words], what, env={**env, **given}, **{"timeout": 600, **options}
                )
        except DeployError as error:
            message = str(error).replace(self.secret, self.git).replace(self.address, self.git)
            if "Permission denied (publickey" in message or "could not read Username" in message:
                message += f"\n{private(self.layout.name)}"
            raise DeployError(message) from None

    def _git_revision(self) -> str:
        version = self.spec.get("version", "HEAD")
        if COMMIT.fullmatch(version):
            return str(version)
        commit = commit_of(version, self.refs(version, f"{version}^{{}}"))
        if not commit:
            raise DeployError(no_version(self.git, version, self.refs()))
        return commit

    def refs(self, *names: str) -> dict[str, str]:
        """The commits of those branches and tags; of all without names."""
        asked = f" for {names[0]}" if names else ""
        words = ["ls-remote", "--", self.address, *names]
        return refs_of(self._git(words, f"source.git: asking {self.git}{asked}"))

    def _git_fetch(self, commit: str, target: str) -> None:
        url = self.git
        mirror = f"{self.layout.cache}/git-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
        self._git(["init", "--quiet", "--bare", mirror], "making a git mirror")
        if not self._has(mirror, commit):
            self._git_get(mirror, url, commit)
            if not self._has(mirror, commit):
                raise DeployError(f"source.version: {url} has no commit {commit}")
        what = f"checking out {commit[:12]}"
        log = ["git", "--git-dir", mirror, "log", "-1", "--format=%s", commit, "--"]
        self.subject = self.runner.run(log, what).strip()[:LONGEST_SUBJECT]
        index = {"GIT_INDEX_FILE": f"{self.layout.cache}/git-index"}
        self.runner.run(["git", "--git-dir", mirror, "read-tree", commit], what, env=index)
        words = ["--git-dir", mirror, "--work-tree", target, "checkout-index", "--all", "--force"]
        origin = ["-c", f"remote.origin.url={self.address}"]
        self._git([*lfs_filter(), *origin, *words], what, env=index, cwd=target, timeout=COMMAND)
        if self.runner.as_app("looking for submodules", os.path.lexists, f"{target}/.gitmodules"):
            self._git_submodules(mirror, url, commit, target)
        if self.runner.as_app("looking for the version", app_project.versioned_by_git, target):
            self._git_history(mirror, url, commit, target)

    def _has(self, mirror: str, commit: str) -> bool:
        words = ["git", "--git-dir", mirror, "cat-file", "-e", f"{commit}^{{commit}}"]
        try:
            self.runner.run(words, "looking for the commit")
        except DeployError:
            return False
        return True

    def _git_history(self, mirror: str, url: str, commit: str, target: str) -> None:
        """The repository with its tags, for a build that asks git for its version."""
        what = f"fetching the tags of {url}"
        everything = ["--force", "--", self.address, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        shallow = self._git(["--git-dir", mirror, "rev-parse", "--is-shallow-repository"], what).strip()
        whole = ["--unshallow"] if shallow == "true" else []
        self._git(["--git-dir", mirror, "fetch", "--quiet", *whole, *everything], what, timeout=COMMAND)
        for words in (
            ["init", "--quiet"],
            ["fetch", "--quiet", mirror, commit, "+refs/tags/*:refs/tags/*"],
            ["update-ref", "--no-deref", "HEAD", commit],
            ["reset", "--quiet"],
        ):
            self._git(["-C", target, *words], what)
        self.history = f"{target}/.git"

    def _git_submodules(self, mirror: str, url: str, commit: str, target: str) -> None:
        """Submodules need a real work tree, whose origin their relative addresses refer to."""
        remove(target)
        self.layout.own_folder(target)
        what = f"fetching the submodules of {url}"
        self._git(["init", "--quiet", target], what)
        for words in (
            ["remote", "add", "origin", self.address],
            ["fetch", "--quiet", mirror, commit],
            ["checkout", "--quiet", commit],
            ["submodule", "--quiet", "update", "--init", "--recursive"],
        ):
            self._git([*lfs_filter(), "-C", target, *words], what, timeout=COMMAND)
        # its configuration holds the address, which is not for everybody to see
        self.runner.as_app(what, shutil.rmtree, f"{target}/.git")

    def _git_get(self, mirror: str, url: str, commit: str) -> None:
        fetch = ["--git-dir", mirror, "fetch", "--quiet", "--no-tags"]
        try:
            self._git(
                [*fetch, "--depth", "1", "--", self.address, commit], f"fetching {commit[:12]} from {url}"
            )
        except DeployError:  # a server that does not give single commits: take every branch and tag
            what = f"fetching {url}"
            self._git(
                [
                    *fetch,
                    "--force",
                    "--",
                    self.address,
                    "+refs/heads/*:refs/heads/*",
                    "+refs/tags/*:refs/tags/*",
                ],
                what,
            )

    def commits(self, before: str, after: str) -> list[str]:
        """The commits that lie between two, newest first; fetched without their files, into a folder of their own."""
        folder = f"{self.layout.cache}/git-history-{os.getpid()}"
        what = f"looking for the commits of {self.git}"
        try:
            self._git(["init", "--quiet", "--bare", folder], what)
            fetch = ["-C", folder, "fetch", "--quiet", "--no-tags", "--filter=tree:0", "--", self.address]
            self._git([*fetch, after], what)
            try:
                self._git(["-C", folder, "cat-file", "-e", f"{before}^{{commit}}"], what)
            except DeployError:  # another branch
                self._git([*fetch, before], what)
            log = ["-C", folder, "log", "--no-decorate", "--format=%h %as %an: %s"]
            lines = self._git([*log, f"{before}..{after}"], what).splitlines()
            gone = self._git([*log, f"{after}..{before}"], what).splitlines()
            return lines + [f"no more: {line}" for line in gone]
        except DeployError as error:
            return [f"the commits between cannot be told: {str(error).splitlines()[-1]}"]
        finally:
            self.runner.run(["rm", "-rf", "--", folder], what)

    def _download(self, target: str) -> str:
        url = self.spec["archive"]
        path = f"{target}.download"
        what = f"cannot download {url}"
        try:
            with open(path, "wb") as stream:  # root's: the app gets it open
                words = url, stream, self.layout.home, self.runner.base
                self.runner.as_app(what, download, *words, seconds=COMMAND)
            found, expected = digest(path), self.spec.get("checksum")
            if expected and found != expected:
                raise DeployError(f"{url} has the SHA-256 {found}, not the one in source.checksum")
        except DeployError:
            os.unlink(path)
            raise
        return path


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


def download(url: str, target: IO[bytes], disk: str, environment: dict[str, str]) -> None:
    """Whoever answers may do so slowly, or for ever: the caller has an end, and the disk has one."""
    # urllib speaks no SOCKS
    proxies = {key: proxy for key, proxy in proxies_for(url, environment).items() if not is_socks(proxy)}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(url, timeout=60) as answer:
        for block in iter(lambda: answer.read(1 << 20), b""):
            if shutil.disk_usage(disk).free < SMALLEST_FREE:
                raise DeployError("the disk has hardly any space left")
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
                packed.extractall(inside)  # drops absolute paths and '..' itself
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
