# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The last copy of an app's data: written, read back, and only then given its name."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import file_digest
from ansible_collections.homeport.django.plugins.module_utils.common.names import FURTHER
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LAST_DUMPS
from ansible_collections.homeport.django.plugins.module_utils.host.copies import (
    SQLITE_SIDES,
    call,
    create,
    synced,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DUMP, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.programs.postgres_client import newest
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import (
    App,
    database_of,
    databases,
    further_of,
)

LOCK = 60  # seconds
PARTIAL = ".partial"
README = """The last copy of {name} of {host}, made when the app was removed.

manifest.json says what each file is. Everything here can be read by root alone, and holds secrets.

To restore the app: put it into django_apps again and run the setup playbook; it comes up empty.
Stop it on its app servers (supervisorctl stop '{name}.web:*', and its other processes), then in this folder, as root:
{steps}
and start it again (supervisorctl start '{name}.web:*').
"""
# Into a folder that the app cannot enter: it could lead root elsewhere by a link meanwhile.
EXTRACT = """\
  mkdir -m 0700 {home}/restored && tar --extract --gzip --directory={home}/restored <data.tar.gz
  for part in $(cd {home}/restored && ls -d shared/* home); do
    rm -rf {home}/$part && mv {home}/restored/$part {home}/$part
  done
  rm -r {home}/restored"""
# As the app, never as PostgreSQL's superuser, and not in a session of its either: what is restored runs the app's code
# (a CHECK constraint's function). Extensions are there already. A release's DATABASE_URL has its login.
RESTORE = """\
  (on an app server; where the database is on another host, copy {dump} there first)
  app() {{ runuser -u {name} -- env HOME={home}/home /usr/local/lib/homeport/run {home}/current sh -c "$1"; }}
  theirs='EXTENSION|ACL|SCHEMA - public|DATA public spatial_ref_sys'
  app 'pg_restore --list | grep -vE " ('"$theirs"') " >"$HOME/list"' <{dump}
  opts='--clean --if-exists --no-owner --no-privileges'
  app 'pg_restore '"$opts"' --use-list="$HOME/list" --file="$HOME/sql"' <{dump}
  (a server older than PostgreSQL 17 does not know this setting)
  app 'sed -i "1,/^SELECT/{{/^SET transaction_timeout/d}}" "$HOME/sql"'
  opts='--no-psqlrc --quiet --single-transaction --set=ON_ERROR_STOP=1'
  app '{url}
    psql '"$opts"' --file="$HOME/sql" "${{url:-$PGDATABASE}}"'"""
# Where the address of a database is. One that is not there leads nowhere, least of all to another database.
OWN_URL = "url=${DATABASE_URL:+postgres:${DATABASE_URL#*:}}"
FURTHER_URL = "url=${{{variable}:?}}; url=postgres:${{url#*:}}"


class Dump:
    """A folder under /var/backups/homeport that only root can enter."""

    def __init__(self, app: App, stamp: str) -> None:
        self.app = app
        self.name = f"{app.name}-{stamp}"
        self.folder = f"{LAST_DUMPS}/{self.name}"
        self.work = f"{self.folder}{PARTIAL}"
        self.contents: list[dict[str, Any]] = []
        self.steps: list[str] = []

    def make(self, cluster: Cluster | None, keep: list[str], facts: dict[str, Any]) -> list[dict[str, Any]]:
        """Everything of the app that is on this host; raises, and leaves nothing, when a part of it fails."""
        try:
            self.begin()
            if os.path.isdir(self.app.home):
                files = sqlite_paths(self.app)
                self.configuration()
                self.data([f"{path}{side}" for path in files for side in SQLITE_SIDES])
                for path in files:
                    self.sqlite(path)
            if cluster:
                found = databases(cluster, self.app, keep)
                for entry in found["databases"]:
                    self.postgres(cluster, entry["name"], [self.app.name, *found["logins"]])
            if not self.contents:
                shutil.rmtree(self.work)
                return []
            self.finish(facts)
        except BaseException:
            shutil.rmtree(self.work, ignore_errors=True)
            raise
        return self.contents

    def begin(self) -> None:
        os.makedirs(LAST_DUMPS, mode=0o700, exist_ok=True)
        for name in os.listdir(LAST_DUMPS):  # of an interrupted run
            if re.fullmatch(rf"{self.app.name}-[0-9T]+\{PARTIAL}", name):
                shutil.rmtree(f"{LAST_DUMPS}/{name}")
        os.mkdir(self.work, 0o700)

    def configuration(self) -> None:
        """What the roles wrote for the app, and how its live release was made."""
        current = self.app.layout.current
        wanted = [f"{self.app.home}/config", *self.app.files_of_roles(), self.app.record]
        wanted += [f"{current}/config", f"{current}/release.json"] if current else []
        paths = [path for path in wanted if os.path.lexists(path)]
        if paths:
            self.tar(
                "config.tar.gz", "/", [path.lstrip("/") for path in paths], "configuration, with secrets"
            )

    def sqlite(self, path: str) -> None:
        """Copies the app's SQLite database."""
        base = name = os.path.basename(path)
        number = 1
        while os.path.lexists(f"{self.work}/{name}"):  # of another folder
            number += 1
            name = f"{number}-{base}"
        with create(f"{self.work}/{name}") as stream:
            argv = argv_of("sqlite_copy", "/usr/bin/python3", path=path)
            Runner(self.app.layout).pipe(argv, f"Copying {path}", stdout=stream)
        self.add(name, "the SQLite database")
        sides = " ".join(f"{path}{side}" for side in SQLITE_SIDES)
        put = f"runuser -u {self.app.name} -- sh -c 'umask 027; rm -f {sides}; cat >{path}'"
        self.steps.append(f"  {put} <{name}")

    def data(self, without: list[str]) -> None:
        """Media and data, which survive releases, and what the app keeps in its user's home."""
        paths = [name for name in ("shared", "home") if os.path.isdir(f"{self.app.home}/{name}")]
        if not paths:
            return
        excluded = [f"--exclude={os.path.relpath(path, self.app.home)}" for path in without]
        self.tar("data.tar.gz", self.app.home, paths, "media and data", excluded)
        self.steps.append(EXTRACT.format(home=self.app.home))

    def tar(
        self, name: str, base: str, paths: list[str], what: str, excluded: list[str] | None = None
    ) -> None:
        """GNU tar opens each folder relative to the one above and follows no link, also not one made meanwhile."""
        words = [
            "tar",
            "--create",
            "--gzip",
            "--sparse",
            "--anchored",
            "--no-wildcards",
            f"--directory={base}",
        ]
        with create(f"{self.work}/{name}") as stream:
            call([*words, *(excluded or []), "--", *paths], f"Packing {what}", stdout=stream)
        listed = call(["tar", "--list", "--gzip", f"--file={self.work}/{name}"], f"Reading {name} again")
        self.add(name, what, entries=len(listed.splitlines()))

    def postgres(self, cluster: Cluster, database: str, roles: list[str]) -> None:
        """Dumps a database with the app's own rights: a superuser would run the app's code."""
        name = f"{database}.pgdump"
        path = f"{self.work}/{name}"
        with cluster.login(database, roles) as login:
            with create(path) as stream:
                words = ["pg_dump", "--format=custom", "--no-password", f"--lock-wait-timeout={LOCK * 1000}"]
                login.run(words, "pg_dump", stdout=stream, seconds=DUMP)
            with open(path, "rb") as stream:
                reader = newest("pg_restore")
                listed = login.run([reader, "--list"], f"Reading {name} again", stream)
            with open(path, "rb") as stream:
                # the list is only the beginning of the file; this reads all of it
                words = [reader, "--file=/dev/null"]
                login.run(words, f"Reading {name} again", stream, seconds=DUMP)
        tables = sum(" TABLE DATA " in line for line in listed.splitlines())
        self.add(name, f"the PostgreSQL database {database} (pg_dump, custom format)", tables=tables)
        place = {"name": self.app.name, "home": self.app.home, "dump": name}
        self.steps.append(RESTORE.format(**place, url=self.url_of(database)))

    def url_of(self, database: str) -> str:
        """How a shell of the app finds the address of a database."""
        environment, own = self.app.environment(), f"{self.app.name}_"
        leading = [key for key, found in further_of(environment).items() if found["name"] == database]
        is_own = database_of(environment).get("name") == database
        if not leading and not is_own and database.startswith(own):
            # on a database server, which has no environment of the app
            leading = [f"{database[len(own) :].upper()}{FURTHER}"]
        return FURTHER_URL.format(variable=leading[0]) if leading else OWN_URL

    def add(self, name: str, what: str, **more: Any) -> None:
        path = f"{self.work}/{name}"
        self.contents.append(
            {"file": name, "what": what, "bytes": os.path.getsize(path), "sha256": file_digest(path), **more}
        )

    def finish(self, facts: dict[str, Any]) -> None:
        """Writes down what is in it, and gives the folder its name once everything is on the disk."""
        manifest = {"app": self.app.name, **facts, "contents": self.contents}
        host = os.uname().nodename
        with create(f"{self.work}/manifest.json") as stream:
            stream.write(f"{json.dumps({**manifest, 'host': host}, indent=1)}\n".encode())
        with create(f"{self.work}/README.txt") as stream:
            steps = "\n".join(self.steps)
            stream.write(README.format(name=self.app.name, host=host, steps=steps).encode())
        for name in os.listdir(self.work):
            synced(f"{self.work}/{name}")
        synced(self.work)
        os.rename(self.work, self.folder)
        synced(LAST_DUMPS)


def sqlite_paths(app: App) -> list[str]:
    """The app's SQLite databases in its own folder, when it has any and a user who can read them."""
    environment = app.environment()
    found = [database_of(environment), *further_of(environment).values()]
    paths = [os.path.normpath(each.get("name", "")) for each in found if each.get("engine") == "sqlite"]
    return [
        path
        for path in dict.fromkeys(paths)
        if path.startswith(f"{app.home}/")
        and os.path.isfile(path)
        and not os.path.islink(path)
        and app.account()
    ]
