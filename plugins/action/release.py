# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Packs the folders and archives that apps take from the controller, and sends them where they are needed."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.plugin_utils.component import looked
from ansible_collections.homeport.django.plugins.plugin_utils.this_run import (
    end_with_the_controller,
    has_ended,
    this_run,
)

MODULE = "homeport.django.release"

# Never part of a deploy: what tools leave behind, and what holds the developer's own data and secrets.
LEFT_OUT = [
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", ".tox", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".env", "*.sqlite3", "*.sqlite3-*", ".DS_Store",
]  # fmt: skip


class SourceError(Exception):
    """The code of one app cannot be had on the controller."""


class ActionModule(ActionBase):
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments["holder"] = f"{getpass.getuser()}@{socket.gethostname()}"
        arguments["run"] = this_run()
        end_with_the_controller()
        only = arguments.get("only") or []
        elsewhere = live_elsewhere(task_vars)
        packed: dict[str, str] = {}
        failed: dict[str, str] = dict(arguments.get("failed") or {})
        apps = []
        try:
            for app in arguments["apps"]:
                app = {**app, "source": dict(app["source"]), "live_elsewhere": app["name"] in elsewhere}
                # only building needs the source, which may be missing at the time of a rollback
                if (not only or app["name"] in only) and arguments["phase"] == "build":
                    try:
                        local = self._local(app, task_vars)
                    except SourceError as error:  # of this app alone
                        local, failed[app["name"]] = None, str(error)
                    if local:
                        packed[app["name"]] = local
                        app["source"]["digest"] = file_digest(local)
                apps.append(app)
            arguments.update(apps=apps, failed=failed)
            if not self._task.check_mode or self._play_context.diff:
                live = looked(task_vars).get("revisions")
                news = [app["name"] for app in apps if app["name"] in packed and is_news(app, live)]
                arguments["uploads"] = self._uploads(news, packed)
            answer = self._without_the_dead(arguments, task_vars)
            if answer.get("wanting"):
                arguments["uploads"] = self._uploads(answer["wanting"], packed)
                answer = self._again(answer, {**arguments, "only": answer["wanting"]}, task_vars)
            result.update(answer)
        finally:
            for path in packed.values():
                os.unlink(path)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _without_the_dead(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's answer; apps that a run of this machine had, which has ended since, are tried again."""
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=task_vars
        )
        dead = {name: run for name, run in answer.get("locked", {}).items() if has_ended(run)}
        if not dead:
            return answer
        runs = sorted(set(dead.values()))
        return self._again(answer, {**arguments, "only": sorted(dead), "dead_runs": runs}, task_vars)

    def _again(
        self, answer: dict[str, Any], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """The module's answer once it has tried some of the apps again."""
        again: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=task_vars
        )
        for part in ("releases", "outcomes", "failed_apps", "visits"):
            kept = {
                name: found for name, found in answer.get(part, {}).items() if name not in arguments["only"]
            }
            again[part] = {**kept, **again.get(part, {})}
        for part in ("pending", "wanting", "unasked"):
            others = set(answer.get(part, [])) - set(arguments["only"])
            again[part] = sorted({*others, *again.get(part, [])})
        warnings = [*answer.get("warnings", []), *again.get("warnings", [])]
        if warnings:
            again["warnings"] = warnings
        again["changed"] = bool(answer.get("changed") or again.get("changed"))
        return again

    def _local(self, app: dict[str, Any], task_vars: dict[str, Any]) -> str | None:
        """A file on the controller that holds the app's code, or nothing when the host fetches it."""
        source = app["source"]
        archive = source.get("archive", "")
        field = f"django_apps.{app['name']}.source"
        if "path" in source:
            path = find(source["path"], self._base(task_vars))
            if not os.path.isdir(path):
                raise SourceError(f"{field}.path: there is no folder {path}")
            try:
                return pack(path)
            except LeadsOut as error:
                raise SourceError(
                    f"{field}.path: {error} is a link out of {path}, which the host does not have: put what it leads "
                    "to in its place, or remove it"
                ) from None
            except OSError as error:
                raise SourceError(f"{field}.path: {error.filename or path}: {error.strerror}") from error
        if archive and not archive.startswith(("http://", "https://")):
            path = find(archive, self._base(task_vars))
            try:
                return copied(path, source.get("checksum"))
            except OSError as error:
                raise SourceError(f"{field}.archive: {path}: {error.strerror}") from error
            except ValueError as error:
                raise SourceError(f"{field}.checksum: {path} does not have it") from error
        return None

    def _uploads(self, names: list[str], packed: dict[str, str]) -> dict[str, str]:
        """Sends what the host is going to build from."""
        uploads = {}
        for name in names:
            remote = self._connection._shell.join_path(self._make_tmp(), f"{name}.archive")
            uploads[name] = self._transfer_file(packed[name], remote)
        return uploads

    def _base(self, task_vars: dict[str, Any]) -> str:
        return str(self._task.args.get("base") or task_vars.get("inventory_dir") or os.getcwd())

    def _make_tmp(self) -> str:
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        return str(self._connection._shell.tmpdir)


def live_elsewhere(task_vars: Mapping[str, Any]) -> set[str]:
    """Apps that are live on any host of the run, as far as it has looked at them."""
    hosts = task_vars.get("ansible_play_hosts_all") or []
    return {app for host in hosts for app in looked(task_vars["hostvars"][host]).get("revisions") or {}}


def is_news(app: Mapping[str, Any], live: Mapping[str, str] | None) -> bool:
    """Whether the host, as far as this run has looked at it, does not have that code."""
    return live is not None and live.get(app["name"]) != f"sha256:{app['source']['digest']}"


def find(path: str, base: str) -> str:
    """A path of the controller, relative to ``base``."""
    return os.path.normpath(os.path.join(base, os.path.expanduser(path)))


class LeadsOut(ValueError):
    """The text is the path of a link in a folder."""


def check_link(member: tarfile.TarInfo) -> None:
    """Raises where a link leads out of the folder, whose name in the archive is its first part."""
    top, _slash, path = member.name.partition("/")
    target = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
    if target != top and not target.startswith(f"{top}/"):
        raise LeadsOut(path)


def pack(folder: str) -> str:
    """A tar file of ``folder`` that is the same, byte for byte, as long as the files are.

    Raises LeadsOut for a link out of it.
    """

    def entry(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if any(fnmatch(os.path.basename(member.name), pattern) for pattern in LEFT_OUT):
            return None
        path = os.path.join(folder, os.path.relpath(member.name, "source"))
        if member.isdir() and member.name != "source" and os.path.isfile(f"{path}/pyvenv.cfg"):
            return None  # a virtual environment, whatever its name
        if member.issym():
            check_link(member)
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with (
        temporary(".tar") as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.add(folder, arcname="source", filter=entry)
    return stream.name


def copied(path: str, checksum: str | None) -> str:
    """A copy of a file, which must have the checksum."""
    with temporary() as copy, open(path, "rb") as stream:
        shutil.copyfileobj(stream, copy, 1 << 20)
        copy.flush()
        if checksum and file_digest(copy.name) != checksum:
            raise ValueError("another checksum")
    return copy.name


@contextlib.contextmanager
def temporary(suffix: str = "") -> Iterator[Any]:
    """A file that stays, unless what is done with it fails."""
    with tempfile.NamedTemporaryFile(
        dir=C.DEFAULT_LOCAL_TMP, prefix="homeport-", suffix=suffix, delete=False
    ) as stream:
        try:
            yield stream
        except BaseException:
            os.unlink(stream.name)
            raise
