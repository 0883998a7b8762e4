# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The cluster that the apps use, as one of a newer PostgreSQL: prepared while it serves, upgraded while it is stopped.

pg_upgrade works on the cluster in its place, by hard links. The cluster is copied before, while it serves, and then
what has changed until it was stopped: that copy is the way back. By ``link`` there is no copy, and dumps.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.extension_packages import (
    VERSION,
    package_of,
)
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Refused, forked
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import Archive
from ansible_collections.homeport.django.plugins.module_utils.host.backup.point_in_time import (
    DATABASES,
    DUMPING,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.restore import FLAG
from ansible_collections.homeport.django.plugins.module_utils.host.copies import create
from ansible_collections.homeport.django.plugins.module_utils.host.given import answer
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, tail
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import PORT, clusters
from ansible_collections.homeport.django.plugins.module_utils.host.psql import LONG, Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import folder_size
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import start, stop

STATE = "/var/lib/homeport/upgrades"
RECORD = f"{STATE}/postgresql.json"
CLOSED = f"{STATE}/closed.json"  # on an app server, what is stopped meanwhile
WORK = "/var/lib/postgresql/homeport-upgrade"  # where pg_upgrade writes what it has to say
BACKUPS = "/var/backups/homeport"
SPARE = 1 << 30  # bytes that stay free
ANSWER = 120  # seconds that a cluster may take to answer once it was started
# Seconds of an interruption on a host with nothing else to do, as measured on two cores: stopping and starting apps and
# cluster, and pg_upgrade; for each table; and for each GiB, whose files are linked or looked at.
BASE, EACH_TABLE, EACH_GIB = 14, 0.004, 1
ABOUT = """
SELECT json_build_object(
  'databases', (SELECT json_object_agg(datname, pg_database_size(oid)) FROM pg_database WHERE datallowconn),
  'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
  'checksums', current_setting('data_checksums'), 'segment', current_setting('wal_segment_size'),
  'prepared', (SELECT count(*) FROM pg_prepared_xacts),
  'tablespaces', (SELECT count(*) FROM pg_tablespace WHERE spcname !~ '^pg_')
) FROM pg_database WHERE datname = 'template1';
"""
# Of postgresql.conf, what is each version's own.
NOT_CARRIED = (
    "data_directory", "hba_file", "ident_file", "external_pid_file", "port", "stats_temp_directory", "cluster_name",
)  # fmt: skip
RECENT = 2.0  # seconds before a copy in which a file may have changed once more without another time


def record() -> dict[str, Any]:
    """How far an upgrade came: its ``phase`` is prepared, stopped, switched, undoing or undone."""
    try:
        with open(RECORD, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}


def write_whole(path: str, found: Mapping[str, Any]) -> None:
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as stream:
        stream.write(json.dumps(found, indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(f"{path}.new", path)


def close_apps(names: list[str]) -> dict[str, Any]:
    """Nothing of the apps runs, and visitors are told so; those that were closed already stay so afterwards."""
    try:
        with open(CLOSED, encoding="utf-8") as stream:
            known = json.load(stream)  # of a run that was interrupted, since which the host may have rebooted
    except FileNotFoundError:
        there = [name for name in names if os.path.isdir(f"{App(name).home}/maintenance")]
        ours = [name for name in there if not os.path.exists(f"{App(name).home}/maintenance/on")]
        known = {"apps": there, "ours": ours, "since": time.time()}
        write_whole(CLOSED, known)
    for name in known["ours"]:
        with open(f"{App(name).home}/maintenance/on", "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(FLAG)
    for name in known["apps"]:
        stop(App(name))
    return {"changed": True}


def open_apps() -> dict[str, Any]:
    """Starts what was stopped, and returns for how many seconds visitors were kept out."""
    try:
        with open(CLOSED, encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return {"changed": False, "seconds": 0}
    apps = {name: App(name) for name in found["apps"]}
    failed = []
    for app in apps.values():
        try:
            start(app)
        except (DeployError, OSError, xmlrpc.client.Error) as error:  # the other apps are opened all the same
            failed.append(f"{app.name} was not started: {error}")
    for name in found["ours"]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{apps[name].home}/maintenance/on")
    os.unlink(CLOSED)
    if failed:
        raise DeployError("\n".join(failed))
    return {"changed": True, "seconds": round(time.time() - found["since"], 1)}


def call(words: list[str], what: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise DeployError(f"{what} failed:\n{tail(plain(done.stdout + done.stderr))}")
    return done.stdout


def candidate(package: str) -> str:
    """The version of a package that the host would install; empty where its distribution has none."""
    found = re.search(r"^ +Candidate: (\S+)", answer(["apt-cache", "policy", package]), re.MULTILINE)
    return "" if not found or found[1] == "(none)" else found[1]


def newest_packaged() -> str:
    """The version of PostgreSQL that the host's distribution supports."""
    found = re.match(r"(\d+)", candidate("postgresql"))
    return found[1] if found else ""


class Upgrade:
    """From one version of the cluster to another. ``mode``: copy or link."""

    def __init__(self, old: str, new: str, cluster: str, mode: str) -> None:
        self.old = Archive({"version": old, "cluster": cluster})
        self.new = Archive({"version": new, "cluster": cluster})
        self.mode = mode
        self.live = Cluster()
        self.copy = f"{self.old.data}.homeport-kept"
        self.settings = f"{WORK}/settings-{old}"

    @classmethod
    def recorded(cls) -> Upgrade:
        found = record()
        if not found:
            raise DeployError("no upgrade of PostgreSQL was made on this host, or its way back was removed")
        return cls(found["old"], found["new"], found["cluster"], found["mode"])

    def note(self, phase: str, **more: Any) -> None:
        base = {"old": self.old.version, "new": self.new.version, "cluster": self.old.cluster}
        write_whole(RECORD, {**base, "mode": self.mode, "phase": phase, **more})

    # Before

    def look(self, named: Mapping[str, str]) -> dict[str, Any]:
        """What would be upgraded, and how; refuses what could not work. ``named``: packages by extension."""
        for archive in (self.old, self.new):
            if os.path.islink(archive.data) or os.path.ismount(archive.data):
                raise DeployError(
                    f"{archive.data} is a link or a disk of its own: upgrade that cluster by hand"
                )
        about = json.loads(self.live.ask(ABOUT))
        if about["prepared"] or about["tablespaces"]:
            what = "prepared transactions" if about["prepared"] else "tablespaces of its own"
            raise DeployError(f"the cluster has {what}, which are not upgraded here: upgrade it by hand")
        size = sum(about["databases"].values())
        tables = sum(int(self.live.look(name, "tables")) for name in about["databases"])
        place = os.path.dirname(self.old.data)
        needed = SPARE + (int(size * 1.1) if self.mode == "copy" else size // 2)
        free = shutil.disk_usage(place).free
        if self.mode == "copy":
            free += folder_size(self.copy)  # of an earlier run, which this one goes on with
        if free < needed:
            way = (
                "-e mode=link needs less, and has no other way back than dumps" if self.mode == "copy" else ""
            )
            raise DeployError(
                f"no space below {place}: {free >> 20} MiB are free and {needed >> 20} MiB needed. {way}".rstrip(
                    ". "
                )
            )
        for unit in ("homeport-archive-full", "homeport-archive-incremental", "homeport-archive-drill"):
            if (
                answer(["systemctl", "show", "--property=ActiveState", "--value", unit]).strip()
                == "activating"
            ):
                raise DeployError(f"{unit} is at work: wait for it to end, and run this again")
        seconds = pace() * (BASE + EACH_TABLE * tables + EACH_GIB * (size >> 30))
        return {
            "old": self.old.version,
            "new": self.new.version,
            "cluster": self.old.cluster,
            "mode": self.mode,
            "bytes": size,
            "databases": len(about["databases"]) - 2,
            "tables": tables,
            "packages": [
                f"postgresql-{self.new.version}",
                *self.extension_packages(about["databases"], named),
            ],
            "seconds": round(seconds),
            "replaced": self.replaced(),
        }

    def extension_packages(self, databases: Mapping[str, int], named: Mapping[str, str]) -> list[str]:
        """The packages of the new version that have the extensions of the databases."""
        names = {name for database in databases for name in self.live.look(database, "extensions")}
        found = set()
        for name in sorted(names):
            if os.path.exists(f"/usr/share/postgresql/{self.new.version}/extension/{name}.control"):
                continue
            package = package_of(name, named).replace(VERSION, self.old.version)
            if not package:
                path = f"/usr/share/postgresql/{self.old.version}/extension/{name}.control"
                package = answer(["dpkg", "--search", os.path.realpath(path)]).partition(":")[0]
            if package in ("", f"postgresql-{self.old.version}"):
                if package:
                    continue  # comes with the server
                raise DeployError(
                    f"the extension {name} is of no package: install it for PostgreSQL {self.new.version} first"
                )
            wanted = package.replace(f"-{self.old.version}", f"-{self.new.version}")
            if not candidate(wanted):
                raise DeployError(
                    f"the extension {name} is of the package {package}, and there is no {wanted}: install one, or drop "
                    "the extension (and take it out of database.extensions) first"
                )
            found.add(wanted)
        return sorted(found)

    def replaced(self) -> str:
        """The cluster of the new version that is there already, which has to be empty or of an undone upgrade."""
        there = {(found.version, found.name): found for found in clusters()}
        found = there.get((self.new.version, self.new.cluster))
        if not found:
            return ""
        name = f"{found.version}/{found.name}"
        known = record()
        # one that runs on another port than the apps' is in use by somebody
        if known.get("new") == found.version and (found.port == PORT or not found.online):
            undone = known["phase"] == "undone"
            return f"{name}, which {'was left when an upgrade was undone' if undone else 'an interrupted run has left'}"
        unit = f"postgresql@{found.version}-{found.name}"
        if not found.online:
            call(["systemctl", "start", unit], f"starting the cluster {name}")
        try:
            beside = Cluster("/var/run/postgresql", found.port, self.new.programs)
            names = json.loads(beside.ask("SELECT json_agg(datname) FROM pg_database WHERE datallowconn;"))
            empty = not set(names) - {"postgres", "template1"} and not beside.look("postgres", "tables")
        finally:
            if not found.online:
                call(["systemctl", "stop", unit], f"stopping the cluster {name}")
        if not empty:
            raise DeployError(
                f"the host has a cluster {name} already, and it is not empty: it would be replaced. Remove it "
                f"(pg_dropcluster --stop {found.version} {found.name}) if nobody needs it"
            )
        return f"{name}, which is empty"

    def prepare(self) -> str:
        """Everything that can be done while the cluster serves; returns the folder of the dumps, if any."""
        self.replaced()
        self.drop(self.new)
        self.note("prepared")
        try:
            self.prepare_new()
            return self.dump(time.strftime("%Y%m%dT%H%M%S", time.gmtime())) if self.mode == "link" else ""
        except BaseException:
            self.drop(self.new)  # it has the port of the apps, and might be taken for theirs
            raise

    def prepare_new(self) -> None:
        self.create()
        self.folder()
        old, new = self.folder_of(self.old), self.folder_of(self.new)
        self.as_postgres("carrying over the settings", carry, old, new, self.old.data, self.new.data)
        give_to_root(old, new)
        self.starts(self.old, self.new)
        what = f"PostgreSQL {self.new.version} with the settings of {self.old.version} (postgres_settings)"
        self.new.run(["postgres", "-D", new, "-C", "max_connections"], what)
        self.pg_upgrade(["--check"])
        self.as_postgres("keeping the settings", synchronize, old, self.settings)
        if self.mode == "copy":
            self.as_postgres("copying the cluster", synchronize, self.old.data, self.copy)
        # what is on the disk already need not be written while everybody waits
        call(["sync", "--file-system", os.path.dirname(self.old.data)], "writing it to the disk")
        self.live.ask("CHECKPOINT;", LONG)

    def create(self) -> None:
        about = json.loads(self.live.ask(ABOUT))
        initdb = [f"--wal-segsize={size_mb(about['segment'])}"]
        if about["checksums"] == "on":
            initdb.append("--data-checksums")
        elif int(self.new.version) >= 18:
            initdb.append("--no-data-checksums")
        words = ["pg_createcluster", self.new.version, self.new.cluster, f"--encoding={about['encoding']}"]
        words += [f"--lc-collate={about['collate']}", f"--lc-ctype={about['ctype']}", "--", *initdb]
        call(words, f"making a cluster of PostgreSQL {self.new.version}")

    def dump(self, stamp: str) -> str:
        """By link, what the databases held before: one file of each."""
        folder = f"{BACKUPS}/postgresql-{self.old.version}-{stamp}"
        os.makedirs(folder, mode=0o700)
        for database, owner in json.loads(self.live.ask(DATABASES)).items():
            words = ["pg_dump", "--format=custom", "--compress=1", "--no-password"]
            with create(f"{folder}/{database}.pgdump") as stream, self.live.login(database, [owner]) as login:
                login.run(words, f"dumping {database}", stdout=stream, seconds=DUMPING)
        return folder

    # While it is stopped

    def switch(self) -> float:
        """The interruption; returns its seconds. What fails before the new cluster has started is undone."""
        started = time.monotonic()
        if record()["phase"] == "switched":  # by a run that was interrupted
            self.starts(self.new, self.old)
            self.systemctl("start", self.new)
            self.wait()
            return round(time.monotonic() - started, 1)
        # recovery to a time ends at the first commit after it: until here, every time can be restored
        self.live.ask("SELECT txid_current();")
        self.note("stopped")
        try:
            self.systemctl("stop", self.old)
            if self.mode == "copy":
                self.as_postgres("copying the cluster", synchronize, self.old.data, self.copy)
            self.pg_upgrade(["--link"])
            # not before: until here the one that has the apps' port is the one that is meant
            self.set_port(self.new, PORT)
        except BaseException:
            self.back()
            raise
        # Before starts(): after a reboot in between, the new cluster may have served.
        self.note("switched")
        try:
            self.starts(self.new, self.old)
            self.systemctl("start", self.new)
            self.wait()
        except DeployError as error:
            if self.mode == "link":
                raise DeployError(
                    f"{error}\nThe files are those of PostgreSQL {self.new.version} now: solve what it says, and run "
                    "this again"
                ) from error
            self.undo()
            raise DeployError(
                f"{error}\nPostgreSQL {self.old.version} serves again; nothing is lost"
            ) from error
        return round(time.monotonic() - started, 1)

    def pg_upgrade(self, options: list[str]) -> None:
        ports = {(found.version, found.name): str(found.port) for found in clusters()}
        words = ["pg_upgrade", f"--old-bindir={self.old.programs}", f"--new-bindir={self.new.programs}"]
        words += [f"--old-datadir={self.folder_of(self.old)}", f"--new-datadir={self.folder_of(self.new)}"]
        words += [f"--old-port={ports[self.old.version, self.old.cluster]}", "--new-port=54328"]
        words += [f"--jobs={len(os.sched_getaffinity(0))}", *options]
        # Nobody connects over TLS, whose key it may not read. The new cluster has no place in the archive yet, and
        # little memory while both run.
        words.append("--old-options=-c ssl=off")
        words.append("--new-options=-c ssl=off -c archive_mode=off -c shared_buffers=128MB")
        # it writes where it is
        self.new.run(["sh", "-ec", f'cd {WORK}; exec "$@"', "-", *words], "pg_upgrade")

    def starts(self, first: Archive, second: Archive) -> None:
        """``first`` starts with the host, and ``second`` does not. Both may have the port of the apps."""
        for archive, text in ((second, "manual\n"), (first, "auto\n")):
            path = f"{self.folder_of(archive)}/start.conf"
            self.as_postgres("setting what starts", write, path, text)

    def set_port(self, archive: Archive, port: int = 0) -> None:
        """Its port, by default one that no other cluster has."""
        taken = {found.port for found in clusters()}
        free = next(port for port in range(PORT + 1, 65536) if port not in taken)
        words = ["pg_conftool", archive.version, archive.cluster, "set", "port", str(port or free)]
        call(words, "setting the port")
        call(["systemctl", "daemon-reload"], "systemctl daemon-reload")

    # After

    def finish(self) -> float:
        """Statistics, which the new cluster has none of; and the copy in the place of what was linked."""
        started = time.monotonic()
        self.set_port(self.old)
        if self.mode == "copy":
            self.as_postgres("putting the copy in its place", replace, self.copy, self.old.data)
        for database, owner in json.loads(self.live.ask(DATABASES)).items():
            with self.live.login(database, [owner]) as login:
                words = [
                    "vacuumdb",
                    "--analyze-in-stages",
                    "--quiet",
                    "--no-password",
                    f"--dbname={database}",
                ]
                login.run(words, f"statistics of {database}", seconds=DUMPING)
        self.note("switched", finished=True)
        return round(time.monotonic() - started, 1)

    def back(self) -> None:
        """The old cluster, before the new one has ever served."""
        for archive in (self.old, self.new):  # a pg_upgrade that was killed may have left its servers
            self.systemctl("stop", archive)
            if runs(archive):
                archive.run(
                    ["pg_ctl", "stop", "-m", "immediate", "-D", archive.data], "stopping what was left"
                )
        self.as_postgres("putting the control file back", unlinked, f"{self.old.data}/global/pg_control")
        self.starts(self.old, self.new)
        self.systemctl("start", self.old)
        self.wait()
        self.drop(self.new)
        self.note("prepared")

    def undo(self) -> None:
        """The old cluster as it was when it was stopped; the new one stays beside it, stopped."""
        if self.mode == "link":
            raise DeployError(
                "by link there is no other way back than the dumps that were made before: restore those, or the apps' "
                f"backups, into a cluster of PostgreSQL {self.old.version}"
            )
        self.note("undoing")
        self.systemctl("stop", self.new)
        self.as_postgres("putting the copy in its place", replace, self.copy, self.old.data)
        self.as_postgres("putting the settings back", synchronize, self.settings, self.folder_of(self.old))
        give_to_root(self.folder_of(self.new), self.folder_of(self.old))
        self.set_port(self.new)
        self.starts(self.old, self.new)
        self.systemctl("start", self.old)
        self.wait()
        self.note("undone")

    def confirm(self) -> None:
        """What does not serve is not needed any more: the way back, or what a failed upgrade has left."""
        self.drop(self.old if record()["phase"] == "switched" else self.new)
        self.as_postgres("removing what was kept", shutil.rmtree, WORK, True)
        self.as_postgres("removing the copy", shutil.rmtree, self.copy, True)
        os.unlink(RECORD)

    # Steps

    def folder_of(self, archive: Archive) -> str:
        return f"/etc/postgresql/{archive.version}/{archive.cluster}"

    def folder(self) -> None:
        account = pwd.getpwnam("postgres")
        if not os.path.isdir(WORK):
            os.mkdir(WORK, 0o700)
            os.chown(WORK, account.pw_uid, account.pw_gid)

    def as_postgres(self, what: str, work: Callable[..., Any], *arguments: Any) -> None:
        """Among its own files PostgreSQL's user works, and not root."""
        account = pwd.getpwnam("postgres")
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "umask": 0o077}
        try:
            forked(identity, DUMPING, work, *arguments)
        except Refused as error:
            raise DeployError(f"{what}: {error}") from None

    def drop(self, archive: Archive) -> None:
        folder = self.folder_of(archive)
        if os.path.exists(f"{folder}/postgresql.conf"):
            words = ["pg_dropcluster", "--stop", archive.version, archive.cluster]
            call(words, f"removing the cluster {archive.version}/{archive.cluster}")
        if os.path.isdir(folder):  # files of the roles, which that leaves
            self.as_postgres("removing its settings", shutil.rmtree, folder)

    def systemctl(self, verb: str, archive: Archive) -> None:
        call(["systemctl", verb, f"postgresql@{archive.version}-{archive.cluster}"], f"systemctl {verb}")

    def wait(self) -> None:
        until = time.monotonic() + ANSWER
        while True:
            try:
                self.live.ask("SELECT 1;", seconds=5)
                return
            except DeployError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


def runs(archive: Archive) -> bool:
    """Whether the cluster has a server; one that was killed leaves its postmaster.pid, which pg_ctl cannot stop."""
    if not os.path.exists(f"{archive.data}/postmaster.pid"):
        return False
    try:
        archive.run(["pg_ctl", "status", "-D", archive.data], "looking for a server")
    except DeployError:
        return False
    return True


def pace() -> float:
    """How many times as long as on an idle host everything takes now: the time of a command beside its work."""
    began = os.times()
    clusters()
    ended = os.times()
    needed = ended.children_user + ended.children_system - began.children_user - began.children_system
    return max(1.0, (ended.elapsed - began.elapsed) / max(needed, 0.05))


def size_mb(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(MB|GB)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "GB" else 1)


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


def replace(source: str, target: str) -> None:
    """Puts a folder in the place of another; nothing where that has been done."""
    if os.path.isdir(source):
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.rename(source, target)


def unlinked(control: str) -> None:
    """pg_upgrade renames the control file of a cluster whose files it links; until that is used there is a way back."""
    if os.path.exists(f"{control}.old"):
        os.rename(f"{control}.old", control)


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


def synchronize(source: str, target: str) -> None:
    """Makes a folder a copy of another one, of whose files those are copied that have changed since it last was one."""
    known = set()
    for top, below, names in os.walk(source):
        place = target + top[len(source) :]
        os.makedirs(place, 0o700, exist_ok=True)
        for name in [*below, *names]:
            path, copy = f"{top}/{name}", f"{place}/{name}"
            known.add(copy)
            # files come and go while a cluster serves; what matters is how it is once it is stopped
            try:
                found = os.lstat(path)
                if stat.S_ISLNK(found.st_mode) and not os.path.lexists(copy):
                    os.symlink(os.readlink(path), copy)
                elif stat.S_ISREG(found.st_mode) and differs(found, copy):
                    shutil.copyfile(path, copy)
                    os.chmod(copy, stat.S_IMODE(found.st_mode))
                    settled = time.time() - found.st_mtime > RECENT
                    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns if settled else 0))
            except FileNotFoundError:
                continue
    for top, below, names in os.walk(target, topdown=False):
        for name in names:
            if f"{top}/{name}" not in known:
                os.unlink(f"{top}/{name}")
        for name in below:
            if f"{top}/{name}" not in known:
                os.rmdir(f"{top}/{name}")


def differs(found: os.stat_result, copy: str) -> bool:
    try:
        there = os.lstat(copy)
    except FileNotFoundError:
        return True
    return (there.st_size, there.st_mtime_ns) != (found.st_size, found.st_mtime_ns)
