# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is of an app on a host. It is read from the host alone: the app may be declared no more."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import pwd
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.engines import (
    FACTS,
    app_of,
    of_app,
    roles_of_instances,
)
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exported
from ansible_collections.homeport.django.plugins.module_utils.common.names import FURTHER
from ansible_collections.homeport.django.plugins.module_utils.common.paths import (
    APPS_HOME,
    LOGS,
    RUNTIME,
    STATE,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    entries,
)
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster, quote_text
from ansible_collections.homeport.django.plugins.module_utils.host.release import history
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import found_in, holder_of
from ansible_collections.homeport.django.plugins.module_utils.host.sites import names_served
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import SOCKET, Supervisor

STORES = "/var/lib"
MOUNTS = "/proc/self/mountinfo"
# Of pg_shdepend, what the role has outside its own databases would keep it from being dropped.
DATABASES = """
WITH role AS (SELECT oid FROM pg_roles WHERE rolname = {name} AND NOT rolsuper)
SELECT json_build_object(
  'role', EXISTS (SELECT FROM role),
  'logins', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles WHERE rolname ~ {logins}),
  'databases', (SELECT coalesce(json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid))
                                         ORDER BY datname), '[]')
                FROM pg_database WHERE datdba IN (SELECT oid FROM role)),
  'elsewhere', (SELECT coalesce(json_agg(DISTINCT coalesce(datname, 'the whole cluster')), '[]')
                FROM pg_shdepend LEFT JOIN pg_database AS place
                  ON place.oid = CASE WHEN classid = 'pg_database'::regclass THEN objid ELSE dbid END
                WHERE refclassid = 'pg_authid'::regclass AND refobjid IN (SELECT oid FROM role)
                  AND (datdba IS NULL OR datdba NOT IN (SELECT oid FROM role))))
"""


class App:
    """Where an app's things are. Every name is exactly the app's: ``blog`` has nothing of ``blog2``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.layout = Layout({"name": name, "user": name, "home": f"{APPS_HOME}/{name}"})
        self.home = self.layout.home
        self.logs = f"{LOGS}/{name}"
        self.record = f"{history.FOLDER}/{name}.jsonl"

    def account(self) -> pwd.struct_passwd | None:
        """The app's user, unless the name is that of somebody else."""
        try:
            found = pwd.getpwnam(self.name)
        except KeyError:
            return None
        return found if found.pw_dir == f"{self.home}/home" else None

    def is_ours(self) -> bool:
        """Whether Homeport made the folder in /srv: others keep theirs there, too."""
        parts = ("releases", "shared", "slots")
        return self.account() is not None or all(os.path.isdir(f"{self.home}/{part}") for part in parts)

    def leftovers(self) -> list[str]:
        """Folders and files that no role removes, since others than the role have written into them."""
        found = [f"{RUNTIME}/{self.name}", f"{RUNTIME}/{self.name}.sock"]
        # systemd itself leaves Memcached's folder when the unit's file goes together with the last instance
        found += [f"/run/{name}" for facts in FACTS.values() for name in of_app(facts.runtime, self.name)]
        if self.is_ours():
            for pattern in (
                f"/var/log/nginx/{self.name}.access.log*",
                f"/var/log/nginx/{self.name}.error.log*",
                f"/var/lib/systemd/timers/stamp-{self.name}.*.timer",
            ):
                found += sorted(glob.glob(pattern))
            found.append(self.home)
        found += [f"{STORES}/{name}" for facts in FACTS.values() for name in of_app(facts.data, self.name)]
        return [path for path in [*found, self.logs] if os.path.lexists(path)]

    def files_of_roles(self) -> list[str]:
        """Files for the host's services that the roles have written for this app."""
        found = []
        for record in sorted(glob.glob(f"{STATE}/*.json")):
            for path in recorded(record, "paths"):
                if path.startswith("/etc/") and self.is_named_in(path) and os.path.exists(path):
                    found.append(path)
        return found

    def is_named_in(self, path: str) -> bool:
        """Whether a file is this app's by its name."""
        folder, name = os.path.split(path)
        folder = os.path.basename(folder)
        mine = [name for facts in FACTS.values() for name in of_app(facts.configuration, self.name)]
        return name.startswith(f"{self.name}.") or name.removesuffix(".conf") in mine or folder in mine

    def stores(self) -> list[str]:
        """The units of the app's own cache and broker."""
        return [
            unit
            for role in roles_of_instances()
            for unit in recorded(f"{STATE}/{role}.json", "units")
            if app_of(unit) == self.name
        ]

    def timers(self) -> list[str]:
        units = recorded(f"{STATE}/django_app.json", "units")
        own = [unit for unit in units if unit.startswith(f"{self.name}.")]
        return [unit for unit in own if os.path.exists(f"/etc/systemd/system/{unit}")]

    def domains(self) -> list[str]:
        return names_served().get(self.name, [])

    def environment(self) -> dict[str, str]:
        """The app's environment, as written for its next release or else for the live one."""
        for folder in (f"{self.home}/config", f"{self.home}/current/config"):
            try:
                with open(f"{folder}/env", encoding="utf-8") as stream:
                    return exported(stream.read())
            except OSError:
                continue
        return {}

    def release(self) -> dict[str, Any]:
        """What was written down of the live release."""
        return self.layout.record(self.layout.current)

    def removed(self) -> dict[str, Any]:
        """What was written down of the app's removal, when that was the last that happened to it."""
        try:
            with open(self.record, encoding="utf-8") as stream:
                last = json.loads(stream.read().rstrip().rpartition("\n")[2])
        except (OSError, ValueError):
            return {}
        return last if isinstance(last, dict) and last.get("verb") == "remove" else {}


def recorded(path: str, key: str) -> list[str]:
    """A list from the record of a set of files (module service_config)."""
    try:
        with open(path, encoding="utf-8") as stream:
            return list(json.load(stream).get(key, []))
    except (OSError, ValueError):
        return []


def database_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Kind, name and host of the app's database; never its password."""
    if "DATABASE_URL" not in environment:  # one can be unset
        name, path = environment.get("PGDATABASE", ""), environment.get("SQLITE_PATH", "")
        engine = "postgres" if name else "sqlite" if path else ""
        host = environment.get("PGHOST", "")
        return {"engine": engine, "name": name or path, "host": host} if engine else {}
    try:
        found = parse_database_url(environment["DATABASE_URL"])
    except ValueError:
        return {}
    return {key: str(found[key]) for key in ("engine", "name", "host")} if found["engine"] else {}


def further_of(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Kind, name and host of the app's further databases, by their variables."""
    names = sorted(name for name in environment if name.endswith(FURTHER))
    found = {name: database_of({"DATABASE_URL": environment[name]}) for name in names}
    return {name: database for name, database in found.items() if database}


def size(path: str) -> int:
    """Bytes on the disk; a file with several names counts once."""
    known = {(found.st_dev, found.st_ino): found.st_blocks * 512 for found in entries(path)}
    return sum(known.values())


def mounted_below(folder: str) -> list[str]:
    with open(MOUNTS, encoding="utf-8") as stream:
        points = [line.split()[4].encode().decode("unicode_escape") for line in stream]
    return sorted({point for point in points if f"{point}/".startswith(f"{folder}/")})


def processes_of(uid: int) -> list[int]:
    """Process ids of everything that a user runs; what has ended and waits for its parent to notice does not run."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid and state(name) not in ("Z", "X"):
                    found.append(int(name))
            except OSError:
                continue
    return found


def state(pid: str) -> str:
    """The letter by which the kernel tells what a process does."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()[0]


def programs(app: App) -> list[str]:
    """Names of the app's processes that supervisord knows."""
    return sorted(Supervisor().processes(f"{app.name}.")) if os.path.exists(SOCKET) else []


def refuse_during_deploy(app: App) -> None:
    """Stops where a deploy is under way; writes nothing, so that check mode can ask, too."""
    try:
        with open(f"{app.home}/deploy.lock", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeployError(f"{holder_of(app.name, found_in(stream))}; wait for it to end") from None
    except FileNotFoundError:
        return


def databases(cluster: Cluster, app: App, keep: Iterable[str]) -> dict[str, Any]:
    """The app's databases in the local cluster: those that belong to the role of its name."""
    logins = quote_text(rf"^{app.name}\.[0-9a-f]{{8}}$")
    found: dict[str, Any] = json.loads(
        cluster.ask(DATABASES.format(name=quote_text(app.name), logins=logins))
    )
    kept = set(keep)
    found["kept"] = [entry["name"] for entry in found["databases"] if entry["name"] in kept]
    found["databases"] = [entry for entry in found["databases"] if entry["name"] not in kept]
    found["role"] = found["role"] and not found["kept"]
    if found["role"] and found["elsewhere"]:
        raise DeployError(
            f"The PostgreSQL role {app.name} owns or may use something outside its own databases "
            f"({', '.join(found['elsewhere'])}); drop that first (DROP OWNED), or give "
            "it to a role that is no superuser (REASSIGN OWNED)"
        )
    return found


def look(app: App, cluster: Cluster | None, keep: Iterable[str] = (), vhost: bool = False) -> dict[str, Any]:
    """What there is of the app on this host; whether RabbitMQ has something of it is asked elsewhere."""
    refuse_during_deploy(app)
    mounts = mounted_below(app.home)
    if mounts:
        raise DeployError(
            f"{', '.join(mounts)}: mounted in the app's folder; unmount it, and it is left as it is"
        )
    account = app.account()
    release = app.release()
    found: dict[str, Any] = {
        "paths": [{"path": path, "bytes": size(path)} for path in app.leftovers()],
        "files": app.files_of_roles(),
        "timers": app.timers(),
        "domains": app.domains(),
        "programs": programs(app),
        "stores": app.stores(),
        "vhost": app.name if vhost else "",
        "processes": len(processes_of(account.pw_uid)) if account else 0,
        "user": app.name if account else "",
        "release": release.get("id", ""),
        "revision": release.get("revision", ""),
        "database": database_of(app.environment()),
        "further": list(further_of(app.environment()).values()),
        "databases": [],
        "kept": [],
        "role": False,
        "removed": app.removed(),
    }
    if cluster:
        known = databases(cluster, app, keep)
        found.update({key: known[key] for key in ("databases", "kept", "role")})
    return found
