# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Everything of an upgrade of PostgreSQL that can be done while the cluster serves."""

from __future__ import annotations

import json
import os
import pwd
import re
import time

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LAST_DUMPS
from ansible_collections.homeport.django.plugins.module_utils.host.backup.point_in_time import (
    DATABASES,
)
from ansible_collections.homeport.django.plugins.module_utils.host.copies import create
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DUMP
from ansible_collections.homeport.django.plugins.module_utils.host.psql import LONG
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.folders import synchronize
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.plan import ABOUT, replaced
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import WORK, Upgrade, call
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.settings import carry, give_to_root


def prepare(upgrade: Upgrade) -> str:
    """Everything that can be done while the cluster serves; returns the folder of the dumps, if any."""
    replaced(upgrade)
    upgrade.drop(upgrade.new)
    upgrade.note("prepared")
    try:
        prepare_new(upgrade)
        return dump(upgrade, time.strftime("%Y%m%dT%H%M%S", time.gmtime())) if upgrade.mode == "link" else ""
    except BaseException:
        upgrade.drop(upgrade.new)  # it has the port of the apps, and might be taken for theirs
        raise


def prepare_new(upgrade: Upgrade) -> None:
    create_cluster(upgrade)
    work_folder()
    old, new = upgrade.folder_of(upgrade.old), upgrade.folder_of(upgrade.new)
    upgrade.as_postgres("Copying the settings", carry, old, new, upgrade.old.data, upgrade.new.data)
    give_to_root(old, new)
    upgrade.starts(upgrade.old, upgrade.new)
    what = f"PostgreSQL {upgrade.new.version} with the settings of {upgrade.old.version} (postgres_settings)"
    upgrade.new.run(["postgres", "-D", new, "-C", "max_connections"], what)
    upgrade.pg_upgrade(["--check"])
    upgrade.as_postgres("Keeping the settings", synchronize, old, upgrade.settings)
    if upgrade.mode == "copy":
        upgrade.as_postgres("Copying the cluster", synchronize, upgrade.old.data, upgrade.copy)
    # what is on the disk already need not be written while everybody waits
    call(["sync", "--file-system", os.path.dirname(upgrade.old.data)], "Syncing the copy to the disk")
    upgrade.live.ask("CHECKPOINT;", LONG)


def create_cluster(upgrade: Upgrade) -> None:
    about = json.loads(upgrade.live.ask(ABOUT))
    initdb = [f"--wal-segsize={size_mb(about['segment'])}"]
    if about["checksums"] == "on":
        initdb.append("--data-checksums")
    elif int(upgrade.new.version) >= 18:
        initdb.append("--no-data-checksums")
    words = ["pg_createcluster", upgrade.new.version, upgrade.new.cluster, f"--encoding={about['encoding']}"]
    words += [f"--lc-collate={about['collate']}", f"--lc-ctype={about['ctype']}", "--", *initdb]
    call(words, f"Creating a cluster of PostgreSQL {upgrade.new.version}")


def size_mb(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(MB|GB)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "GB" else 1)


def work_folder() -> None:
    account = pwd.getpwnam("postgres")
    if not os.path.isdir(WORK):
        os.mkdir(WORK, 0o700)
        os.chown(WORK, account.pw_uid, account.pw_gid)


def dump(upgrade: Upgrade, stamp: str) -> str:
    """By link, what the databases held before: one file of each."""
    folder = f"{LAST_DUMPS}/postgresql-{upgrade.old.version}-{stamp}"
    os.makedirs(folder, mode=0o700)
    for database, owner in json.loads(upgrade.live.ask(DATABASES)).items():
        words = ["pg_dump", "--format=custom", "--compress=1", "--no-password"]
        with create(f"{folder}/{database}.pgdump") as stream, upgrade.live.login(database, [owner]) as login:
            login.run(words, f"Dumping {database}", stdout=stream, seconds=DUMP)
    return folder
