# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The memory that the apps of a host need, estimated before they are installed.

Estimates from measured proportional set sizes (Debian 13, Python 3.13, Django 5.2, PostgreSQL 17). An app that loads
much more than the demo app needs more, and declares it in ``web.memory`` or a process's ``memory``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.connections import databases_here
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import CONNECTION, POSTGRES
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES

# MiB
MASTER = 20  # gunicorn's arbiter and the shell and sleep of the slot that waits
WORKER = 38  # one gunicorn worker with Django loaded, idle or after some load
PROCESS = 40  # a command that loads Django
LEASE = 30  # what keeps the lease of a process: Django's database layer
SUPERVISORD = 19
NGINX = 3
SYSTEM = 90  # kernel, systemd, journald, sshd, and a login with a run of Ansible in it
BUILD = 150  # a release that is built or tried beside those that serve


@dataclass(frozen=True)
class Item:
    """Something that needs memory: MiB while nothing happens, and at most."""

    what: str
    idle: int
    most: int


@dataclass(frozen=True)
class Budget:
    """What a host needs, and what it has."""

    items: tuple[Item, ...]
    memory_mb: int

    @property
    def idle(self) -> int:
        return sum(item.idle for item in self.items)

    @property
    def most(self) -> int:
        return sum(item.most for item in self.items)

    @property
    def verdict(self) -> str:
        """``over`` where not even idle apps have room, ``tight`` where busy ones have not."""
        if self.idle > self.memory_mb:
            return "over"
        return "tight" if self.most > self.memory_mb else "ok"

    def table(self) -> list[str]:
        """The items, largest first, with their sum."""
        ordered = sorted(self.items, key=lambda item: (-item.most, item.what))
        rows = [(item.what, item.idle, item.most) for item in ordered if item.most]
        width = max(len(what) for what, *_ in [*rows, ("memory of the host", 0, 0)])
        return [
            f"{'':<{width}} MiB: idle  at most",
            *(f"{what:<{width}} {idle:>9,} {most:>8,}" for what, idle, most in rows),
            f"{'together':<{width}} {self.idle:>9,} {self.most:>8,}",
            f"{'memory of the host':<{width}} {self.memory_mb:>9,} {self.memory_mb:>8,}",
        ]


def budget(apps: Mapping[str, Mapping[str, Any]], memory_mb: int, services: Collection[str] = ()) -> Budget:
    """What ``apps``, resolved, and ``services`` need on one host.

    ``services`` are those of the boxes that are on it: ``apps``, ``postgres``, ``nginx``, ``cache``, ``broker``.
    Databases count where PostgreSQL is, wherever their apps run.
    """
    items = [Item("system", SYSTEM, SYSTEM)]
    if "postgres" in services:
        connections = sum(_connections(app) for app in apps.values() if app["database"]["managed"])
        items.append(Item("PostgreSQL", POSTGRES.idle, POSTGRES.idle + CONNECTION * connections))
    if "nginx" in services:
        items.append(Item("nginx", NGINX, NGINX))
    for kind in ("cache", "broker"):
        if kind in services:
            items += _stores(apps, kind)
    if "apps" in services and apps:
        items.append(Item("supervisord", SUPERVISORD, SUPERVISORD))
        items.append(Item("a deploy", 0, BUILD))
        for name, app in apps.items():
            items += [_web(name, app)] if app["web"]["socket"] else []
            items += [
                _process(f"{name}, {process}", options)
                for process, options in app["processes"].items()
                if options["count"]
            ]
    return Budget(tuple(items), memory_mb)


def _web(name: str, app: Mapping[str, Any]) -> Item:
    """The master and its workers."""
    workers, memory = int(app["web"]["workers"]), int(app["web"].get("memory", 0))
    return Item(f"{name}, web", MASTER + workers * WORKER, MASTER + workers * max(WORKER, memory))


def _process(what: str, options: Mapping[str, Any]) -> Item:
    """All of one command that run at a time, each with the children that its concurrency stands for."""
    queue = QUEUES.get(options.get("kind", ""))
    more = int(options.get("concurrency") or 1) - 1
    one = queue.memory + queue.memory_each * more if queue else PROCESS
    count = int(options["count"])
    lease = LEASE if options.get("alone") else 0
    return Item(what, lease + count * one, lease + count * max(one, int(options.get("memory", 0))))


def _connections(app: Mapping[str, Any]) -> int:
    """Connections that stay open: one for each thread of the web and each process, where they are kept at all."""
    if not app["database"].get("conn_max_age", 0):
        return 0
    processes = sum(
        int(options["count"]) * max(1, int(options.get("concurrency") or 0))
        for options in app["processes"].values()
    )
    return (int(app["web"]["workers"]) * int(app["web"]["threads"]) + processes) * databases_here(app)


def _stores(apps: Mapping[str, Mapping[str, Any]], use: str) -> list[Item]:
    """Caches and brokers that run here, each with the memory that it may fill."""
    items = {}
    for name, app in apps.items():
        engine = find(app.get(use, {}).get("engine"), use)
        if engine and app[use]["managed"]:
            what = f"{name}, {use}" if engine.facts.instances else engine.facts.title
            holds = int(app[use]["memory"]) if engine.facts.instances else 0
            items[what] = Item(what, engine.idle, engine.idle + holds)
    return list(items.values())
