# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How many connections the apps can open to PostgreSQL, against what the roles and the server take.

An ASGI worker has one for each request that is under way, however many there are: these are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A migration, a management command and a dump, beside everything that runs.
BESIDE = 3
# What PostgreSQL keeps for its superuser, and what backups and somebody who looks may use.
RESERVED = 10


def most_connections(app: Mapping[str, Any], hosts: int, worker_hosts: int) -> int:
    """What an app can open from its hosts: two releases side by side on those that serve visitors (``hosts``), the
    processes on those that run them (``worker_hosts``), and what runs beside."""
    return (2 * _web(app) * hosts + _workers(app) * worker_hosts) * databases_here(app) + BESIDE


def databases_here(app: Mapping[str, Any]) -> int:
    """How many databases of one server an app has, to each of which it opens connections with the same role."""
    return 1 + sum(bool(database["managed"]) for database in app["databases"].values())


def connection_problems(
    apps: Mapping[str, Mapping[str, Any]],
    everywhere: Mapping[str, Mapping[str, Any]],
    hosts: int,
    worker_hosts: int,
    most: int,
    running: int = 0,
) -> list[str]:
    """Limits that are too small for what runs on ``hosts``, which serve visitors, and on ``worker_hosts``; ``most`` is
    what the server is to take from all, and ``running`` what it takes where the run does not change it (0: unknown).
    ``apps`` are those of this host, and ``everywhere`` has all of their processes."""
    problems, together, largest = [], 0, 0
    for name, app in apps.items():
        if app["database"]["engine"] != "postgres" or not app["database"]["managed"]:
            continue
        app = {**app, **{key: everywhere[name][key] for key in ("processes", "schedules")}}
        number = databases_here(app)
        web, workers = _web(app) * hosts * number, _workers(app) * worker_hosts * number
        needed, limit = most_connections(app, hosts, worker_hosts), app["limits"]["database_connections"]
        together, largest = together + web + workers, max(largest, web)
        if needed > limit:
            problems.append(
                f"django_apps.{name}.limits.database_connections: is {limit}, and the app can open {needed}: "
                f"{_threads(app, hosts)}, twice while a release replaces another ({2 * web}), processes and schedules "
                f"({workers}), and {BESIDE} for a migration, a command and a dump. Raise it, or lower web.workers, "
                "web.threads, count or concurrency"
            )
    if apps and together + largest + RESERVED > most:
        problems.append(
            f"postgres_max_connections: is {most}, and all apps together can open {together + largest}, while "
            f"{RESERVED} are kept free. Raise it (PostgreSQL restarts), or lower web.workers and web.threads"
        )
    elif apps and running and together + largest + RESERVED > running:
        problems.append(
            f"postgres_max_connections: is {most}, PostgreSQL runs with {running}, and all apps together can open "
            f"{together + largest}, while {RESERVED} are kept free. Run the setup playbook with -e restart=now, which "
            "restarts PostgreSQL with the new number"
        )
    return problems


def _web(app: Mapping[str, Any]) -> int:
    web = app["web"]
    return int(web["workers"]) * (int(web["threads"]) if web["server"] == "wsgi" else 1)


def _threads(app: Mapping[str, Any], hosts: int) -> str:
    web = app["web"]
    words = f"{web['workers']} web workers"
    if web["server"] == "wsgi":
        words += f" with {web['threads']} threads"
    words += f" on each of {hosts} hosts" if hosts > 1 else ""
    number = databases_here(app)
    return words + (f", each to {number} databases" if number > 1 else "")


def _workers(app: Mapping[str, Any]) -> int:
    """Each process has one for itself, and one for each task that it does at the same time; a lease has one, too."""
    leases = [
        found for key in ("processes", "schedules") for found in app[key].values() if found.get("alone")
    ]
    return (
        len(leases)
        + len(app["schedules"])
        + sum(
            int(options["count"]) * (1 + int(options.get("concurrency") or 0))
            for options in app["processes"].values()
        )
    )
