# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a host has that is not Homeport's, looked at before anything is changed: none of it is taken over in silence."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import pwd
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.common.sandboxed import nginx_paths
from ansible_collections.homeport.django.plugins.module_utils.host.given import answer, recorded_paths
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history

LISTENS = "0A"
DATABASES = """
SELECT coalesce(json_object_agg(datname, pg_get_userbyid(datdba)), '{}') FROM pg_database
WHERE NOT datistemplate AND datname <> 'postgres';
"""
# The rules of pg_hba.conf that PostgreSQL's packages come with.
PACKAGED = re.compile(
    r"(local\s+(all|replication)\s+(all|postgres)\s+peer"
    r"|host\s+(all|replication)\s+all\s+(127\.0\.0\.1/32|::1/128)\s+(scram-sha-256|md5))"
)


def others(sets: Iterable[str], homes: str = APPS_HOME) -> dict[str, Any]:
    """What is there; of services only what Homeport has not set up yet."""
    sets = set(sets)
    return {
        "accounts": accounts(homes),
        "folders": folders(homes, recorded_paths("django_app"), release_history.FOLDER),
        "listeners": {} if "nginx" in sets else listeners(),
        "nginx": [] if "nginx" in sets else own_nginx(),
        "hidden": {} if "nginx" in sets else hidden_paths(),
        "postgres": {} if "postgres" in sets else postgres(),
    }


def accounts(homes: str) -> dict[str, str]:
    """Homes of the users who are no app's, by their names."""
    return {
        user.pw_name: user.pw_dir for user in pwd.getpwall() if user.pw_dir != f"{homes}/{user.pw_name}/home"
    }


def folders(homes: str, recorded: Iterable[str], deploys: str) -> list[str]:
    """What stands where an app of that name would be, and was not made by Homeport, which has a record of each app."""
    names = set(os.listdir(homes) if os.path.isdir(homes) else [])
    ours = {os.path.basename(path) for path in recorded if os.path.dirname(path) == homes}
    return sorted(name for name in names - ours if not os.path.exists(f"{deploys}/{name}.jsonl"))


def listeners(proc: str = "/proc") -> dict[str, list[str]]:
    """Which programs listen on each TCP port, on other than loopback addresses."""
    ports: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for words in map(str.split, read(f"{proc}/net/{table}").splitlines()[1:]):
            address, _colon, port = words[1].rpartition(":")
            if words[3] == LISTENS and not address.endswith(("0100007F", "00000000000000000000000001000000")):
                ports[words[9]] = str(int(port, 16))
    found: dict[str, set[str]] = {port: set() for port in ports.values()}
    for link in glob.iglob(f"{proc}/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            inode = os.readlink(link).removeprefix("socket:[").removesuffix("]")
            if inode in ports:
                found[ports[inode]].add(read(f"{os.path.dirname(os.path.dirname(link))}/comm").strip())
    return {port: sorted(names) for port, names in found.items()}


def own_nginx(folder: str = "/etc/nginx") -> list[str]:
    """The files of an nginx that is there which are not as its package left them."""
    if not os.path.exists(f"{folder}/nginx.conf"):
        return []
    paths = [f"{folder}/nginx.conf", *sorted(glob.glob(f"{folder}/sites-enabled/*"))]
    packaged = answer(["dpkg-query", "--show", "--showformat=${Conffiles}\n", "nginx-common"])
    known = dict(line.split()[:2] for line in packaged.splitlines() if len(line.split()) >= 2)
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            real = os.path.realpath(path)
            with open(real, "rb") as stream:
                digest = hashlib.md5(stream.read(), usedforsecurity=False).hexdigest()
            if known.get(real) != digest:
                found.append(path)
    return found


def hidden_paths(folder: str = "/etc/nginx") -> dict[str, str]:
    """The files of an nginx that is there which name what Homeport's nginx does not see, each with the first path; not
    the one that Homeport removes."""
    found = {}
    files = {*glob.glob(f"{folder}/sites-enabled/*"), *glob.glob(f"{folder}/conf.d/*.conf")}
    for path in sorted(files - {f"{folder}/sites-enabled/default"}):
        paths = nginx_paths(read(path))
        if paths:
            found[path] = paths[0]
    return found


def postgres() -> dict[str, Any]:
    """Owners of the databases that are there, and rules of pg_hba.conf that are not the packages'."""
    files = sorted(glob.glob("/etc/postgresql/*/*/pg_hba.conf"))
    lines = [line.strip() for path in files for line in read(path).splitlines()]
    rules = [
        " ".join(line.split()) for line in lines if line and line[0] != "#" and not PACKAGED.fullmatch(line)
    ]
    try:
        databases = dict(json.loads(Cluster().ask(DATABASES, seconds=5))) if files else {}
    except DeployError:
        databases = {}  # it does not run
    return {"databases": databases, "rules": rules}


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
