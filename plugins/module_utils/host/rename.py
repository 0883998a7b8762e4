# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app that has another name now: what a host has of the earlier one gets the new name, in place.

Each step finds out by itself whether it is done: a run that was interrupted is continued by the next one. The app's
folder comes last, so that until then the host is known to have something left to rename.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.derive import is_login
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, of_app
from ansible_collections.homeport.django.plugins.module_utils.common.names import PROGRAMS, nginx_name
from ansible_collections.homeport.django.plugins.module_utils.common.paths import RUNTIME, STATE
from ansible_collections.homeport.django.plugins.module_utils.host.copies import call
from ansible_collections.homeport.django.plugins.module_utils.host.given import units
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.layout import remove as remove_folder
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    LONG,
    Cluster,
    quote_name,
    quote_text,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import history
from ansible_collections.homeport.django.plugins.module_utils.host.removal.look import (
    STORES,
    App,
    mounted_below,
    recorded,
    refuse_during_deploy,
)
from ansible_collections.homeport.django.plugins.module_utils.host.removal.steps import (
    end_processes,
    has_group,
    stop,
    take_away,
)
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import SOCKET

FLAG = "Visitors get page.html until a release of this app is live under its new name.\n"
# Where drills restore to on a database server (wiring/backup.py).
SCRATCH = "homeport_drill_"
SITES, MAINTENANCE = (
    "/etc/nginx/sites-enabled/{app}.conf",
    "/etc/nginx/conf.d/homeport-maintenance-{app}.conf",
)
CERTIFICATES = "/etc/homeport/certificates.json"
# What is an app's by its name, and not in its folder.
PATHS = (
    "/var/lib/homeport/backups/{app}.json",
    "/etc/homeport/certificates/{app}",
    "/etc/homeport/own/{app}.crt",
    "/etc/homeport/own/{app}.key",
    "/var/spool/cron/crontabs/{app}",
    "/var/lib/systemd/linger/{app}",
    "/var/log/nginx/{app}.access.log*",
    "/var/log/nginx/{app}.error.log*",
    "/var/lib/systemd/timers/stamp-{app}.*.timer",
    SITES,
    MAINTENANCE,
)


class Rename:
    """One app on one host. ``database`` is the declared name of its database in ``cluster``, if it has one there, and
    ``further`` those of others, each with its earlier name."""

    def __init__(
        self,
        name: str,
        was: str,
        database: str,
        cluster: Cluster | None,
        further: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.was = name, was
        self.further = {after: before for after, before in (further or {}).items() if after != before}
        self.old, self.new = App(was), App(name)
        self.database = database
        self.cluster = cluster if database else None
        self.flag = f"{self.new.home}/maintenance/on"

    def look(self) -> dict[str, Any]:
        """What there is of the earlier name, what of both names, and whether the new name is there."""
        refuse_during_deploy(self.old)
        mounts = mounted_below(self.old.home)
        if mounts:
            raise DeployError(
                f"{', '.join(mounts)}: mounted in the folder of {self.was}; unmount it, and mount it below "
                f"{self.new.home} once {self.was} is renamed"
            )
        old, new = self.things(self.old), self.things(self.new)
        found: dict[str, Any] = {"databases": []}
        if self.cluster:
            state = self.cluster.state()
            roles, databases = state["roles"], state["databases"]
            for app, known in ((self.was, old), (self.name, new)):
                if not roles.get(app, {"super": True})["super"]:
                    known["database role"] = app
            owners = (self.was, self.name)
            if self.database == self.name and databases.get(self.was, {}).get("owner") in owners:
                old["database"] = self.was
                if self.name in databases:
                    new["database"] = self.name
            for after, before in self.further.items():
                if databases.get(before, {}).get("owner") in owners:
                    old[f"database {before}"] = before
                    if after in databases:
                        raise DeployError(
                            f"PostgreSQL has both databases {before} and {after}: remove the one that is not wanted"
                        )
            found["databases"] = sorted(
                name
                for name, database in databases.items()
                if database["owner"] == self.was and not name.startswith(SCRATCH)
            )
        return {
            **found,
            "old": old,
            "both": sorted(old.keys() & new.keys()),
            "new": bool(new),
            "closed": self.is_closed(),
        }

    def things(self, app: App) -> dict[str, str]:
        """What an app has beside its database, each by what it is."""
        ours = app.is_ours()
        found = {
            "user": app.name if app.account() else "",
            "folder": app.home if ours and os.path.isdir(app.home) else "",
            "logs": app.logs if os.path.isdir(app.logs) else "",
        }
        for place, path in zip(instances("*"), instances(app.name)):
            found[place] = path if os.path.isdir(path) else ""
        return {kind: thing for kind, thing in found.items() if thing}

    def is_closed(self) -> bool:
        with contextlib.suppress(OSError), open(self.flag, encoding="utf-8") as stream:
            return stream.read() == FLAG
        return False

    def stop(self) -> None:
        """Nothing of the app runs, and visitors are told so."""
        refuse_during_deploy(self.old)
        flag = f"{self.old.home}/maintenance/on"
        if os.path.isdir(os.path.dirname(flag)) and not os.path.exists(flag):
            with open(flag, "w", encoding="utf-8") as stream:
                os.fchmod(stream.fileno(), 0o644)
                stream.write(FLAG)
        stop(self.old)

    def open(self) -> bool:
        """Lets visitors in again, once a release is live."""
        if not self.is_closed() or not self.new.layout.current:
            return False
        os.unlink(self.flag)
        return True

    def run(self, by: str) -> None:
        if self.cluster:
            rename_database(self.cluster, self.was, self.name, self.database, self.further)
        self.withdraw_units()
        self.move_record(by)
        moves = self.moves()
        rewrite_sites(self.was, self.name)
        for source, target in moves:
            take_away(target)
            os.rename(source, target)
        rewrite_records(self.was, self.name)
        rename_user(self.old, self.new)
        for path in (f"{RUNTIME}/{self.was}", f"{RUNTIME}/{self.was}.sock"):
            take_away(path)
        if "folder" in self.things(self.old):
            forget_releases(self.old)
            os.rename(self.old.home, self.new.home)
        if units(["nginx"]).get("nginx", [False, False])[1]:
            call(["systemctl", "reload", "nginx"], "systemctl reload nginx")

    def withdraw_units(self) -> None:
        """What a boot would start with a user who is not there."""
        units = [*self.old.stores(), *self.old.timers()]
        if units:
            call(["systemctl", "disable", "--quiet", "--now", *units], "systemctl disable")
        programs = glob.glob(f"{PROGRAMS}{self.was}.*.conf")
        for path in programs:
            os.unlink(path)
        if programs and os.path.exists(SOCKET):
            call(["supervisorctl", "update"], "supervisorctl update")
        end_processes(self.old)

    def move_record(self, by: str) -> None:
        """The record of the deploys, which also says that the folder to come is Homeport's."""
        if not os.path.exists(self.old.record) and "folder" not in self.things(self.old):
            return
        entry: dict[str, Any] = {
            "verb": "rename",
            "outcome": "renamed",
            "by": by,
            "message": f"{self.was} is {self.name} now",
        }
        entry.update(dict.fromkeys(("release", "before", "revision"), ""), seconds=0, migrations=[])
        history.append(self.was, entry)
        texts = []
        for path in (self.new.record, self.old.record):
            with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
                texts.append(stream.read())
        write_over(self.old.record, "".join(texts))
        os.rename(self.old.record, self.new.record)

    def moves(self) -> list[tuple[str, str]]:
        found = [(self.old.logs, self.new.logs)] if os.path.isdir(self.old.logs) else []
        found += [pair for pair in zip(instances(self.was), instances(self.name)) if os.path.isdir(pair[0])]
        for pattern in PATHS:
            before = pattern.partition("{app}")[0]
            for path in glob.glob(pattern.format(app=self.was)):
                found.append((path, f"{before}{self.name}{path[len(before) + len(self.was) :]}"))
        return found


def instances(app: str) -> list[str]:
    """Folders of the data of an app's own caches and brokers, there or not."""
    return [f"{STORES}/{path}" for facts in FACTS.values() for path in of_app(facts.data, app)]


def rename_database(cluster: Cluster, was: str, name: str, declared: str, further: Mapping[str, str]) -> None:
    """The role first: what belongs to it goes on belonging to it. Its logins are made anew."""
    state = cluster.state()
    roles, databases = state["roles"], state["databases"]
    if not roles.get(was, {"super": True})["super"] and name not in roles:
        for login in [login for login in roles if is_login(login, was)]:
            for database in [key for key, found in databases.items() if found["owner"] == was]:
                if roles[login]["owns"]:
                    cluster.reassign(login, was, database)
            cluster.ask(f"DROP ROLE {quote_name(login)};\n")
        cluster.ask(f"ALTER ROLE {quote_name(was)} RENAME TO {quote_name(name)};\n")
    pairs = [(was, name)] if declared == name else []
    pairs += [(f"{SCRATCH}{was}", f"{SCRATCH}{name}"), *((old, new) for new, old in further.items())]
    for before, after in pairs:
        mine = databases.get(before, {}).get("owner") in (was, name)
        if mine and after not in databases:
            old, new = quote_name(before), quote_name(after)
            cluster.ask(
                f"ALTER DATABASE {old} ALLOW_CONNECTIONS false;\n"
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {quote_text(before)};\n"
                f"BEGIN; ALTER DATABASE {old} RENAME TO {new}; ALTER DATABASE {new} ALLOW_CONNECTIONS true; COMMIT;\n",
                LONG,
            )


def rewrite_sites(was: str, name: str) -> None:
    """nginx goes on with the files that it has, by their new places, until it gets those of the new name."""
    for pattern in (SITES, MAINTENANCE):
        path = pattern.format(app=was)
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
            write_over(path, renamed_site(stream.read(), was, name))
    with contextlib.suppress(FileNotFoundError), open(CERTIFICATES, encoding="utf-8") as stream:
        found = json.load(stream)
        if was in found["sites"]:
            found["sites"][name] = found["sites"].pop(was)
            write_over(CERTIFICATES, json.dumps(found, indent=1) + "\n")


def renamed_site(text: str, was: str, name: str) -> str:
    for place in (
        "/srv/{}/",
        "/var/log/nginx/{}.",
        "/etc/homeport/certificates/{}/",
        "/run/homeport/{}.sock",
    ):
        text = text.replace(place.format(was), place.format(name))
    variables = rf"(\$homeport_(?:allowed|open|retry|trusted|says_scheme|scheme)_){nginx_name(was)}\b"
    return re.sub(variables, lambda found: f"{found[1]}{nginx_name(name)}", text)


def rewrite_records(was: str, name: str) -> None:
    """What the roles have put on the host: they remove what of it is not declared under the new name."""
    places = (
        (SITES.format(app=was), SITES.format(app=name)),
        (MAINTENANCE.format(app=was), MAINTENANCE.format(app=name)),
        *((f"/etc/homeport/own/{was}.{end}", f"/etc/homeport/own/{name}.{end}") for end in ("crt", "key")),
    )
    for record in glob.glob(f"{STATE}/*.json"):
        paths = recorded(record, "paths")
        renamed = [
            re.sub(
                rf"^(/srv|/var/log/homeport)/{re.escape(was)}(?=/|$)",
                rf"\1/{name}",
                dict(places).get(path, path),
            )
            for path in paths
        ]
        if renamed != paths:
            with open(record, encoding="utf-8") as stream:
                found = json.load(stream)
            write_over(record, json.dumps({**found, "paths": sorted(renamed)}, indent=1) + "\n")


def rename_user(old: App, new: App) -> None:
    account = old.account()
    if account:
        call(["usermod", "--login", new.name, "--home", f"{new.home}/home", old.name], "usermod")
    account = new.account()
    if account and has_group(old.name, account.pw_gid):
        call(["groupmod", "--new-name", new.name, old.name], "groupmod")


def forget_releases(app: App) -> None:
    """Paths of the earlier name are in their environments, and in what tools have cached: all are built anew."""
    for name in ("current", "previous", "next"):
        take_away(f"{app.home}/{name}")
    for folder in ("slots", "releases"):
        for path in glob.glob(f"{glob.escape(app.home)}/{folder}/*"):
            take_away(path)
    if os.path.isdir(f"{app.home}/cache"):
        remove_folder(f"{app.home}/cache")


def write_over(path: str, text: str) -> None:
    """Another text in a file of root's, with the owner and the rights that it has."""
    found = os.stat(path)
    folder, name = os.path.split(path)
    beside = f"{folder}/.homeport-{name}"  # which nginx does not read
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        os.fchown(stream.fileno(), found.st_uid, found.st_gid)
        os.fchmod(stream.fileno(), stat.S_IMODE(found.st_mode))
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(beside, path)
