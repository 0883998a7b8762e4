# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The interruption of an upgrade of PostgreSQL, and the ways back to the old cluster."""

from __future__ import annotations

import time

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.postgres_clusters import PORT
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.folders import (
    replace,
    synchronize,
    unlinked,
)
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import Upgrade
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import record
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.settings import give_to_root


def switch(upgrade: Upgrade) -> float:
    """The interruption; returns its seconds. What fails before the new cluster has started is undone."""
    started = time.monotonic()
    if record()["phase"] == "switched":  # by a run that was interrupted
        upgrade.starts(upgrade.new, upgrade.old)
        upgrade.systemctl("start", upgrade.new)
        upgrade.wait()
        return round(time.monotonic() - started, 1)
    # recovery to a time ends at the first commit after it: until here, every time can be restored
    upgrade.live.ask("SELECT txid_current();")
    upgrade.note("stopped")
    try:
        upgrade.systemctl("stop", upgrade.old)
        if upgrade.mode == "copy":
            upgrade.as_postgres("Copying the cluster", synchronize, upgrade.old.data, upgrade.copy)
        upgrade.pg_upgrade(["--link"])
        # not before: until here the one that has the apps' port is the one that is meant
        upgrade.set_port(upgrade.new, PORT)
    except BaseException:
        back(upgrade)
        raise
    # Before starts(): after a reboot in between, the new cluster may have served.
    upgrade.note("switched")
    try:
        upgrade.starts(upgrade.new, upgrade.old)
        upgrade.systemctl("start", upgrade.new)
        upgrade.wait()
    except DeployError as error:
        if upgrade.mode == "link":
            raise DeployError(
                f"{error}\nThe files are those of PostgreSQL {upgrade.new.version} now: solve that, and run this "
                "again"
            ) from error
        undo(upgrade)
        raise DeployError(
            f"{error}\nPostgreSQL {upgrade.old.version} serves again; nothing is lost"
        ) from error
    return round(time.monotonic() - started, 1)


def back(upgrade: Upgrade) -> None:
    """The old cluster, before the new one has ever served."""
    for archive in (upgrade.old, upgrade.new):  # a pg_upgrade that was killed may have left its servers
        upgrade.systemctl("stop", archive)
        if archive.runs(archive.data):
            archive.run(
                ["pg_ctl", "stop", "-m", "immediate", "-D", archive.data], "Stopping a leftover server"
            )
    upgrade.as_postgres("Restoring the control file", unlinked, f"{upgrade.old.data}/global/pg_control")
    upgrade.starts(upgrade.old, upgrade.new)
    upgrade.systemctl("start", upgrade.old)
    upgrade.wait()
    upgrade.drop(upgrade.new)
    upgrade.note("prepared")


def undo(upgrade: Upgrade) -> None:
    """The old cluster as it was when it was stopped; the new one stays beside it, stopped."""
    if upgrade.mode == "link":
        raise DeployError(
            "With mode=link the only rollback are the dumps that were made before: restore those, or the apps' "
            f"backups, into a cluster of PostgreSQL {upgrade.old.version}"
        )
    upgrade.note("undoing")
    upgrade.systemctl("stop", upgrade.new)
    upgrade.as_postgres("Moving the copy into place", replace, upgrade.copy, upgrade.old.data)
    upgrade.as_postgres(
        "Restoring the settings", synchronize, upgrade.settings, upgrade.folder_of(upgrade.old)
    )
    give_to_root(upgrade.folder_of(upgrade.new), upgrade.folder_of(upgrade.old))
    upgrade.set_port(upgrade.new)
    upgrade.starts(upgrade.old, upgrade.new)
    upgrade.systemctl("start", upgrade.old)
    upgrade.wait()
    upgrade.note("undone")
