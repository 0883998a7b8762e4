# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A restore that is only tried: the latest backup of an app, into a scratch place that is removed again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import (
    Fetched,
    chosen,
    compared,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import STATE
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    App,
    Part,
    parts_of,
    totals,
)
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
        # the live release may be newer than the backup: what it would migrate is told, and no fault of the backup's
        same_release = os.path.basename(app.release()) == fetched.manifest["release"]
        pending = []
        for alias, manifest in parts_of(fetched.manifest).items():
            counted = in_scratch(app, known_part(app, alias), manifest, fetched.dumps[alias])
            compared(manifest, counted)
            if counted["check"] and same_release:
                raise DeployError(
                    f"migrate --check finds migrations that are not applied:\n{counted['check']}"
                )
            pending.append(counted["check"])
    finally:
        remove(folder, strict=False)
    return {
        "snapshot": snapshot["id"],
        **files,
        **totals(fetched.manifest),
        "pending": "".join(pending),
        "seconds": round(time.monotonic() - started, 2),
    }


def known_part(app: App, alias: str) -> Part:
    found = app.parts().get(alias)
    if not found:
        raise DeployError(
            f"The backup has the database {alias}, which the live release does not have; the next backup is without it"
        )
    return found


def in_scratch(app: App, part: Part, manifest: Mapping[str, Any], dump: str) -> dict[str, Any]:
    """What the dump holds once it is a database again."""
    if manifest["vendor"] == "sqlite":
        return in_file(app, part, dump)
    if part.scratch:
        try:
            app.load(dump, part.scratch, part)
            return app.look(part.scratch, part=part)
        finally:
            app.empty(part.scratch, part)
    if not part.database:
        key = app.name if part is app.main else f"{app.name}.{part.alias}"
        what = "The app's database" if part is app.main else f"The database {part.alias}"
        raise DeployError(
            f"{what} is on a server where the drill cannot create a scratch database: create an empty one "
            f"that belongs to the app's role there, and name it in backup_scratch ({{{key}: NAME}})"
        )
    name = f"{DATABASES}{app.name}"
    drop = dropping(name)
    cluster = Cluster()
    try:
        cluster.ask(drop, LONG)
        for statement in closed_database(name):
            cluster.ask(f"{statement};\n", LONG)
        # the superuser makes what the operator has declared; what the app says that it had, the app makes itself
        for extension in part.extensions:
            cluster.extend(name, extension)
        cluster.ask(f"{handed_over(name, app.layout.user)};\n")
        found = manifest.get("extensions", [])
        own_extensions(app, name, [extension for extension in found if extension not in part.extensions])
        app.load(dump, name, part)
        return app.look(name, part=part)
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


def in_file(app: App, part: Part, dump: str) -> dict[str, Any]:
    """The app's user reads it, and SQLite writes next to what it reads: a folder of the app's own, for that long."""
    folder = folder_of(app)
    if os.path.lexists(folder):
        remove(folder)
    os.mkdir(folder, 0o700)
    try:
        path = f"{folder}/database.sqlite3"
        shutil.copyfile(dump, path)
        os.chown(path, *app.layout.ids())
        os.chown(folder, *app.layout.ids())
        return app.look(path, part=part)
    finally:
        remove(folder)
