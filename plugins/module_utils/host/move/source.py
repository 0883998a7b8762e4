# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The host that PostgreSQL moves from: it lets one other host copy, stops, and keeps its cluster as the way back."""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import json
import os
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY, STATE
from ansible_collections.homeport.django.plugins.module_utils.host.given import FOLDER, answer, read
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.move import cluster as move
from ansible_collections.homeport.django.plugins.module_utils.host.move.cluster import Host, write_new
from ansible_collections.homeport.django.plugins.module_utils.host.move.compare import contents
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import (
    clusters,
    used_cluster,
)
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    LONG,
    quote_name,
    quote_text,
    scram_verifier,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.plan import pace
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import call

UNIT = "homeport-move"
PROXY = "/usr/lib/systemd/systemd-socket-proxyd"
TLS = "/etc/postgresql-common/homeport-move"  # .crt and .key
LASTS = timedelta(days=2)  # longer than any copy takes
RELEASED = 20  # seconds that PostgreSQL may take to let go of a slot
ABOUT = """
SELECT json_build_object(
  'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'wal_level', current_setting('wal_level'), 'senders', current_setting('max_wal_senders')::int,
  'slots', current_setting('max_replication_slots')::int, 'recovering', pg_is_in_recovery(),
  'tablespaces', (SELECT count(*) FROM pg_tablespace WHERE spcname !~ '^pg_'));
"""
# Before the last checkpoint: who is still there, and is no part of PostgreSQL.
SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid();
"""


def look() -> dict[str, Any]:
    phase = move.record().get("phase", "")
    if not used_cluster()[0]:  # removed, by a run that was interrupted then
        return {"version": "", "phase": phase, "runs": False}
    host = Host()
    found = {"version": host.archive.version, "phase": phase, "runs": host.runs()}
    if not found["runs"]:
        return found
    names = host.databases()
    return {
        **found,
        **json.loads(host.live.ask(ABOUT)),
        "pace": pace(),
        "databases": names,
        "tables": sum(int(host.live.look(name, "tables")) for name in names),
        "extensions": sorted({each for name in names for each in host.live.look(name, "extensions")}),
        "unlogged": [f"{name}: {table}" for name in names for table in host.live.look(name, "unlogged")],
    }


def open_way(address: str, peer: str, certificate: str, key: str, password: str) -> None:
    """Lets the host ``peer`` copy the cluster, over TLS on a port of its own. PostgreSQL is not restarted."""
    host = Host()
    move.note("open")  # before there is anything to close
    close_way(host)
    for suffix, text, group in ((".crt", certificate, 0), (".key", key, os.stat(host.folder).st_gid)):
        with open(os.open(f"{TLS}{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w") as stream:
            os.fchown(stream.fileno(), 0, group)
            os.fchmod(stream.fileno(), 0o640 if group else 0o644)
            stream.write(text)
    settings = {"ssl": "on", "ssl_cert_file": f"{TLS}.crt", "ssl_key_file": f"{TLS}.key"}
    lines = [f"{name} = {quote_text(value)}\n" for name, value in settings.items()]
    # read before homeport.conf, whose own settings win
    path = f"{host.folder}/conf.d/homeport-move.conf"
    host.control.as_postgres("Writing the settings", write_new, path, "".join(lines))
    until = (datetime.now(timezone.utc) + LASTS).strftime("%Y-%m-%d %H:%M:%S+00")
    host.live.ask(
        f"CREATE ROLE {quote_name(move.ROLE)} LOGIN REPLICATION CONNECTION LIMIT 4 "
        f"PASSWORD {quote_text(scram_verifier(password, os.urandom(16)))} VALID UNTIL '{until}';\n"
        "SELECT pg_reload_conf();"
    )
    port = next(found.port for found in clusters() if found.name == host.archive.cluster and found.online)
    listen = f"[{address}]:{move.PORT}" if ":" in address else f"{address}:{move.PORT}"
    words = ["systemd-run", "--quiet", f"--unit={UNIT}", f"--socket-property=ListenStream={listen}"]
    words += ["--property=User=nobody", f"--property=RuntimeMaxSec={LASTS.total_seconds():.0f}"]
    call([*words, PROXY, f"127.0.0.1:{port}"], "Opening a port for the copy")
    if answer(["nft", "list", "chain", "inet", "homeport", "input"]):
        family = "ip6" if ipaddress.ip_address(peer).version == 6 else "ip"
        rule = f"insert rule inet homeport input {family} saddr {peer} tcp dport {move.PORT} accept"
        call(["nft", *rule.split()], "Opening the firewall for the copy")


def close_way(host: Host) -> None:
    """Nobody can copy any more. Of a cluster that is stopped, the role and the slot stay in its files."""
    call(
        ["systemctl", "stop", f"{UNIT}.socket", f"{UNIT}.service"], "Closing the port"
    ) if way_is_open() else None
    if os.path.exists(f"{LIBRARY}/firewall") and answer(["nft", "list", "table", "inet", "homeport"]):
        call([f"{LIBRARY}/firewall", "load"], "Restoring the firewall")
    for path in (f"{TLS}.crt", f"{TLS}.key"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    path = f"{host.folder}/conf.d/homeport-move.conf"
    if os.path.lexists(path):
        host.control.as_postgres("Removing the settings", os.unlink, path)
    if host.runs():
        host.live.ask("SELECT pg_reload_conf();")
        drop_slot(host)
        host.live.ask(f"DROP ROLE IF EXISTS {quote_name(move.ROLE)};")


def way_is_open() -> bool:
    states = answer(["systemctl", "show", "--property=LoadState", "--value", f"{UNIT}.socket"])
    return states.strip() == "loaded"


def drop_slot(host: Host) -> None:
    slot = f"slot_name = {quote_text(move.SLOT)}"
    until = time.monotonic() + RELEASED
    while host.live.ask(f"SELECT 1 FROM pg_replication_slots WHERE {slot};").strip():
        host.live.ask(
            f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE {slot} AND active;\n"
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {slot} AND NOT active;"
        )
        if time.monotonic() > until:
            raise DeployError(f"The replication slot {move.SLOT} is in use still")
        time.sleep(0.1)


def settle() -> None:
    """What is on the disk already need not be written while everybody waits."""
    Host().live.ask("CHECKPOINT;", LONG)


def stop() -> dict[str, Any]:
    """Counts and stops; ``lsn`` is where its last checkpoint is, which the replica has to have."""
    host = Host()
    host.live.ask(SESSIONS)
    found = contents(host)
    move.note("stopped")
    host.boots("manual")
    host.stop()
    control = host.archive.run(["pg_controldata", "-D", host.archive.data], "Reading the control file")
    state = re.search(r"^Database cluster state: +(.*)$", control, re.MULTILINE)
    lsn = re.search(r"^Latest checkpoint location: +(\S+)$", control, re.MULTILINE)
    if not state or not lsn or state[1] != "shut down":
        raise DeployError("PostgreSQL did not write its last checkpoint when it was stopped")
    return {"contents": found, "lsn": lsn[1]}


def serve() -> None:
    """Goes on as if there had been no move."""
    host = Host()
    if not host.runs():
        host.start()
    close_way(host)
    move.forget()


def leave() -> None:
    """The cluster stays as the way back, stopped, and the archive goes on from the other host."""
    host = Host()
    if host.runs():
        raise DeployError("The previous cluster was started again: stop it, and run this again")
    close_way(host)
    for name in ("postgres", "pgbackrest"):
        forget_set(name)
    move.note("left")


def forget_set(name: str) -> None:
    """What a role has put on the host for the cluster is looked after no more; files and settings stay with it."""
    path = f"{STATE}/{name}.json"
    units = [unit for unit in read(path).get("units", []) if unit.startswith("homeport-archive")]
    if units:
        call(["systemctl", "disable", "--now", *units], "Stopping the archive of the previous cluster")
    for found in (path, f"{FOLDER}/postgres_databases.play.json", *glob.glob(f"{FOLDER}/*.{name}.json")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(found)


def finish() -> None:
    """An empty cluster in the place of the previous one, as PostgreSQL's package leaves a host."""
    phase = move.record().get("phase", "")
    if not phase:  # done, by a run that was interrupted then
        return
    version, name = used_cluster()
    if version:
        host = Host()
        if phase != "removing" and host.runs():
            raise DeployError(
                "The previous cluster was started again: stop it if nobody needs it, and run this again"
            )
        move.note("removing")
        host.control.drop(host.archive)
    if not used_cluster()[0]:
        move.create(version or move.installed_server(), name)
        Host().start()
    move.forget()
