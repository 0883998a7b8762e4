# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an upgrade of PostgreSQL would do, and how long; refuses what could not work."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.extension_packages import (
    VERSION,
    package_of,
)
from ansible_collections.homeport.django.plugins.module_utils.host.given import answer
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import PORT, clusters
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import folder_size
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import Upgrade, call
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import record

SPARE = 1 << 30  # bytes that stay free
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


def look(upgrade: Upgrade, named: Mapping[str, str]) -> dict[str, Any]:
    """What would be upgraded, and how; refuses what could not work. ``named``: packages by extension."""
    for archive in (upgrade.old, upgrade.new):
        if os.path.islink(archive.data) or os.path.ismount(archive.data):
            raise DeployError(f"{archive.data} is a link or a disk of its own: upgrade that cluster by hand")
    about = json.loads(upgrade.live.ask(ABOUT))
    if about["prepared"] or about["tablespaces"]:
        what = "prepared transactions" if about["prepared"] else "tablespaces of its own"
        raise DeployError(f"The cluster has {what}, which are not upgraded here: upgrade it by hand")
    size = sum(about["databases"].values())
    tables = sum(int(upgrade.live.look(name, "tables")) for name in about["databases"])
    place = os.path.dirname(upgrade.old.data)
    needed = SPARE + (int(size * 1.1) if upgrade.mode == "copy" else size // 2)
    free = shutil.disk_usage(place).free
    if upgrade.mode == "copy":
        free += folder_size(upgrade.copy)  # of an earlier run, which this one goes on with
    if free < needed:
        way = "-e mode=link needs less; its only rollback are dumps" if upgrade.mode == "copy" else ""
        raise DeployError(
            f"No space below {place}: {free >> 20} MiB are free and {needed >> 20} MiB needed. {way}".rstrip(
                ". "
            )
        )
    for unit in ("homeport-archive-full", "homeport-archive-incremental", "homeport-archive-drill"):
        if answer(["systemctl", "show", "--property=ActiveState", "--value", unit]).strip() == "activating":
            raise DeployError(f"{unit} is running: wait for it to end, and run this again")
    seconds = pace() * (BASE + EACH_TABLE * tables + EACH_GIB * (size >> 30))
    return {
        "old": upgrade.old.version,
        "new": upgrade.new.version,
        "cluster": upgrade.old.cluster,
        "mode": upgrade.mode,
        "bytes": size,
        "databases": len(about["databases"]) - 2,
        "tables": tables,
        "packages": [
            f"postgresql-{upgrade.new.version}",
            *extension_packages(upgrade, about["databases"], named),
        ],
        "seconds": round(seconds),
        "replaced": replaced(upgrade),
    }


def extension_packages(upgrade: Upgrade, databases: Mapping[str, int], named: Mapping[str, str]) -> list[str]:
    """The packages of the new version that have the extensions of the databases."""
    names = {name for database in databases for name in upgrade.live.look(database, "extensions")}
    found = set()
    for name in sorted(names):
        if os.path.exists(f"/usr/share/postgresql/{upgrade.new.version}/extension/{name}.control"):
            continue
        package = package_of(name, named).replace(VERSION, upgrade.old.version)
        if not package:
            path = f"/usr/share/postgresql/{upgrade.old.version}/extension/{name}.control"
            package = answer(["dpkg", "--search", os.path.realpath(path)]).partition(":")[0]
        if package in ("", f"postgresql-{upgrade.old.version}"):
            if package:
                continue  # comes with the server
            raise DeployError(
                f"The extension {name} is of no package: install it for PostgreSQL {upgrade.new.version} first"
            )
        wanted = package.replace(f"-{upgrade.old.version}", f"-{upgrade.new.version}")
        if not candidate(wanted):
            raise DeployError(
                f"The extension {name} is of the package {package}, and there is no {wanted}: install one, or drop "
                "the extension (and remove it from database.extensions) first"
            )
        found.add(wanted)
    return sorted(found)


def replaced(upgrade: Upgrade) -> str:
    """The cluster of the new version that is there already, which has to be empty or of an undone upgrade."""
    there = {(found.version, found.name): found for found in clusters()}
    found = there.get((upgrade.new.version, upgrade.new.cluster))
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
        call(["systemctl", "start", unit], f"Starting the cluster {name}")
    try:
        beside = Cluster("/var/run/postgresql", found.port, upgrade.new.programs)
        names = json.loads(beside.ask("SELECT json_agg(datname) FROM pg_database WHERE datallowconn;"))
        empty = not set(names) - {"postgres", "template1"} and not beside.look("postgres", "tables")
    finally:
        if not found.online:
            call(["systemctl", "stop", unit], f"Stopping the cluster {name}")
    if not empty:
        raise DeployError(
            f"The host has a cluster {name} already, and it is not empty: it would be replaced. Remove it "
            f"(pg_dropcluster --stop {found.version} {found.name}) if nobody needs it"
        )
    return f"{name}, which is empty"


def candidate(package: str) -> str:
    """The version of a package that the host would install; empty where its distribution has none."""
    found = re.search(r"^ +Candidate: (\S+)", answer(["apt-cache", "policy", package]), re.MULTILINE)
    return "" if not found or found[1] == "(none)" else found[1]


def newest_packaged() -> str:
    """The version of PostgreSQL that the host's distribution supports."""
    found = re.match(r"(\d+)", candidate("postgresql"))
    return found[1] if found else ""


def pace() -> float:
    """How many times as long as on an idle host everything takes now: the time of a command beside its work."""
    began = os.times()
    clusters()
    ended = os.times()
    needed = ended.children_user + ended.children_system - began.children_user - began.children_system
    return max(1.0, (ended.elapsed - began.elapsed) / max(needed, 0.05))
