#!/usr/bin/python
# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A PostgreSQL cluster from its archive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_recovery
short_description: Recover a PostgreSQL cluster from its continuous archive
description:
  - Replaces the host's cluster, which must be empty, by the cluster of a pgBackRest archive. Where the archive is
    that of the host's own cluster there is nothing to do.
  - The host's cluster is moved aside before, and restored when anything fails. An interrupted run is finished by
    running it again.
options:
  settings:
    description: pgBackRest's settings for the archive.
    type: dict
    required: true
  secrets:
    description: Those of its settings that are secret.
    type: dict
    default: {}
  files:
    description: Keys and certificates that O(settings) name, by their names in C(/etc/pgbackrest).
    type: dict
    default: {}
  version:
    description: Version of PostgreSQL.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    default: main
  target_time:
    description: The point in time in UTC (C(2026-01-31T14:30:00)) to which the cluster is recovered. Empty for the
      latest one in the archive.
    type: str
    default: ""
  replace:
    description: Whether a cluster may be replaced that is not empty. It is kept next to the new one then.
    type: bool
    default: false
author: [Homeport contributors (@homeport)]
"""

EXAMPLES = r"""
- name: Bring the cluster back
  homeport.django.archive_recovery:
    settings: {repo1-type: posix, repo1-path: /var/backups/postgres, repo1-cipher-type: aes-256-cbc}
    secrets: {repo1-cipher-pass: "{{ vault_archive_password }}"}
    version: "17"
"""

RETURN = r"""
recovered:
  description: The time of the last recovered transaction (C(until)), the number of tables of each database, and the
    seconds that it took. Where a cluster was replaced, the folder in which it is C(kept).
  returned: when the archive was that of another cluster, and not in check mode
  type: dict
"""

import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup.recovery import Recovery, foreign
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import timestamp
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.module import Module

FOLDER = "/var/lib/postgresql/homeport-recovery"
OWN = "/etc/pgbackrest/"


@contextmanager
def alone(data: str) -> Iterator[None]:
    """One recovery at a time: one whose operator has left goes on."""
    folder = os.open(os.path.dirname(data), os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeployError(
                "Another recovery is still running on this host, also where its run has ended: wait for it, "
                "and run this again. Nothing was changed"
            ) from None
        yield
    finally:
        os.close(folder)


@contextmanager
def configured(settings: Mapping[str, Any], files: Mapping[str, str], data: str) -> Iterator[str]:
    """A configuration of pgBackRest that is there for as long as it is needed, whatever the host has of its own."""
    account = pwd.getpwnam("postgres")
    if os.path.lexists(FOLDER):
        shutil.rmtree(FOLDER)
    os.mkdir(FOLDER, 0o700)
    lines = [f"{name}={str(value).replace(OWN, f'{FOLDER}/')}\n" for name, value in sorted(settings.items())]
    text = f"[global]\n{''.join(lines)}\n[homeport]\npg1-path={data}\n"
    try:
        for name, content in {**files, "pgbackrest.conf": text}.items():
            with open(f"{FOLDER}/{name}", "w", encoding="utf-8") as stream:
                os.fchmod(stream.fileno(), 0o600)
                os.fchown(stream.fileno(), account.pw_uid, account.pw_gid)
                stream.write(content)
        os.chown(FOLDER, account.pw_uid, account.pw_gid)
        yield f"{FOLDER}/pgbackrest.conf"
    finally:
        shutil.rmtree(FOLDER)


def main() -> None:
    module = Module(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "files": {"type": "dict", "default": {}, "no_log": True},
            "version": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "target_time": {"type": "str", "default": ""},
            "replace": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    if not os.path.isdir(f"/etc/postgresql/{params['version']}/{params['cluster']}"):
        if module.check_mode:  # a bare host
            module.exit_json(changed=True)
        module.fail_json(msg="This host has no PostgreSQL cluster to replace")
    try:
        when = timestamp(params["target_time"]) if params["target_time"] else ""
        data = Archive(params).data
        with (
            alone(data),
            configured({**params["settings"], **params["secrets"]}, params["files"], data) as file,
        ):
            archive = Archive(params, file)
            work = Recovery(archive, when, params["replace"])
            if not os.path.lexists(work.aside) and not foreign(archive):
                module.exit_json(changed=False)
            if module.check_mode:
                module.exit_json(changed=True)
            module.exit_json(changed=True, recovered=work.run())
    except (DeployError, OSError, json.JSONDecodeError) as error:
        message = str(error) if isinstance(error, DeployError) else f"{type(error).__name__}: {error}"
        module.fail_json(msg=message)


if __name__ == "__main__":
    main()
