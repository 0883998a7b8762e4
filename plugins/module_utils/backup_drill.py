# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A restore that is only tried: the latest backup of an app, into a scratch place that is removed again."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.backup_fetch import (
    Fetched,
    as_postgres,
    chosen,
    compared,
    quoted,
)
from ansible_collections.homeport.django.plugins.module_utils.backup_state import STATE
from ansible_collections.homeport.django.plugins.module_utils.backup_store import Store
from ansible_collections.homeport.django.plugins.module_utils.backup_take import App
from ansible_collections.homeport.django.plugins.module_utils.release_layout import DeployError, remove

SCRATCH = f"{STATE}/scratch"


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
            raise DeployError(f"migrate --check finds migrations that have not run:\n{counted['check']}")
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
            "the app's database is on a server where no scratch database can be made for the drill: make an empty one "
            f"that belongs to the app's role there, and name it in backup_scratch ({{{app.name}: NAME}})"
        )
    name = f"homeport_drill_{app.name}"
    drop = f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)"
    try:
        as_postgres(drop)
        options = "ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
        as_postgres(f"CREATE DATABASE {quoted(name)} OWNER {quoted(app.layout.user)} {options}")
        as_postgres(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")
        # not those that the manifest names: the app itself had a part in writing that, and a superuser makes these
        for extension in as_postgres("SELECT extname FROM pg_extension", app.database).split():
            as_postgres(f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}", name)
        app.load(fetched.dump, name)
        return app.look(name)
    finally:
        as_postgres(drop)


def in_file(app: App, fetched: Fetched) -> dict[str, Any]:
    """The app's user reads it, and SQLite writes beside what it reads: a folder of the app's own, for that long."""
    folder = f"{app.home}/backup-drill"
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
