# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The rollback of an app: a kept release is made live again, with its database where that is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.interruption import interruption
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout, is_gone
from ansible_collections.homeport.django.plugins.module_utils.host.release.database import (
    Database,
    migrations_between,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.deploy import (
    Deploy,
    check_logins,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.dumps import DEFAULT, dump_before
from ansible_collections.homeport.django.plugins.module_utils.host.release.history import gone_back_from
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import RolledBack, Switch
from ansible_collections.homeport.django.plugins.module_utils.host.service_logins import missing
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import Supervisor

BOOLEANS_TRUE, BOOLEANS_FALSE = ("true", "yes", "1", "on"), ("", "false", "no", "0", "off")


class Rollback(Deploy):
    """A deploy of a kept release: it has nothing to build and, without ``restore``, no database to change."""

    restored: dict[str, Any] | None = None  # the dump that goes back into the database

    def steps(self) -> list[Callable[[Any], None]]:
        return [Rollback.lock, Rollback.find, Rollback.go_back]

    def find(self) -> None:
        """The release and the dump to go back to; refuses what could not work."""
        layout, restore = self.layout, self.request.restore
        restore = "" if restore.lower() in BOOLEANS_FALSE else restore
        target = self.target()
        name = os.path.basename(target)
        if target == layout.current and not restore and not self.request.restored_elsewhere:
            raise DeployError(f"{name} is the live release already: name another one with -e to=NAME")
        between = migrations_between(layout, self.before, target)
        if between and not restore:
            self.request.warn(
                f"{layout.name}: {name} does not know these migrations, which stay applied: "
                f"{', '.join(between)}. If it cannot work with them, roll back with -e restore=true, which restores "
                "the dump from before them"
            )
        self.check_services(target)
        if not self.dry:
            check_logins(layout, f"{target}/config")
        if restore:
            chosen = "" if restore.lower() in BOOLEANS_TRUE else restore
            self.restored = dump_before(layout, name, chosen)
            paths = self.restored["paths"]
            unknown = sorted(alias for alias in paths if alias not in self.aliases(self.owner(alias, target)))
            if unknown:
                raise DeployError(
                    f"The dump of {self.restored['release']} has {', '.join(unknown)}, which the live release does not "
                    f"have: declare databases.{unknown[0]} again and deploy first"
                )
        self.result = {"changed": True, "action": "rollback", "release": name}
        if self.restored:
            self.result["restored"] = {key: self.restored[key] for key in ("release", "time", "migrations")}
        if self.dry:
            self.ended = True
        else:
            self.choose(target)

    def target(self) -> str:
        return find_target(self.layout, self.request.to, self.request.again)

    def check_services(self, target: str) -> None:
        """Raises when an earlier release needs a service that is missing on this host."""
        live = exports(f"{self.before}/config/env")
        declared = self.layout.record(target).get("databases", [])
        found = missing(exports(f"{target}/config/env"), live, declared)
        if found:
            services = ", ".join(f"its {service} ({place})" for service, place in found.items())
            raise DeployError(
                f"{os.path.basename(target)} uses services that are missing: {services}. Declare them again and run "
                "the setup playbook first, or roll back to another release (-e to=NAME)"
            )

    def go_back(self) -> None:
        result = self.result
        if self.restored:
            self.exchange_database(self.restored)
        else:
            self.activate()
        self.result = {**self.result, **result}

    def activate(self) -> None:
        """The last steps of a deploy."""
        for step in (Deploy.try_out, Deploy.switch, Deploy.watch, Deploy.prune):
            step(self)

    def exchange_database(self, dump: dict[str, Any]) -> None:
        """Switches with the databases as ``dump`` has them, after a dump of their present state."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        chosen = f"-e to={os.path.basename(self.release)} -e restore={dump['release']}"
        command = f"rollback -e app={self.layout.name} {chosen}"
        databases = [Database(self.layout, self.owner(alias, self.release), alias) for alias in dump["paths"]]
        kept: dict[str, str] = {}
        both = {"pending": dump["migrations"], "together": sorted(dump["paths"])}
        with Switch(self.layout, Supervisor(), interruption.hold).paused(command):
            for database in databases:
                kept[database.alias] = database.dump({**database.ask(), **both}, f"{stamp}-restore", "")
            self.request.warn(
                f"{self.layout.name}: the database is restored to {dump['time']}; its present state is kept in "
                f"{', '.join(kept.values())}"
            )
            with interruption.held_off():  # the databases and the code go back together
                restored: list[Database] = []
                try:
                    for database in databases:
                        database.restore(dump["paths"][database.alias])
                        restored.append(database)
                    self.activate()
                except DeployError as error:
                    put_back(restored, kept, error)
                    raise

    def owner(self, alias: str, target: str) -> str:
        """The release that reaches a database: the live one. After a switch that was interrupted that is the target
        already, and the previous one may have more."""
        previous = self.layout.resolve_link(f"{self.layout.home}/previous")
        if self.before == target and previous and alias not in self.aliases(target):
            return previous
        return self.before

    def aliases(self, release: str) -> set[str]:
        return {DEFAULT, *self.layout.record(release).get("databases", [])}


def put_back(databases: list[Database], kept: dict[str, str], why: DeployError) -> None:
    """Each as it was before, also where that fails for another."""
    failed = []
    for database in databases:
        try:
            database.restore(kept[database.alias])
        except DeployError as error:
            failed.append(f"The {database.title} could not be restored as it was: {error}")
            failed.append(f"It is in {kept[database.alias]}")
    if failed:
        lines = "\n".join(failed)
        raise DeployError(f"{why}\n{lines}") from why


class Withdrawal(Rollback):
    """The way back from a release that went live here and failed on another host: none of them keeps it."""

    def steps(self) -> list[Callable[[Any], None]]:
        return [Withdrawal.lock, Withdrawal.find, Withdrawal.withdraw]

    def target(self) -> str:
        return find_target(self.layout, "", again=True)

    def withdraw(self) -> None:
        self.activate()
        # recorded as the deploy that failed, so that it can be tried again
        self.release, self.before = self.before, self.release
        raise RolledBack(
            f"{self.request.failed[self.layout.name]}\n"
            f"This host was rolled back, too: {os.path.basename(self.before)} is live again"
        )


def find_target(layout: Layout, wanted: str, again: bool = False) -> str:
    """The release that is named, or the previous one. One that was rolled back is live ``again`` only where that is
    asked for; else the newest before the live one is taken."""
    known = {os.path.basename(path): path for path in layout.known_releases()}
    if wanted and wanted not in known:
        raise DeployError(f"There is no release {wanted}; kept are {', '.join(known) or 'none'}")
    target = known[wanted] if wanted else layout.resolve_link(f"{layout.home}/previous")
    if not target or not layout.current:
        raise DeployError("There is no earlier release to roll back to")
    if not wanted and not again:
        target = earlier(layout, target, known)
    program = str(layout.record(target).get("interpreter", ""))
    if is_gone(program):
        raise DeployError(
            f"{os.path.basename(target)} was built for {program}, which is no longer installed on this host"
        )
    return target


def earlier(layout: Layout, previous: str, known: dict[str, str]) -> str:
    """The previous release, unless that is the one that a rollback has left: then the newest before the live one."""
    name, live = os.path.basename(previous), os.path.basename(layout.current or "")
    rolled_back = gone_back_from(layout.name, name)
    if not rolled_back:
        return previous
    older = [each for each in known if each < live and not gone_back_from(layout.name, each)]
    if older:
        return known[max(older)]
    raise DeployError(
        f"There is no release before {live} to roll back to. {name} was rolled back ({rolled_back['time']}, "
        f"{rolled_back['by']}): -e again=true makes it live, and -e to=NAME another one; kept are {', '.join(known)}"
    )
