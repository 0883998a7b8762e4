# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A restore that is only tried: the latest backup of an app, into a scratch place that is removed again."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import (
    Fetched,
    chosen,
    compared,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import STATE
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    remove,
)
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    LONG,
    QUIET,
    Cluster,
    closed_database,
    handed_over,
    quote_name,
)

SCRATCH = f"{STATE}/scratch"
DATABASES = "homeport_drill_"  # so their names begin
SOCKETS = "/var/run/postgresql"


def drill(app: App, store: Store) -> dict[str, Any]:
    """Restores and compares; returns what there is to say of it."""
    started = time.monotonic()
    snapshot = chosen(store.snapshots(app.name), app.name, "latest")
    folder = f"{SCRATCH}/{app.name}"
    try:
        fetched = Fetched(store, app.name, snapshot["id"], folder, everything=True)
        files = fetched.verify()
        fetched_after = round(time.monotonic() - started, 2)
        counted = in_scratch(app, fetched)
        compared(fetched.manifest, counted)
        # the live release may be newer than the backup: what it would migrate is told, and no fault of the backup's
        same_release = os.path.basename(app.release()) == fetched.manifest["release"]
        if counted["check"] and same_release:
            raise DeployError(f"migrate --check finds migrations that are not applied:\n{counted['check']}")
    finally:
        remove(folder, strict=False)
    return {
        "snapshot": snapshot["id"],
        **files,
        "rows": sum(counted["rows"].values()),
        "tables": len(counted["rows"]),
        "pending": counted["check"],
        "seconds": round(time.monotonic() - started, 2),
        "seconds_fetching": fetched_after,
    }


def in_scratch(app: App, fetched: Fetched) -> dict[str, Any]:
    """What the dump holds once it is a database again."""
    if fetched.manifest["vendor"] == "sqlite":
        return in_file(app, fetched)
    if app.scratch:
        try:
            app.load(fetched.dump, app.scratch)
            return app.look(app.scratch)
        finally:
            app.empty(app.scratch)
    if not app.database:
        raise DeployError(
            "The app's database is on a server where the drill cannot create a scratch database: create an empty one "
            f"that belongs to the app's role there, and name it in backup_scratch ({{{app.name}: NAME}})"
        )
    name = f"{DATABASES}{app.name}"
    drop = dropping(name)
    cluster = Cluster()
    try:
        cluster.ask(drop, LONG)
        for statement in closed_database(name):
            cluster.ask(f"{statement};\n", LONG)
        # the superuser makes what the operator has declared; what the app says that it had, the app makes itself
        declared = app.layout.spec.get("extensions", [])
        for extension in declared:
            cluster.extend(name, extension)
        cluster.ask(f"{handed_over(name, app.layout.user)};\n")
        own_extensions(
            app, name, [found for found in fetched.manifest.get("extensions", []) if found not in declared]
        )
        app.load(fetched.dump, name)
        return app.look(name)
    finally:
        cluster.ask(drop, LONG)


def own_extensions(app: App, database: str, names: list[str]) -> None:
    """Those that the app's migrations have created: an owner may create what PostgreSQL trusts."""
    if not names:
        return
    created = [f"CREATE EXTENSION IF NOT EXISTS {quote_name(name)};\n" for name in names]
    # a database of this host: peer authentication
    words = [
        f"{LIBRARY}/run",
        app.release(),
        "psql",
        *QUIET,
        f"--username={app.layout.user}",
        f"--dbname={database}",
    ]
    try:
        app.runner.run(
            [*words, f"--host={SOCKETS}"],
            "Creating extensions as the app",
            stdin="SET search_path = public;\n" + "".join(created),
        )
    except DeployError as error:
        raise DeployError(
            f"{error}\nThe backup has extensions that are not declared ({', '.join(names)}). What only a superuser may "
            f"create goes into database.extensions of {app.name}"
        ) from error


def dropping(database: str) -> str:
    return f"DROP DATABASE IF EXISTS {quote_name(database)} WITH (FORCE);\n"


def folder_of(app: App) -> str:
    """Where an SQLite database is looked at."""
    return f"{app.home}/backup-drill"


def in_file(app: App, fetched: Fetched) -> dict[str, Any]:
    """The app's user reads it, and SQLite writes next to what it reads: a folder of the app's own, for that long."""
    folder = folder_of(app)
    if os.path.lexists(folder):
        remove(folder)
    os.mkdir(folder, 0o700)
    try:
        path = f"{folder}/database.sqlite3"
        shutil.copyfile(fetched.dump, path)
        os.chown(path, *app.layout.ids())
        os.chown(folder, *app.layout.ids())
        return app.look(path)
    finally:
        remove(folder)
