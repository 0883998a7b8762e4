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

from ansible_collections.homeport.django.plugins.module_utils import release_history
from ansible_collections.homeport.django.plugins.module_utils.given import answer, recorded_paths
from ansible_collections.homeport.django.plugins.module_utils.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.release_layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.sandboxed import nginx_paths

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


def others(sets: Iterable[str], homes: str = "/srv") -> dict[str, Any]:
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


def objections(
    apps: dict[str, Any],
    databases: Iterable[str],
    found: dict[str, Any],
    taken: Iterable[str],
    host: str,
    nginx_sandbox: bool = True,
) -> list[str]:
    """What of it an app, or a service for the apps, would take: lines for the operator. ``taken`` are the words of
    ``take_over``, by which the operator has said that it may."""
    taken, told = set(taken), []
    known = set(found["domains"])  # apps that are there already
    for name, app in sorted(apps.items()):
        if app["user"] in found["others"]["accounts"]:
            home = found["others"]["accounts"][app["user"]]
            told.append(
                f"{host} has a user {app['user']} with the home {home}: give the app {name} another name"
            )
        if name in found["others"]["folders"] and name not in known:
            told.append(
                f"{host} has a /srv/{name} that is not Homeport's: move it away, or give the app another name"
            )
    for port, names in wanted_ports(apps).items():
        owners = found["others"]["listeners"].get(port)
        if owners is not None and not {"nginx", "supervisord"} & set(owners):
            owner = ", ".join(owners) or "another program"
            remedy = (
                f"systemctl disable --now {owner}"
                if len(owners) == 1
                else f"ss -ltnp 'sport = :{port}' names it"
            )
            told.append(
                f"port {port} of {host} belongs to {owner}, and {', '.join(names)} would be served there: stop it for "
                f"good ({remedy}), or have it listen elsewhere"
            )
    proxied = any(app["proxied"] for app in apps.values())
    files = found["others"]["nginx"]
    if files and proxied and "nginx" not in taken:
        told.append(
            f"nginx on {host} serves something already ({', '.join(files)}): Homeport replaces nginx.conf and removes "
            "sites-enabled/default, and leaves other sites as they are. -e take_over=nginx goes on"
        )
    for path, hidden in found["others"]["hidden"].items() if proxied and nginx_sandbox else ():
        told.append(
            f"nginx on {host} uses {hidden} ({path}), and Homeport's nginx does not see /home, /root and /run/user: "
            "move it, such as to /srv, or set nginx_sandbox to false"
        )
    postgres_found = found["others"]["postgres"]
    rules = postgres_found.get("rules", [])
    wanted = list(databases)
    if rules and wanted and "pg_hba" not in taken:
        told.append(
            f"PostgreSQL on {host} lets others in by {len(rules)} rule{'' if len(rules) == 1 else 's'} of pg_hba.conf "
            f"({rules[0]}{', ...' if len(rules) > 1 else ''}), which Homeport's own file replaces: name who has to "
            "get in in postgres_clients; -e take_over=pg_hba goes on"
        )
    for name in wanted:
        owner = postgres_found.get("databases", {}).get(name)
        if owner and f"database:{name}" not in taken:
            told.append(
                f"PostgreSQL on {host} has a database {name} already, of {owner}: choose another database.name, or go "
                f"on with -e take_over=database:{name}, and it becomes the app's"
            )
    return told


def wanted_ports(apps: dict[str, Any]) -> dict[str, list[str]]:
    """The ports at which visitors meet each app."""
    found: dict[str, list[str]] = {}
    for name, app in sorted(apps.items()):
        if app["proxied"]:
            ports = ["80", *(["443"] if app["tls"]["certificate"] != "none" else [])]
        else:
            port = re.fullmatch(r"tcp://.*:(\d+)", app["web"]["socket"])
            ports = [port[1]] if port else []
        for number in ports:
            found.setdefault(number, []).append(name)
    return found
