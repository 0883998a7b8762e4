# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""One backup of one app: its database and what exactly is in it, its files, and what is needed to bring it back."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Mapping
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import stamp
from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.common.plain import plain
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import STATE, read
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.copies import SQLITE_SIDES, create
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    entries,
)
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.programs.postgres_client import newest

# The forms of the answers of the programs dump and look.
COUNTED = {
    "vendor": str,
    "rows": {str: int},
    "migrations": [str],
    "extensions": [str],
    "?bytes": int,
    "?sha256": str,
}
LOOKED = {**COUNTED, "?check": str}
SPARE = 200 << 20  # bytes that a copy must leave free
MANIFEST, WITH_FURTHER = 1, 2  # versions of its format: without and with further databases
DEFAULT = "default"  # alias of an app's own database
KINDS = {"postgresql": "database.pgdump", "sqlite": "database.sqlite3"}


class Part:
    """One database of an app. ``spec``: sqlite (the path), or database (the name) and scratch (where a drill restores
    it; empty where it makes that place itself), and the extensions that are declared."""

    def __init__(self, alias: str, spec: Mapping[str, Any]) -> None:
        self.alias = alias
        self.sqlite: str = spec["sqlite"]
        self.database: str = spec["database"]
        self.scratch: str = spec["scratch"]
        self.extensions: list[str] = spec.get("extensions", [])
        self.migrate: bool = spec.get("migrate", True)
        self.title = title(alias)

    def file(self, vendor: str) -> str:
        """The name of its dump in a backup."""
        return file_of(self.alias, vendor)


def title(alias: str) -> str:
    return "the database" if alias == DEFAULT else f"the database {alias}"


def file_of(alias: str, vendor: str) -> str:
    stem, _dot, end = KINDS[vendor].partition(".")
    return f"{stem}{'' if alias == DEFAULT else f'-{alias}'}.{end}"


class App:
    """An app as its backups see it. ``spec``: name, user, home, its database (Part), and by their aliases its further
    databases."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.layout = Layout(dict(spec))
        self.name = self.layout.name
        self.home = self.layout.home
        self.main = Part(DEFAULT, spec)
        self.further = {alias: Part(alias, part) for alias, part in spec.get("databases", {}).items()}
        self.sqlite = self.main.sqlite
        self.database = self.main.database
        self.scratch = self.main.scratch
        self.staging = staging_of(self.name)
        self.runner = Runner(self.layout)

    def release(self) -> str:
        """Folder of the live release."""
        release = self.layout.current
        if not release:
            raise DeployError(f"{self.name} has no live release")
        return release

    def parts(self) -> dict[str, Part]:
        """The databases of the live release by their aliases. One that is declared since then is empty yet."""
        known = self.layout.record(self.release()).get("databases", [])
        return {DEFAULT: self.main, **{key: part for key, part in self.further.items() if key in known}}

    def look(self, database: str = "", engine: str = "", part: Part | None = None) -> dict[str, Any]:
        """What a database of the app holds, its own or another, and what its release would migrate there."""
        part, release = part or self.main, self.release()
        asked: dict[str, Any] = {
            "database": database,
            "engine": engine,
            "alias": part.alias,
            "migrate": part.migrate,
        }
        what = f"Counting the rows of {part.title}"
        out = self.runner.in_release(release, argv_of("look", release=release, **asked), what)
        return claims.answer(out, MARK, LOOKED, what)

    def load(self, path: str, database: str = "", part: Part | None = None) -> None:
        """Puts a dump in the place of what a database of the app holds, or another one on its server."""
        part = part or self.main
        with open(path, "rb") as stream:
            self._restore({"database": database, "alias": part.alias}, f"Restoring {part.title}", stream)

    def empty(self, database: str, part: Part | None = None) -> None:
        alias = (part or self.main).alias
        wanted = {"database": database, "empty": True, "alias": alias}
        self._restore(wanted, "Emptying the scratch database")

    def _restore(self, wanted: Mapping[str, Any], what: str, stdin: IO[bytes] | None = None) -> None:
        release = self.release()
        argv = [f"{LIBRARY}/run", release, *argv_of("restore", release=release, **wanted)]
        self.runner.pipe(argv, what, stdin=stdin)


def staging_of(name: str) -> str:
    """Where the parts of a backup are that are no files of the app. It is the same on every host."""
    return f"{STATE}/staging/{name}"


def take(app: App, store: Store, kind: str) -> dict[str, Any]:
    """Makes a backup; returns what there is to say of it. The staged dump is the caller's to clear."""
    started = time.monotonic()
    if os.path.lexists(f"{app.home}/restoring/before"):
        raise DeployError(
            f"A restore of {app.name} was interrupted, and its files are those of before and of the backup: run the "
            "playbook restore again"
        )
    clear(app)
    os.makedirs(app.staging, mode=0o700)
    release = app.release()
    manifest = manifest_with_dumps(app, release, 0 if store.compresses() else 1)
    manifest["seconds"] = {"dump": round(time.monotonic() - started, 2)}
    paths = [app.staging, *folders(app, release)]
    refuse_sparse(app, paths)
    with create(f"{app.staging}/manifest.json") as stream:
        stream.write(f"{json.dumps({**manifest, 'paths': paths}, indent=1)}\n".encode())
    files = [part.sqlite for part in app.parts().values() if part.sqlite]
    excluded = [f"{path}{side}" for path in files for side in SQLITE_SIDES]
    summary = store.save(app.name, paths, excluded, kind)
    return {
        "snapshot": summary["snapshot_id"],
        "files": summary["total_files_processed"],
        "bytes": summary["total_bytes_processed"],
        "added": summary["data_added"],
        "dump": sum(part["dump"]["bytes"] for part in parts_of(manifest).values()),
        **totals(manifest),
        "release": manifest["release"],
        "seconds": round(time.monotonic() - started, 2),
    }


def clear(app: App) -> None:
    if os.path.isdir(app.staging):
        shutil.rmtree(app.staging)


def manifest_with_dumps(app: App, release: str, compress: int) -> dict[str, Any]:
    """Writes the databases next to the manifest-to-be, which is returned."""
    last = (read(app.name).get("backup") or {}).get("good") or {}
    room(app.staging, last.get("dump", 0))
    found = {alias: dump(app, release, compress, part) for alias, part in app.parts().items()}
    uid, gid = app.layout.ids()
    further = {alias: entry for alias, entry in found.items() if alias != DEFAULT}
    # What the app has said of its rows stands next to what root knows, and decides nothing.
    return {
        **found[DEFAULT],
        **({"databases": further} if further else {}),
        "format": WITH_FURTHER if further else MANIFEST,
        "app": app.name,
        "time": stamp(),
        "release": os.path.basename(release),
        "commit": app.layout.record(release).get("revision", ""),
        "ids": {"uid": uid, "gid": gid, "web_gid": app.layout.web_gid()},
        "home": app.home,
    }


def dump(app: App, release: str, compress: int, part: Part) -> dict[str, Any]:
    """Writes a database as a file; returns what the manifest says of it."""
    unnamed = f"{app.staging}/database"
    question: dict[str, Any] = {"release": release, "count": True, "compress": compress, "alias": part.alias}
    what = f"Dumping {part.title}"
    with create(unnamed) as stream:
        output = app.runner.pipe(
            [f"{LIBRARY}/run", release, *argv_of("dump", **question)], what, stdout=stream
        )
        os.fsync(stream.fileno())
    counted = claims.answer(output, MARK, COUNTED, what)
    vendor = counted["vendor"]
    if vendor not in KINDS:
        raise DeployError(f"Homeport cannot back up a database of {plain(vendor)}")
    path = f"{app.staging}/{part.file(vendor)}"
    os.rename(unnamed, path)
    arrived = file_digest(path)
    check(app, path, counted, arrived)
    return {
        **{key: counted[key] for key in ("rows", "migrations", "extensions", "vendor")},
        "dump": {"file": os.path.basename(path), "bytes": os.path.getsize(path), "sha256": arrived},
    }


def parts_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of each database, by alias."""
    return {DEFAULT: manifest, **manifest.get("databases", {})}


def totals(manifest: Mapping[str, Any]) -> dict[str, int]:
    rows = [part["rows"] for part in parts_of(manifest).values()]
    return {"rows": sum(sum(each.values()) for each in rows), "tables": sum(len(each) for each in rows)}


def check(app: App, path: str, counted: Mapping[str, Any], arrived: str) -> None:
    """Reads a dump from its beginning to its end; the program that made an SQLite file has done so already."""
    if counted["vendor"] == "sqlite":
        if counted.get("sha256") != arrived:
            raise DeployError("The copy of the SQLite database does not match its digest")
        return
    with open(path, "rb") as stream:
        argv = [f"{LIBRARY}/run", app.release(), newest("pg_restore"), "--file=/dev/null"]
        app.runner.pipe(argv, "Reading the dump of the database again", stdin=stream)


def room(folder: str, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise DeployError(
            f"Not enough disk space below {folder}: {free >> 20} MiB are free and {needed + SPARE >> 20} MiB needed"
        )


def folders(app: App, release: str) -> list[str]:
    """The app's folders that are kept, none of them reached through a link that the app could have put there."""
    wanted = [f"{app.home}/{name}" for name in ("shared", "home", "config")]
    wanted += [f"{release}/{name}" for name in ("src", "config", "release.json")]
    wanted += sorted(glob.glob(f"/etc/systemd/system/{app.name}.*"))
    wanted += [f"/etc/nginx/sites-enabled/{app.name}.conf", f"/var/lib/homeport/deploys/{app.name}.jsonl"]
    return [path for path in wanted if os.path.lexists(path) and not os.path.islink(path)]


def refuse_sparse(app: App, paths: list[str]) -> None:
    """Files that are mostly holes are read as if they were full: one can be larger than all disks there are."""
    claimed = sum(entry.st_size for path in paths for entry in entries(path) if stat.S_ISREG(entry.st_mode))
    whole = shutil.disk_usage(app.home).total
    if claimed > whole:
        raise DeployError(
            f"The files of {app.name} are {claimed >> 20} MiB long, and its disk has {whole >> 20} MiB: one of them is "
            "sparse (find -size +100G shows it); it cannot be backed up"
        )


def is_kept(path: str, app: str) -> bool:
    """Whether a path is one that the backups of an app have."""
    named = rf"/etc/systemd/system/{re.escape(app)}\.[^/]+|/etc/nginx/sites-enabled/{re.escape(app)}\.conf"
    named += rf"|/var/lib/homeport/deploys/{re.escape(app)}\.jsonl|/srv/{re.escape(app)}/(shared|home|config)"
    named += rf"|/srv/{re.escape(app)}/releases/[^/]+/(src|config|release\.json)|{re.escape(staging_of(app))}"
    return re.fullmatch(named, path) is not None and "/../" not in f"{path}/"
