# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A backup in the place of what an app has: fetched and judged first, then all of it, or back to how it was."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common import timestamps
from ansible_collections.homeport.django.plugins.module_utils.host.backup.archive import (
    Archive,
    configured,
    dumped,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.fetch import (
    BEFORE,
    Fetched,
    chosen,
    compared,
    manifest_of,
    taken_at,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import POINT, write_whole
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import Store
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import (
    DEFAULT,
    App,
    Part,
    clear,
    parts_of,
    take,
    totals,
)
from ansible_collections.homeport.django.plugins.module_utils.host.closed import close, closed_by, reopen
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, remove
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import Database
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import App as Services
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import start, stop, take_away


class Torn(DeployError):
    """The app stays closed: its files are partly those of the backup."""


def look(app: App, store: Store, source: str, wanted: str, database: bool = True) -> dict[str, Any]:
    """What would be restored, and what it would replace; refuses what could not work."""
    store.open(create=False)
    snapshot = chosen(store.snapshots(source), source, wanted)
    manifest = manifest_of(store, source, snapshot["id"])
    release = app.release()
    parts = app.parts()
    if not database and any(part.sqlite for part in parts.values()):
        raise DeployError("database=false: an SQLite database is among the files, and cannot be left out")
    known = set(app.layout.record(release).get("migrations", []))
    for alias, found in parts_of(manifest).items() if database else ():
        if alias not in parts:
            raise DeployError(
                f"The backup has the database {alias}, and the live release of {app.name} does not: declare it in "
                f"databases of {app.name} and deploy first, or restore the files alone (database=false)"
            )
        vendor = "sqlite" if parts[alias].sqlite else "postgresql"
        if vendor != found["vendor"]:
            of = "" if alias == DEFAULT else f"{alias}, "
            raise DeployError(
                f"The backup is of {of}a {found['vendor']} database, and {app.name} has {vendor} now: restore it "
                "into an app with the same kind of database, and move that one then (move_database)"
            )
        refuse_newer(found["migrations"], known, manifest["commit"])
    stays = sorted(parts.keys() - parts_of(manifest).keys())
    for alias in stays:
        if parts[alias].sqlite:
            raise DeployError(
                f"The backup does not have the SQLite database {alias}, which is among the files that it replaces: "
                f"choose a later backup, or remove {alias} from databases of {app.name} and deploy first"
            )
    return {
        "snapshot": snapshot["id"],
        "time": taken_at(snapshot).strftime("%Y-%m-%d %H:%M:%S %z"),
        "source": source,
        "release": manifest["release"],
        "commit": manifest["commit"],
        **totals(manifest),
        "now": present(app),
        "vendor": manifest["vendor"],
        "database": database,
        "stays": stays,
    }


def present(app: App) -> str:
    """What there is to be replaced; a database that cannot even be read is no reason not to."""
    tables = rows = 0
    for part in app.parts().values():
        try:
            found = app.look(part=part)["rows"]
        except DeployError:
            return "a database that cannot be read"
        tables, rows = tables + len(found), rows + sum(found.values())
    return f"{tables} tables with {rows} rows"


def refuse_newer(migrations: list[str], known: set[str], commit: str) -> None:
    newer = [name for name in migrations if known and name not in known and has_app(name, known)]
    if newer:
        raise DeployError(
            f"The backup has migrations applied that the live release does not know ({', '.join(newer)}): "
            f"deploy the code of its time first{' (commit ' + commit + ')' if commit else ''}"
        )


def has_app(migration: str, known: set[str]) -> bool:
    """Whether the migration's Django app is one that the release has: tables of others are nobody's any more."""
    label = migration.partition(".")[0]
    return any(name.partition(".")[0] == label for name in known)


def timestamp(text: str) -> str:
    """A time in UTC as PostgreSQL reads it."""
    try:
        return timestamps.timestamp(text)
    except ValueError as error:
        raise DeployError(f"target_time: {text!r} is an invalid timestamp: {error}") from error


def look_at_time(app: App, wanted: str) -> dict[str, Any]:
    """What would be replaced by the database of a point in time."""
    when = timestamp(wanted)
    if not app.database:
        raise DeployError(
            "target_time: a restore to a point in time needs PostgreSQL on the app's own host; elsewhere, "
            "restore a backup (to=TIME)"
        )
    configured()
    elsewhere = sorted(alias for alias, part in app.parts().items() if not part.database)
    now = present(app)
    return {"target_time": when, "source": app.name, "now": now, "vendor": "postgresql", "stays": elsewhere}


class Restore:
    """The steps in their order; ``seconds`` says how long each took."""

    def __init__(
        self, app: App, store: Store, source: str, snapshot: str, keep: bool, database: bool = True
    ) -> None:
        self.app = app
        self.store = store
        self.source = source
        self.snapshot = snapshot
        self.keep = keep  # a last backup of what is replaced
        self.database = database  # and not the files alone
        self.folder = f"{app.home}/restoring"
        self.before = f"{self.folder}/before"
        self.record = f"{self.folder}/moved.json"
        self.services = Services(app.name)
        self.command = (
            f"restore -e app={source} -e to={snapshot[:8]}"  # which finishes this one, once interrupted
        )
        self.command += "" if source == app.name else f" -e as={app.name}"
        self.command += "" if database else " -e database=false"
        self.seconds: dict[str, float] = {}
        self.moved: list[tuple[str, str]] = []  # where a folder is kept that was replaced, and where it was
        self.last: dict[str, Any] = {}
        self.loaded: list[Part] = []  # a database that fails has not changed: it is one transaction
        self.torn = False  # files of before and of the backup: nothing may write to those

    def run(self) -> dict[str, Any]:
        if os.path.lexists(self.before):
            self.undo_interrupted()
        try:
            fetched = self.timed(
                "fetch", lambda: Fetched(self.store, self.source, self.snapshot, self.folder)
            )
            files = self.timed("verify", fetched.verify)
            fetched.hand_over(self.app)
            if self.keep:
                self.last = self.timed("last backup", self.last_backup)
            migrated = self.closed(fetched.manifest, fetched.dumps, lambda: self.exchange(fetched))
        finally:
            if not self.moved:
                remove(self.folder, strict=False)
            clear(self.app)
        return {
            **files,
            **(totals(fetched.manifest) if self.database else {}),
            "migrated": migrated,
            "last": self.last.get("snapshot", ""),
            "seconds": self.seconds,
        }

    def undo_interrupted(self) -> None:
        """Of an earlier restore that ended with its host, or was killed, the replaced files come back first.

        The database is the one from before, or the backup's: its restore is one transaction.
        """
        stop(self.services)
        try:
            with open(self.record, encoding="utf-8") as stream:
                self.moved = [(str(kept), str(place)) for kept, place in json.load(stream)]
            self.put_back()
            os.rename(self.before, f"{self.folder}/undone")  # from here on there is nothing to undo
        except (OSError, ValueError) as error:
            raise Torn(
                f"{self.before} has the files that an earlier restore has replaced; it was interrupted, and they could "
                f"not be restored: {error}. Restore what is missing by hand, or move that folder aside, and run this "
                "again. The app stays stopped until then. Nothing else was changed"
            ) from error
        start(self.services)
        remove(self.folder)

    def last_backup(self) -> dict[str, Any]:
        try:
            return take(self.app, self.store, BEFORE)
        except DeployError as error:
            raise DeployError(
                f"The last backup of what would be replaced failed, so nothing was changed (-e dump=false leaves it "
                f"out):\n{error}"
            ) from error

    def timed(self, name: str, step: Any) -> Any:
        started = time.monotonic()
        result = step()
        self.seconds[name] = round(self.seconds.get(name, 0) + time.monotonic() - started, 2)
        return result

    def closed(
        self, manifest: Mapping[str, Any], dumps: Mapping[str, str], exchange: Callable[[], None]
    ) -> list[str]:
        """While nothing of the app runs, and visitors get the maintenance page."""
        began = time.monotonic()
        ours = close(self.app.home, self.command)
        try:
            stop(self.services)
            try:
                self.timed("files", exchange)
                migrated = self.replace_databases(manifest, dumps) if self.database else []
                if self.moved and os.path.lexists(self.before):
                    os.rename(self.before, f"{self.folder}/replaced")  # from here on nobody undoes it
                self.moved = []
            except BaseException as error:
                self.back(error)
                raise
        finally:
            if not self.torn:
                start(self.services)
                if ours:
                    reopen(self.app.home)
            self.seconds["closed"] = round(time.monotonic() - began, 2)
        return migrated

    def replace_databases(self, manifest: Mapping[str, Any], dumps: Mapping[str, str]) -> list[str]:
        parts, migrated = self.app.parts(), []
        for alias, wanted in parts_of(manifest).items():
            migrated += self.replace_database(parts[alias], wanted, dumps[alias])
        return migrated

    def replace_database(self, part: Part, wanted: Mapping[str, Any], dump: str) -> list[str]:
        self.timed("database", lambda: self.app.load(dump, part=part))
        self.loaded.append(part)
        found = self.timed("compare", lambda: self.app.look(part=part))
        compared(wanted, found)
        return self.timed("migrate", lambda: self.migrate(part.alias)) if found["check"] else []

    def exchange(self, fetched: Fetched) -> None:
        """Folders change places by their names: in folders that root alone can write."""
        pairs = []
        shared = fetched.part("shared")
        if os.path.isdir(shared):
            pairs += [(f"{shared}/{name}", f"shared/{name}") for name in sorted(os.listdir(shared))]
        if os.path.isdir(fetched.part("home")):
            pairs.append((fetched.part("home"), "home"))
        places = [(f"{self.before}/{name}", f"{self.app.home}/{name}") for _new, name in pairs]
        moved = [(kept if os.path.lexists(place) else "", place) for kept, place in places]
        os.makedirs(self.folder, 0o700, exist_ok=True)
        write_whole(self.record, moved)
        os.makedirs(f"{self.before}/shared", 0o700)
        self.moved = moved
        for (new, _name), (kept, place) in zip(pairs, moved):
            if kept:
                os.rename(place, kept)
            os.rename(new, place)

    def migrate(self, alias: str) -> list[str]:
        """What the live release has migrated since the backup was made."""
        spec = {**self.app.layout.spec, "migrate": {"lock_timeout": 10, "statement_timeout": 3600}}
        self.app.layout.spec = spec
        database = Database(self.app.layout, self.app.release(), alias)
        found = database.ask(go_if_nothing=False)
        done = database.ask(go=True)
        database.check(found, done)
        applied: list[str] = done["applied"]
        return applied

    def back(self, error: BaseException) -> None:
        """Everything as it was; the message reports that, or how far it came."""
        try:
            self.put_back()
        except OSError as second:
            self.torn = True
            raise Torn(
                f"{error}\nThe files could not be restored as they were: {second}\nThey are in {self.before}. The "
                f"app stays stopped and closed to visitors until this succeeds: {self.command}. Where it cannot, "
                "restore them by hand, move that folder aside, run the setup playbook then, and the playbook "
                f"maintenance with -e app={self.app.name} -e state=off"
            ) from error
        replaced = [part for part in self.loaded if not part.sqlite]  # the others are files
        if not replaced:
            return
        if not self.last:
            raise DeployError(
                f"{error}\nThe files were restored as they were; the database was replaced, and it has no last backup"
            ) from error
        failed = []
        for part in replaced:
            try:
                self.app.load(f"{self.app.staging}/{part.file('postgresql')}", part=part)
            except DeployError as second:
                failed.append(f"{part.title.capitalize()} could not be restored as it was: {second}")
        if failed:
            lines = "\n".join(failed)
            raise DeployError(f"{error}\n{lines}\nIts last backup is {self.last['snapshot'][:8]}") from error

    def put_back(self) -> None:
        while self.moved:
            kept, place = self.moved[-1]
            if not kept:
                take_away(place)
            elif os.path.lexists(kept):  # else it had not been moved yet
                take_away(place)
                os.rename(kept, place)
            self.moved.pop()


class RestoreToTime(Restore):
    """The database alone, as of a point in time. Files stay: those of later rows do no harm, and none is missing."""

    def __init__(self, app: App, store: Store, when: str, keep: bool) -> None:
        super().__init__(app, store, app.name, "", keep)
        self.when = when
        self.folder = POINT
        self.command = (
            f"restore -e app={app.name} -e target_time={when.replace(' ', 'T').removesuffix('+00')}"
        )

    def run(self) -> dict[str, Any]:
        if os.path.lexists(self.before):  # of a restore of the files, which has the only copy of them there
            first = closed_by(self.app.home) or f"restore -e app={self.app.name}"
            raise DeployError(
                f"{self.before} has the files that an earlier restore has replaced; it was interrupted. Run it again "
                f"first: {first}. Nothing was changed"
            )
        if os.path.lexists(self.folder):
            shutil.rmtree(self.folder)
        os.mkdir(self.folder, 0o700)
        archive = Archive(configured())
        try:
            parts = self.app.parts()
            databases = {alias: part.database for alias, part in parts.items() if part.database}
            found = self.timed("fetch", lambda: dumped(archive, databases, self.when, self.folder))
            known = set(self.app.layout.record(self.app.release()).get("migrations", []))
            for part in parts_of(found).values():
                refuse_newer(part["migrations"], known, "")
            if self.keep:
                self.last = self.timed("last backup", self.last_backup)
            dumps = {
                alias: f"{self.folder}/{part['dump']['file']}" for alias, part in parts_of(found).items()
            }
            migrated = self.closed(found, dumps, lambda: None)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            clear(self.app)
        return {
            **totals(found),
            "migrated": migrated,
            "last": self.last.get("snapshot", ""),
            "seconds": self.seconds,
        }
