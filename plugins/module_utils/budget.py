# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the apps of a host will need of its memory, before it is found out the hard way.

Estimates from measured proportional set sizes (Debian 13, Python 3.13, Django 5.2, PostgreSQL 17); an app that
loads much more than the demo app does needs more, and says so in ``web.memory`` or a process's ``memory``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

# MiB
MASTER = 20  # gunicorn's arbiter and the shell and sleep of the slot that waits
WORKER = 38  # one gunicorn worker with Django loaded, idle or after some load
PROCESS = 40  # the main process of a queue or any other command that loads Django
CHILD = 37  # each further process that a queue starts
CONNECTION = 3  # a backend of PostgreSQL that has answered queries; each web thread keeps one
SUPERVISORD = 19
POSTGRES = 24
NGINX = 3
INSTANCE = 6  # Redis, Valkey or memcached without data
RABBITMQ = 130
SYSTEM = 90  # kernel, systemd, journald, sshd, and a login with a run of Ansible in it
BUILD = 150  # a release that is built or tried beside those that serve

TIGHT = 0.8  # of the memory: the rest is the cache of files, which databases and static files live from
VERDICTS = ("ok", "tight", "over")


@dataclass(frozen=True)
class Item:
    """Something that needs memory."""

    what: str
    mib: int


@dataclass(frozen=True)
class Budget:
    """What a host needs, and what it has."""

    items: tuple[Item, ...]
    memory_mb: int

    @property
    def total(self) -> int:
        return sum(item.mib for item in self.items)

    @property
    def verdict(self) -> str:
        if self.total > self.memory_mb:
            return "over"
        return "tight" if self.total > self.memory_mb * TIGHT else "ok"

    def table(self) -> str:
        """The items, largest first, with their sum."""
        lines = [(item.what, item.mib) for item in sorted(self.items, key=lambda item: -item.mib)]
        lines += [("together", self.total), ("memory of the host", self.memory_mb)]
        width = max(len(what) for what, _mib in lines)
        return "".join(f"{what:<{width}} {mib:>7,} MiB\n" for what, mib in lines)


def budget(apps: Mapping[str, Mapping[str, Any]], memory_mb: int, services: Collection[str] = ()) -> Budget:
    """What ``apps``, resolved, and ``services`` need on one host.

    ``services`` are those of the boxes that are on it: ``apps``, ``postgres``, ``nginx``, ``cache``, ``broker``.
    Databases count where PostgreSQL is, wherever their apps run.
    """
    items = [Item("system", SYSTEM)]
    if "postgres" in services:
        connections = sum(_connections(app) for app in apps.values() if app["database"]["managed"])
        items.append(Item("PostgreSQL", POSTGRES + CONNECTION * connections))
    if "nginx" in services:
        items.append(Item("nginx", NGINX))
    for kind in ("cache", "broker"):
        if kind in services:
            items += _stores(apps, kind)
    if "apps" in services and apps:
        items.append(Item("supervisord", SUPERVISORD))
        items.append(Item("a deploy", BUILD))
        for name, app in apps.items():
            items.append(Item(f"{name}, web", _web(app)))
            items += [
                Item(f"{name}, {process}", _process(options))
                for process, options in app["processes"].items()
                if options["count"]
            ]
    return Budget(tuple(items), memory_mb)


def _web(app: Mapping[str, Any]) -> int:
    """The master and its workers; a worker that may grow is counted with half of what it may grow to."""
    worker = max(WORKER, int(app["web"].get("memory", 0)) // 2)
    return MASTER + int(app["web"]["workers"]) * worker


def _process(options: Mapping[str, Any]) -> int:
    """All of one command that run at a time, each with the children that its concurrency stands for."""
    one = PROCESS + CHILD * int(options.get("concurrency") or 0)
    return int(options["count"]) * max(one, int(options.get("memory", 0)) // 2)


def _connections(app: Mapping[str, Any]) -> int:
    """Connections that stay open: one for each thread of the web and each process, where they are kept at all."""
    if not app["database"].get("conn_max_age", 0):
        return 0
    processes = sum(
        int(options["count"]) * max(1, int(options.get("concurrency") or 0))
        for options in app["processes"].values()
    )
    return int(app["web"]["workers"]) * int(app["web"]["threads"]) + processes


def _stores(apps: Mapping[str, Mapping[str, Any]], kind: str) -> list[Item]:
    """Caches and brokers that run here, each with the memory that it may fill."""
    items = []
    rabbitmq = False
    for name, app in apps.items():
        store = app.get(kind, {})
        if not store.get("managed"):
            continue
        if store["engine"] == "rabbitmq":
            rabbitmq = True  # one for all apps
        elif store["engine"] in ("redis", "valkey", "memcached"):
            items.append(Item(f"{name}, {kind}", INSTANCE + int(store.get("memory") or 0)))
    return [*items, Item("RabbitMQ", RABBITMQ)] if rabbitmq else items
