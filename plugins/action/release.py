# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Packs the folders and archives that apps take from the controller, and sends them where they are needed."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import tarfile
import tempfile
from fnmatch import fnmatch
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

MODULE = "homeport.django.release"

# Never part of a deploy: what tools leave behind, and what holds the developer's own data and secrets.
LEFT_OUT = [
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", "*.pyc", ".tox", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".env", "*.sqlite3", "*.sqlite3-*", ".DS_Store",
]  # fmt: skip


class ActionModule(ActionBase):
    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        arguments["holder"] = f"{getpass.getuser()}@{socket.gethostname()}"
        only = arguments.get("only") or []
        packed: dict[str, str] = {}
        apps = []
        try:
            for app in arguments["apps"]:
                app = {**app, "source": dict(app["source"])}
                # going back needs no source, which may be gone
                if (not only or app["name"] in only) and arguments["phase"] != "rollback":
                    local = self._local(app, task_vars)
                    if local:
                        packed[app["name"]] = local
                        app["source"]["digest"] = digest(local)
                apps.append(app)
            arguments["apps"] = apps
            if packed and arguments["phase"] == "build" and not self._task.check_mode:
                arguments["uploads"] = self._uploads(packed, arguments, task_vars)
            result.update(
                self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            )
        finally:
            for path in packed.values():
                os.unlink(path)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _local(self, app: dict[str, Any], task_vars: dict[str, Any]) -> str | None:
        """A file on the controller that holds the app's code, or nothing when the host fetches it."""
        source = app["source"]
        archive = source.get("archive", "")
        if "path" in source:
            path = find(source["path"], self._base(task_vars))
            if not os.path.isdir(path):
                raise AnsibleActionFail(f"django_apps.{app['name']}.source.path: there is no folder {path}")
            return pack(path)
        if archive and not archive.startswith(("http://", "https://")):
            path = find(archive, self._base(task_vars))
            if not os.path.isfile(path):
                raise AnsibleActionFail(f"django_apps.{app['name']}.source.archive: there is no file {path}")
            copy = tempfile.NamedTemporaryFile(dir=C.DEFAULT_LOCAL_TMP, prefix="homeport-", delete=False)  # noqa: SIM115
            with copy, open(path, "rb") as stream:
                for block in iter(lambda: stream.read(1 << 20), b""):
                    copy.write(block)
            wanted = source.get("checksum")
            if wanted and digest(copy.name) != wanted:
                os.unlink(copy.name)
                raise AnsibleActionFail(
                    f"django_apps.{app['name']}.source.archive: {path} does not have that checksum"
                )
            return copy.name
        return None

    def _uploads(
        self, packed: dict[str, str], arguments: dict[str, Any], task_vars: dict[str, Any]
    ) -> dict[str, str]:
        """Sends only what the host is going to build from: a plan, in check mode, says which."""
        plan = self._execute_module(
            module_name=MODULE,
            module_args={**arguments, "phase": "plan"},
            task_vars=task_vars,
        )
        releases = plan.get("releases", {})
        uploads = {}
        for name, path in packed.items():
            if releases.get(name, {}).get("action") in ("build", "first release"):
                remote = self._connection._shell.join_path(self._make_tmp(), f"{name}.archive")
                uploads[name] = self._transfer_file(path, remote)
        return uploads

    def _base(self, task_vars: dict[str, Any]) -> str:
        return str(self._task.args.get("base") or task_vars.get("inventory_dir") or os.getcwd())

    def _make_tmp(self) -> str:
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        return str(self._connection._shell.tmpdir)


def find(path: str, base: str) -> str:
    """A path of the controller, relative to ``base``."""
    return os.path.normpath(os.path.join(base, os.path.expanduser(path)))


def pack(folder: str) -> str:
    """A tar file of ``folder`` that is the same, byte for byte, as long as the files are."""

    def entry(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if any(fnmatch(os.path.basename(member.name), pattern) for pattern in LEFT_OUT):
            return None
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with tempfile.NamedTemporaryFile(
        dir=C.DEFAULT_LOCAL_TMP, prefix="homeport-", suffix=".tar", delete=False
    ) as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.add(folder, arcname="source", filter=entry)
        return stream.name


def digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()
