# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The host that PostgreSQL moves to: a replica until the original has stopped, then the one that serves."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.authority import AUTHORITY
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.move import cluster as move
from ansible_collections.homeport.django.plugins.module_utils.host.move.cluster import Host, write_new
from ansible_collections.homeport.django.plugins.module_utils.host.move.compare import contents, differences
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import used_cluster
from ansible_collections.homeport.django.plugins.module_utils.host.psql import LONG, quote_name
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.plan import newest_packaged
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import call

UNIT = "homeport-move-copy"
PASSWORD = "/var/lib/postgresql/homeport-move.pgpass"
CATCH_UP = 600  # seconds from the end of the copy until the replica has what was written meanwhile
ARRIVAL = 60  # seconds that the last of the log may take
STREAMS = """
SELECT coalesce((SELECT status = 'streaming' AND pg_last_wal_replay_lsn() >= latest_end_lsn
                 FROM pg_stat_wal_receiver), false);
"""


def look() -> dict[str, Any]:
    """Whether the host could take a cluster, and how far a move to it came."""
    version, _cluster = used_cluster()
    place = "/var/lib/postgresql" if os.path.isdir("/var/lib/postgresql") else "/var/lib"
    found = {**move.record(), "free": shutil.disk_usage(place).free}
    found.update(
        version=version or move.installed_server() or newest_packaged(),
        empty=True,
        held=[],
        promoted=False,
        linked=False,
    )
    if not version:
        return found
    host = Host()
    data = host.archive.data
    found["linked"] = os.path.islink(data) or os.path.ismount(data)
    phase = found.get("phase", "")
    if phase in ("promoting", "promoted"):
        found["promoted"] = host.live.ask("SELECT pg_is_in_recovery();").strip() == "f"
    elif phase in ("", "open"):
        started = host.runs()
        if not started:
            raise DeployError("PostgreSQL does not run on this host: start it, so that it can be looked at")
        names = host.databases()
        found["held"] = sorted({*names} - {"postgres", "template1"})
        found["empty"] = not found["held"] and not int(host.live.look("postgres", "tables"))
    return found


def clear() -> bool:
    """An empty cluster in the place of what an interrupted move, or an earlier one from here, has left."""
    if not move.record():
        return False
    call(["systemctl", "stop", UNIT], "Stopping the copy") if copies() else None
    version, name = used_cluster()
    if version:  # unless a run was interrupted after this
        host = Host()
        host.control.drop(host.archive)
    move.create(version or move.installed_server(), name)
    move.forget()
    return True


def copies() -> bool:
    return os.path.exists(f"/run/systemd/transient/{UNIT}.service")


def copy(source: str, address: str, password: str, version: str, extensions: list[str]) -> None:
    """Becomes a replica of the cluster at ``address``, and waits until it has caught up."""
    host = Host()
    if host.archive.version != version:
        raise DeployError(
            f"{source} has PostgreSQL {version}, and {host.archive.version} was installed here: a move needs the same "
            "version"
        )
    share = f"/usr/share/postgresql/{host.archive.version}/extension"
    missing = [name for name in extensions if not os.path.exists(f"{share}/{name}.control")]
    if missing:
        raise DeployError(
            f"PostgreSQL has the extensions {', '.join(missing)} where it is now, and they are not installed here: "
            "name them in database.extensions, or install their packages"
        )
    move.note("copying", source=source)
    host.stop()
    data = host.archive.data
    host.control.as_postgres("Writing the password", write_new, PASSWORD, f"*:*:*:{move.ROLE}:{password}\n")
    host.control.as_postgres("Removing the empty cluster", shutil.rmtree, data)
    login = (
        f"host={address} port={move.PORT} user={move.ROLE} sslmode=verify-full sslrootcert={AUTHORITY} "
        f"passfile={PASSWORD} connect_timeout=10"
    )
    unit = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        f"--unit={UNIT}",
        "--property=User=postgres",
    ]
    words = [
        f"{host.archive.programs}/pg_basebackup",
        f"--pgdata={data}",
        f"--dbname={login}",
        "--write-recovery-conf",
    ]
    words += [
        "--wal-method=stream",
        "--checkpoint=fast",
        "--create-slot",
        f"--slot={move.SLOT}",
        "--no-password",
    ]
    call([*unit, *words], f"Copying PostgreSQL from {source}")
    host.start()
    wait_for(host, STREAMS, CATCH_UP, f"The copy does not catch up with {source}")
    host.live.ask("CHECKPOINT;", LONG)


def wait_for(host: Host, question: str, seconds: float, problem: str) -> None:
    until = time.monotonic() + seconds
    while host.live.ask(question).strip() != "t":
        if time.monotonic() > until:
            raise DeployError(f"{problem} within {seconds:g} s")
        time.sleep(0.1)


def promote(expected: Mapping[str, Any], lsn: str) -> None:
    """Serves, if it has everything that the original had."""
    host = Host()
    arrived = f"SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '{lsn}') > 0;"
    wait_for(host, arrived, ARRIVAL, "The last of PostgreSQL's log did not arrive")
    found = differences(expected, contents(host))
    if found:
        raise DeployError("\n".join(["The copy differs from the original:", *found]))
    move.note("promoting")
    host.live.ask("SELECT pg_promote(true, 60);", LONG)
    wait_for(host, "SELECT NOT pg_is_in_recovery();", ARRIVAL, "PostgreSQL was not promoted")
    move.note("promoted")
    tidy(host)


def tidy(host: Host) -> None:
    """What it needed as a replica. It serves already: what stays keeps nobody from it."""
    with contextlib.suppress(OSError):
        os.unlink(PASSWORD)
    with contextlib.suppress(DeployError):
        host.live.ask(
            "ALTER SYSTEM RESET primary_conninfo;\nALTER SYSTEM RESET primary_slot_name;\nSELECT pg_reload_conf();\n"
            f"DROP ROLE IF EXISTS {quote_name(move.ROLE)};"
        )


def resume() -> None:
    """A run was interrupted around the promotion: it serves, so the apps follow."""
    move.note("promoted")
    tidy(Host())
