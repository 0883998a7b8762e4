# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The database of an app on its way from one release to the next: judged, saved, migrated, restored."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import interruption
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    tail,
)
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.dumps import (
    DEFAULT,
    forget,
    name_of,
)

# The form of the answer of the program migrate.
ASKED = {
    "vendor": str,
    "fresh": bool,
    "pending": [str],
    "unsafe": {str: [str]},
    "notes": {str: [str]},
    "applied": [str],
    "extensions": [str],
    "?bytes": int,
    "?error": str,
    "?sqlstate": str,
    "?output": str,
    "?loose": str,
    "?left": [str],
    "?later": [str],
    "?cleared": [str],
}
LINTER = "6.0.0"
# Its own dependencies are imported, though not for what is asked of it here.
LINTER_PACKAGES = f"""\
django-migration-linter=={LINTER} --hash=sha256:8fbac51a77fbe86d814e2b996b80aa831d21499982085cda1cacc84b7b4971a5
appdirs==1.4.4 --hash=sha256:a841dacd6b99318a741b166adb07e19ee71a274450e68237b4650ca1055ab128
toml==0.10.2 --hash=sha256:806143ae5bfb6a3c6e736a764057db0e6a0e05e338b5630894a5f779cabb4f9b
"""
DUMPABLE = {"postgresql": "dump", "sqlite": "sqlite3", "mysql": "sql"}
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
TRIES = 3  # of a migration that does not get its lock
LINES = 10  # of what migrate has printed: a first release applies hundreds
SPARE = 200 * 1024 * 1024  # bytes that a dump must leave free


def listed(names: list[str]) -> str:
    """Names of migrations, as many as can be read."""
    if len(names) <= LINES:
        return ", ".join(names)
    return f"{', '.join(names[:2])}, ... ({len(names)} in all, to {names[-1]})"


class Held(DeployError):
    """The operator has to say that a migration is meant."""


class Database:
    """A database of one app, as a release sees it: the app's own, or a further one by its alias."""

    def __init__(self, layout: Layout, release: str, alias: str = DEFAULT) -> None:
        self.layout = layout
        self.release = release
        self.alias = alias
        self.title = "database" if alias == DEFAULT else f"database {alias}"
        self.chosen = {"release": release} if alias == DEFAULT else {"release": release, "alias": alias}
        self.runner = Runner(layout)
        self.options: dict[str, Any] = layout.spec["migrate"]
        self.folder = f"{layout.home}/dumps"

    def ask(self, judge: bool = False, go: bool = False, go_if_nothing: bool = False) -> dict[str, Any]:
        """What the database lacks, and with ``go`` what came of migrating it."""
        question = {
            **self.chosen,
            "judge": judge,
            "linter": self.linter() if judge else "",
            "go": go,
            "go_if_nothing": go_if_nothing,
            "lock_timeout": self.options["lock_timeout"],
            "statement_timeout": self.options["statement_timeout"],
        }
        looking = f"Inspecting the {self.title}"
        what = (
            looking if not go else "migrate" if self.alias == DEFAULT else f"migrate --database {self.alias}"
        )
        out = self.runner.in_release(self.release, argv_of("migrate", **question), what)
        return claims.answer(out, MARK, ASKED, looking)

    def linter(self) -> str:
        """Folder with the linter of Django's migrations, which is no business of the app's own environment."""
        folder = f"{self.layout.cache}/migration-linter-{LINTER}"
        found = f"{folder}/django_migration_linter"
        if self.runner.as_app("Looking for the linter of migrations", os.path.isdir, found):
            return folder
        argv = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", folder]
        argv += ["--python", f"{self.release}/venv/bin/python", "--requirement", "-"]
        self.runner.run(argv, "Installing the linter of migrations", stdin=LINTER_PACKAGES)
        return folder

    def gate(self, before: str, allowed: bool) -> dict[str, Any]:
        """What is to be migrated; raises Held for migrations that would break the code that is still running.

        Where nothing is pending, migrate has run in the same process.
        """
        found = self.ask(go_if_nothing=True)
        if found["extensions"]:
            names = ", ".join(found["extensions"])
            raise DeployError(
                f"Migrations create extensions of PostgreSQL that only a superuser may create: {names}; nothing was "
                f"applied\n{self.field()}.extensions: name {names}, which the setup playbook creates then"
            )
        if not found["pending"]:
            self.check(found, found)
        elif self.options["gate"] and not allowed and before and not found["fresh"]:
            found = self.ask(judge=True)
            if found["unsafe"]:
                raise Held(held({**found, "unsafe": self.labelled(found["unsafe"])}))
        return found

    def field(self) -> str:
        """The app's field that declares it."""
        return "database" if self.alias == DEFAULT else f"databases.{self.alias}"

    def label(self, migration: str) -> str:
        """A migration with the further database that it is for."""
        return migration if self.alias == DEFAULT else f"{migration} ({self.alias})"

    def labelled(self, found: dict[str, Any]) -> dict[str, Any]:
        return {self.label(name): value for name, value in found.items()}

    def is_dumped(self, found: dict[str, Any]) -> bool:
        """Whether it is before a migration: not where there is nothing to lose, or no dump is wanted."""
        wanted = found["pending"] or found["vendor"] in DUMPABLE
        return bool(self.options["dump"] and wanted and not found["fresh"])

    def migrate(self, found: dict[str, Any]) -> list[str]:
        """Applies what is pending; returns the names of the migrations that were applied."""
        applied: list[str] = []
        for attempt in range(1, TRIES + 1):
            with interruption.held_off():
                done = self.ask(go=True)
            done["applied"] = applied = [*applied, *done["applied"]]
            if done.get("sqlstate") != LOCK_NOT_AVAILABLE or attempt == TRIES or done.get("left"):
                break
            time.sleep(2 * attempt)
        self.check(found, done, attempt)
        return applied

    def check(self, found: dict[str, Any], done: dict[str, Any], tries: int = 1) -> None:
        """Raises with what went wrong, and how far the database moved."""
        error = done.get("error")
        if not error:
            return
        applied, left = done["applied"], [name for name in found["pending"] if name not in done["applied"]]
        if applied:
            moved = f"The {self.title} moved: {listed(applied)} applied, {listed(left)} not"
        else:
            moved = f"The {self.title} did not move" + (f": none of {listed(left)} applied" if left else "")
        if found["vendor"] == "mysql":
            moved += " (MySQL cannot undo the part of a migration that was done before it failed)"
        if done.get("loose"):
            moved += f"\n{loose(done)}"
        hint = ""
        if done["sqlstate"] == LOCK_NOT_AVAILABLE:
            often = f"{tries} time{'s' * (tries > 1)}"
            hint = (
                f"\nIt waited {self.options['lock_timeout']} s for a lock, {often}; longer would have stopped "
                "the site's own queries (migrate.lock_timeout)"
            )
        elif done["sqlstate"] == QUERY_CANCELED:
            hint = (
                f"\nA statement took over {self.options['statement_timeout']} s; migrate.statement_timeout can "
                "allow more"
            )
        elif wanted := re.search(r'permission denied to create extension "([\w-]+)"', error):
            hint = (
                f"\n{self.field()}.extensions: name {wanted[1]}, which the setup playbook creates then. In a bought "
                "database the provider does"
            )
        what = "migrate" if self.alias == DEFAULT else f"migrate --database {self.alias}"
        raise DeployError(f"{what} failed:\n{tail(done['output'], LINES)}\n{error}{hint}\n{moved}")

    def dump(self, found: dict[str, Any], name: str, before: str) -> str:
        """Saves the database and returns the file. ``name`` is that of the dump, which may have files of other
        databases: ``found`` has the aliases of all in ``together``."""
        vendor = found["vendor"]
        if vendor not in DUMPABLE:
            raise DeployError(
                f"Homeport cannot dump a {vendor} database before it is migrated: make a backup of your own and "
                "set migrate.dump: false"
            )
        self.own_folder()
        free, needed = shutil.disk_usage(self.folder).free, found.get("bytes", 0) + SPARE
        if free < needed:
            raise DeployError(
                f"Not enough disk space for a dump of the {self.title}: {free >> 20} MiB are free and "
                f"{needed >> 20} MiB needed"
            )
        stem = name if self.alias == DEFAULT else f"{name}.{self.alias}"
        path = f"{self.folder}/{stem}.{DUMPABLE[vendor]}"
        started = time.monotonic()
        try:
            with open(f"{path}.part", "wb") as stream:
                os.fchmod(stream.fileno(), 0o600)
                argv = [f"{LIBRARY}/run", self.release, *argv_of("dump", **self.chosen)]
                self.runner.pipe(argv, f"Dumping the {self.title}", stdout=stream)
                os.fsync(stream.fileno())
        except DeployError as error:
            os.unlink(f"{path}.part")
            hint = ""
            if "server version mismatch" in str(error):
                hint = (
                    "\nThe database's server is newer than this host's postgresql-client; install a newer one, or set "
                    "migrate.dump: false and make a backup of your own"
                )
            raise DeployError(f"{error}{hint}") from error
        os.rename(f"{path}.part", path)
        record = {
            "release": name,
            "of": os.path.basename(self.release),
            "alias": self.alias,
            "together": found.get("together", [self.alias]),
            "before": os.path.basename(before) if before else "",
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "migrations": found["pending"],
            "bytes": os.path.getsize(path),
            "seconds": round(time.monotonic() - started, 2),
        }
        with open(f"{path}.json.part", "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(json.dumps(record, indent=1, sort_keys=True) + "\n")
        os.rename(f"{path}.json.part", f"{path}.json")
        return path

    def own_folder(self) -> None:
        if not os.path.isdir(self.folder):
            os.mkdir(self.folder, 0o700)

    def restore(self, path: str) -> None:
        """Puts the dump in the place of what the database holds: all of it, or nothing."""
        with open(path, "rb") as stream:
            argv = [f"{LIBRARY}/run", self.release, *argv_of("restore", **self.chosen)]
            self.runner.pipe(argv, f"Restoring the {self.title}", stdin=stream)


class Databases:
    """The databases of an app that a release migrates, the app's own first."""

    def __init__(self, layout: Layout, release: str, default: bool = True) -> None:
        self.layout, self.release = layout, os.path.basename(release)
        record, further = layout.record(release), layout.spec.get("databases", {})
        known = record.get("databases", []) if record else further  # a plan has no record
        wanted = [alias for alias, options in further.items() if alias in known and options["migrate"]]
        default = default and record.get("default", {}).get("vendor", "known") != ""
        own = [DEFAULT] if default else []  # the settings of a project without a database have none
        self.all = [Database(layout, release, alias) for alias in (*own, *wanted)]
        self.found: dict[str, dict[str, Any]] = {}  # what each lacks

    def look(self, judge: bool) -> dict[str, Any]:
        """What all of them lack together, for a plan."""
        self.found = {database.alias: database.ask(judge=judge) for database in self.all}
        unsafe: dict[str, Any] = {}
        for database in self.all:
            unsafe.update(database.labelled(self.found[database.alias]["unsafe"]))
        return {"pending": self.pending(), "unsafe": unsafe, "notes": self.notes()}

    def gate(self, before: str, allowed: bool) -> None:
        self.found = {database.alias: database.gate(before, allowed) for database in self.all}

    def pending(self) -> list[str]:
        return [
            database.label(name)
            for database in self.all
            for name in self.found.get(database.alias, {}).get("pending", [])
        ]

    def notes(self) -> dict[str, Any]:
        notes: dict[str, Any] = {}
        for database in self.all:
            notes.update(database.labelled(self.found[database.alias]["notes"]))
        return notes

    def save(self, before: str) -> str:
        """Dumps of all, also of those that have nothing pending: they go back together."""
        wanted = [database for database in self.all if database.is_dumped(self.found[database.alias])]
        pending = {alias: found["pending"] for alias, found in self.found.items()}
        name = name_of(self.layout, self.release, pending) if wanted else ""
        if name:
            forget(self.layout, name)
        together, saved = [database.alias for database in wanted], ""
        for database in reversed(wanted):
            saved = database.dump({**self.found[database.alias], "together": together}, name, before)
        return saved

    def migrate(self) -> list[str]:
        applied: list[str] = []
        for database in self.all:
            found = self.found[database.alias]
            if not found["pending"]:
                continue
            try:
                applied += [database.label(name) for name in database.migrate(found)]
            except DeployError as error:
                if not applied:
                    raise
                raise DeployError(
                    f"{error}\nBefore it, other databases moved: {listed(applied)} applied"
                ) from error
        return applied


def migrations_between(layout: Layout, newer: str, older: str) -> list[str]:
    """Migrations that one release brings and the other does not know."""
    known = set(layout.record(older).get("migrations", []))
    return [name for name in layout.record(newer).get("migrations", []) if name not in known] if known else []


def loose(done: dict[str, Any]) -> str:
    """What has become of a migration that is no transaction and has failed."""
    app, _dot, migration = done["loose"].partition(".")
    left, later = done.get("left", []), done.get("later", [])
    text = f"{done['loose']} is not atomic, so that what it does before it fails stays"
    if done.get("cleared"):
        text += (
            f"; removed again: {', '.join(f'the index {index}' for index in dict.fromkeys(done['cleared']))}"
        )
    if later:
        text += f"; {', '.join(later)} stays until the next deploy, which removes it before it tries again"
    if not left:
        return text if later else f"{text}; nothing of it is left, and the next deploy tries it again"
    return (
        f"{text}; left: {', '.join(left)}. Undo that by hand, or complete it by hand and record it in Django: "
        f"the playbook manage with -e release=next -e command='migrate --fake {app} {migration}'; then deploy again"
    )


def held(found: dict[str, Any]) -> str:
    lines = [f"  {name}: {'; '.join(reasons)}" for name, reasons in found["unsafe"].items()]
    return (
        "Held: these migrations would break the code that runs meanwhile:\n"
        + "\n".join(lines)
        + "\nSplit them over two deploys (first code that needs neither the old nor the new shape), or "
        "allow them: -e allow_unsafe_migrations=true"
    )
