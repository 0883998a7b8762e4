# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Getting an app's code onto its host: git, a folder or archive from the controller, a URL, a package."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import is_url
from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    COMMAND,
    DeployError,
    Layout,
    Runner,
    remove,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project
from ansible_collections.homeport.django.plugins.module_utils.host.release.archives import download, unpack
from ansible_collections.homeport.django.plugins.module_utils.host.release.git_access import (
    COMMIT,
    commit_of,
    git_access,
    lfs_filter,
    no_version,
    private,
    refs_of,
    without_credentials,
)

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
        pointers = self.runner.as_app("Looking for Git LFS", app_project.lfs_pointers, target)
        if pointers and not ("git" in self.spec and shutil.which("git-lfs")):
            raise DeployError(
                f"The source has files that are only pointers of Git LFS, such as {pointers[0]}; "
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
        self._git(["init", "--quiet", "--bare", mirror], "Creating a git mirror")
        if not self._has(mirror, commit):
            self._git_get(mirror, url, commit)
            if not self._has(mirror, commit):
                raise DeployError(f"source.version: {url} has no commit {commit}")
        what = f"Checking out {commit[:12]}"
        log = ["git", "--git-dir", mirror, "log", "-1", "--format=%s", commit, "--"]
        self.subject = self.runner.run(log, what).strip()[:LONGEST_SUBJECT]
        index = {"GIT_INDEX_FILE": f"{self.layout.cache}/git-index"}
        self.runner.run(["git", "--git-dir", mirror, "read-tree", commit], what, env=index)
        words = ["--git-dir", mirror, "--work-tree", target, "checkout-index", "--all", "--force"]
        origin = ["-c", f"remote.origin.url={self.address}"]
        self._git([*lfs_filter(), *origin, *words], what, env=index, cwd=target, timeout=COMMAND)
        if self.runner.as_app("Looking for submodules", os.path.lexists, f"{target}/.gitmodules"):
            self._git_submodules(mirror, url, commit, target)
        if self.runner.as_app("Looking for the version", app_project.versioned_by_git, target):
            self._git_history(mirror, url, commit, target)

    def _has(self, mirror: str, commit: str) -> bool:
        words = ["git", "--git-dir", mirror, "cat-file", "-e", f"{commit}^{{commit}}"]
        try:
            self.runner.run(words, "Looking for the commit")
        except DeployError:
            return False
        return True

    def _git_history(self, mirror: str, url: str, commit: str, target: str) -> None:
        """The repository with its tags, for a build that asks git for its version."""
        what = f"Fetching the tags of {url}"
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
        what = f"Fetching the submodules of {url}"
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
                [*fetch, "--depth", "1", "--", self.address, commit], f"Fetching {commit[:12]} from {url}"
            )
        except DeployError:  # a server that does not give single commits: take every branch and tag
            what = f"Fetching {url}"
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
        what = f"Looking for the commits of {self.git}"
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
            dropped = self._git([*log, f"{after}..{before}"], what).splitlines()
            return lines + [f"no longer included: {line}" for line in dropped]
        except DeployError as error:
            return [f"The commits in between cannot be listed: {str(error).splitlines()[-1]}"]
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
            found, expected = file_digest(path), self.spec.get("checksum")
            if expected and found != expected:
                raise DeployError(f"{url} has the SHA-256 {found}, not the one in source.checksum")
        except DeployError:
            os.unlink(path)
            raise
        return path
