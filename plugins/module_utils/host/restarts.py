# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Restarts of services that all apps of a host share: what needs one, and which are pending (decision 31)."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import STATE
from ansible_collections.homeport.django.plugins.module_utils.common.restarts import name_of
from ansible_collections.homeport.django.plugins.module_utils.host.given import answer, read
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster, quote_text

# Settings of PostgreSQL that apps or backups of the same run need.
URGENT = {
    "archive_mode", "listen_addresses", "max_connections", "max_prepared_transactions", "port",
    "shared_preload_libraries", "wal_level",
}  # fmt: skip
PENDING = "SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart"
AT_START = (
    "SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE context = 'postmaster' AND name IN ({})"
)


def settings(text: str) -> dict[str, str]:
    """The settings of a configuration of PostgreSQL, as it has them."""
    return dict(re.findall(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))


def at_start(changes: Iterable[tuple[str, str]]) -> list[str]:
    """The settings that differ between the old and the new text of files, and that PostgreSQL reads at its start."""
    names = set()
    for old, new in changes:
        before, after = settings(old), settings(new)
        names |= {name for name in {*before, *after} if before.get(name) != after.get(name)}
    if not names:
        return []
    found = Cluster().ask(AT_START.format(", ".join(map(quote_text, sorted(names)))))
    return sorted(json.loads(found))


def pending() -> set[str]:
    """The settings that PostgreSQL has read and applies only after a restart."""
    return set(json.loads(Cluster().ask(PENDING)))


def cluster_folder(unit: str) -> str:
    """The folder with the configuration of a PostgreSQL cluster, by its unit."""
    version, _dash, name = unit.partition("@")[2].removesuffix(".service").partition("-")
    return f"/etc/postgresql/{version}/{name}/"


def waiting_elsewhere(unit: str, but: str, folder: str) -> list[str]:
    """Other sets with changes that wait for a restart of a unit, and with the files that it has started with."""
    found = {os.path.basename(path)[: -len(".json")]: read(path) for path in glob.glob(f"{folder}/*.json")}
    return sorted(
        name
        for name, record in found.items()
        if name != but and (record.get("held") or {}).get("unit") == unit and record.get("previous")
    )


def waiting(folder: str = STATE) -> list[dict[str, Any]]:
    """The pending restarts of this host; a service that was restarted since has none."""
    found: dict[str, set[str]] = {}
    for path in sorted(glob.glob(f"{folder}/*.json")):
        held = read(path).get("held") or {}
        if held and held["start"] == started(held["unit"]):
            found.setdefault(held["unit"], set()).update(held["why"])
    return [{"service": name_of(unit), "why": sorted(why)} for unit, why in found.items()]


def started(unit: str) -> str:
    """systemd's InvocationID of the current run of a unit."""
    return answer(["systemctl", "show", "--property=InvocationID", "--value", unit]).strip()


def text_of(path: str) -> str:
    """The text of a file; empty where there is none."""
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
