# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The settings of the old cluster, carried over to the new one."""

from __future__ import annotations

import os
import re
import stat

# Of postgresql.conf, what is each version's own.
NOT_CARRIED = (
    "data_directory", "hba_file", "ident_file", "external_pid_file", "port", "stats_temp_directory", "cluster_name",
)  # fmt: skip


def settings_in(path: str) -> dict[str, str]:
    """The settings of a file of PostgreSQL's, as they are written there."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return {}
    line = r"^\s*([a-z][\w.]*)\s*=?\s*('(?:[^']|'')*'|[^\s#]+)"
    found = dict(re.findall(line, text, re.MULTILINE | re.IGNORECASE))
    return {name: value for name, value in found.items() if not name.startswith("include")}


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def carry(old: str, new: str, data: str, new_data: str) -> None:
    """The settings of the old cluster: its own files, and what somebody has changed in postgresql.conf."""
    version = f"/{old.split('/')[-2]}/"
    before, after = settings_in(f"{old}/postgresql.conf"), settings_in(f"{new}/postgresql.conf")
    own = settings_in(f"{old}/conf.d/carried.conf")  # of an earlier upgrade
    own.update({name: text for name, text in before.items() if after.get(name) != text})
    system = settings_in(f"{data}/postgresql.auto.conf")
    for path, found in ((f"{new}/conf.d/carried.conf", own), (f"{new_data}/postgresql.auto.conf", system)):
        lines = [
            f"{name} = {text}\n"
            for name, text in sorted(found.items())
            if name not in NOT_CARRIED and version not in text
        ]
        write(path, "".join(["# From the cluster that this one was upgraded from.\n", *lines]))
    names = [f"conf.d/{name}" for name in os.listdir(f"{old}/conf.d") if name.endswith(".conf")]
    names = [name for name in names if name != "conf.d/carried.conf"]
    for name in ("homeport_hba.conf", "pg_hba.conf", "pg_ident.conf", *names):
        if os.path.exists(f"{old}/{name}"):
            with open(f"{old}/{name}", encoding="utf-8") as stream:
                text = stream.read().replace(old, new)
            write(f"{new}/{name}", text)
            os.chmod(f"{new}/{name}", stat.S_IMODE(os.stat(f"{old}/{name}").st_mode))


def give_to_root(example: str, folder: str) -> None:
    """Files that are root's in one configuration are so in the other, so that the role finds nothing to change."""
    for name in os.listdir(f"{example}/conf.d"):
        path = f"{folder}/conf.d/{name}"
        if os.lstat(f"{example}/conf.d/{name}").st_uid == 0 and os.path.lexists(path):
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
                found = os.fstat(stream.fileno())
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                    os.fchown(stream.fileno(), 0, 0)
