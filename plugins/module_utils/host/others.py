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

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME
from ansible_collections.homeport.django.plugins.module_utils.common.sandboxed import (
    nginx_paths,
    program_paths,
)
from ansible_collections.homeport.django.plugins.module_utils.host.given import (
    answer,
    read_state,
    recorded_paths,
    unit_states,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release import history as release_history

LISTENS = "0A"
# 127.0.0.0/8 and ::1, as the kernel writes them; also the first as an address of IPv6.
LOOPBACK = re.compile(r"(?:0000000000000000FFFF0000)?[0-9A-F]{6}7F|0{24}01000000")
# Of roles: which databases they have something in, or a right.
CLUSTER = """
SELECT json_build_object(
  'databases', (SELECT coalesce(json_object_agg(datname, json_build_object(
      'owner', pg_get_userbyid(datdba),
      'new', datconnlimit = 0 AND (SELECT rolsuper FROM pg_roles WHERE pg_roles.oid = datdba),
      'public', EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0))), '{}')
    FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'),
  'roles', (SELECT coalesce(json_object_agg(rolname, json_build_object(
      'super', rolsuper, 'password', rolpassword IS NOT NULL,
      'member', EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid),
      'in', (SELECT coalesce(json_agg(DISTINCT datname), '[]') FROM pg_shdepend s JOIN pg_database d
             ON d.oid = CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid ELSE s.dbid END
             WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid))), '{}')
    FROM pg_authid r WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'postgres'))
"""
# The rules of pg_hba.conf that PostgreSQL's packages come with.
PACKAGED = re.compile(
    r"(local\s+(all|replication)\s+(all|postgres)\s+peer"
    r"|host\s+(all|replication)\s+all\s+(127\.0\.0\.1/32|::1/128)\s+(scram-sha-256|md5))"
)


# What Homeport puts where others put programs, too.
COMMANDS = ("/usr/local/bin/uv",)
# Users, virtual hosts and queues of a RabbitMQ that nobody has used since its package was installed.
UNUSED_RABBITMQ = "{1,1,0}"
RABBITMQ = (
    "{length(rabbit_auth_backend_internal:list_users()), length(rabbit_vhost:list_names()), "
    "length(rabbit_amqqueue:list())}."
)


def others(sets: Iterable[str], homes: str = APPS_HOME) -> dict[str, Any]:
    """What is there; of some services only what Homeport has not set up yet."""
    sets = set(sets)
    return {
        "accounts": accounts(homes),
        "folders": folders(homes, recorded_paths("django_app"), release_history.FOLDER),
        "commands": [
            path for path in COMMANDS if os.path.lexists(path) and path not in recorded_paths("python")
        ],
        **listeners(),
        "nginx": [] if "nginx" in sets else own_nginx(),
        "hidden": {} if "nginx" in sets else hidden_paths(),
        "sites": own_sites(recorded_paths("nginx")),
        "programs": {} if "supervisord" in sets else own_programs(),
        "services": services(sets),
        "postgres": postgres("postgres" in sets),
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


def listeners(proc: str = "/proc") -> dict[str, Any]:
    """Which programs listen on each TCP port, by which unit of systemd they were started, and which ports are open to
    this host alone."""
    ports: dict[str, str] = {}
    public = set()
    for table in ("tcp", "tcp6"):
        for words in map(str.split, read(f"{proc}/net/{table}").splitlines()[1:]):
            address, _colon, port = words[1].rpartition(":")
            if words[3] == LISTENS:
                ports[words[9]] = number = str(int(port, 16))
                if not LOOPBACK.fullmatch(address):
                    public.add(number)
    found: dict[str, set[str]] = {port: set() for port in ports.values()}
    units: dict[str, str] = {}
    for link in glob.iglob(f"{proc}/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            inode = os.readlink(link).removeprefix("socket:[").removesuffix("]")
            if inode in ports:
                process = os.path.dirname(os.path.dirname(link))
                name = read(f"{process}/comm").strip()
                found[ports[inode]].add(name)
                units[name] = unit_of(read(f"{process}/cgroup"))
    return {
        "listeners": {port: sorted(names) for port, names in found.items()},
        "local": sorted(set(found) - public),
        "units": {name: unit for name, unit in units.items() if unit},
    }


def unit_of(groups: str) -> str:
    """The service of the system that a process belongs to, from its control groups."""
    found = re.search(r"/system\.slice/(?:[^/\n]+\.slice/)*([^/\n]+\.service)(?:/|$)", groups, re.MULTILINE)
    return found[1] if found else ""


def own_nginx(folder: str = "/etc/nginx") -> list[str]:
    """The files of an nginx that is there which are not as its package left them."""
    if not os.path.exists(f"{folder}/nginx.conf"):
        return []
    paths = [
        f"{folder}/nginx.conf",
        *sorted([*glob.glob(f"{folder}/conf.d/*.conf"), *glob.glob(f"{folder}/sites-enabled/*")]),
    ]
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


def own_sites(recorded: Iterable[str], folder: str = "/etc/nginx") -> list[str]:
    """Names of sites (files of sites-enabled, without .conf) that are not Homeport's."""
    files = set(glob.glob(f"{folder}/sites-enabled/*.conf")) - set(recorded)
    return sorted(os.path.basename(path).removesuffix(".conf") for path in files)


def own_programs(folder: str = "/etc/supervisor") -> dict[str, str]:
    """Files with programs of a supervisord that is there, each with the first path that its sandbox would hide."""
    found = {}
    for path in sorted(glob.glob(f"{folder}/conf.d/*.conf")):
        found[path] = next(iter(program_paths(read(path))), "")
    main = read(f"{folder}/supervisord.conf")
    if re.search(r"^\[(?:fcgi-)?program:", main, re.MULTILINE):
        found[f"{folder}/supervisord.conf"] = next(iter(program_paths(main)), "")
    return found


def services(sets: set[str], units: str = "/lib/systemd/system") -> list[str]:
    """The engines whose packaged service runs, or is started at boot, and which Homeport has not set up: others use
    them. systemd is asked only for those that are installed (in ``units``)."""
    packaged = {
        f"{facts.packaged}.service": engine
        for engine, facts in FACTS.items()
        if facts.packaged and facts.role not in sets and os.path.exists(f"{units}/{facts.packaged}.service")
    }
    found = unit_states(list(packaged))
    used = [engine for unit, engine in packaged.items() if any(read_state(unit, found.get(unit, {})))]
    return [engine for engine in used if engine != "rabbitmq" or not unused_rabbitmq()]


def unused_rabbitmq() -> bool:
    """Whether it is as its package has left it, such as by a run that was interrupted."""
    return "".join(answer(["rabbitmqctl", "--silent", "eval", RABBITMQ]).split()) == UNUSED_RABBITMQ


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


def postgres(ours: bool) -> dict[str, Any]:
    """Databases and roles that are there; before Homeport has set it up also rules of pg_hba.conf that are not the
    packages'."""
    files = sorted(glob.glob("/etc/postgresql/*/*/pg_hba.conf"))
    lines = [line.strip() for path in files for line in read(path).splitlines()] if not ours else []
    rules = [
        " ".join(line.split()) for line in lines if line and line[0] != "#" and not PACKAGED.fullmatch(line)
    ]
    try:
        found = dict(json.loads(Cluster().ask(CLUSTER, seconds=5))) if files else {}
    except DeployError:
        found = {}  # it does not run
    return {"databases": {}, "roles": {}, **found, "rules": rules, "ours": ours}


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
