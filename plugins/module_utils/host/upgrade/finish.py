# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What follows once the new cluster serves: its statistics, and the removal of the way back."""

from __future__ import annotations

import json
import shutil
import time

from ansible_collections.homeport.django.plugins.module_utils.host.backup.point_in_time import (
    DATABASES,
)
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DUMP
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.folders import replace
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.postgres import WORK, Upgrade
from ansible_collections.homeport.django.plugins.module_utils.host.upgrade.record import forget, record


def finish(upgrade: Upgrade) -> float:
    """Statistics, which the new cluster has none of; and the copy in the place of what was linked."""
    started = time.monotonic()
    upgrade.set_port(upgrade.old)
    if upgrade.mode == "copy":
        upgrade.as_postgres("Moving the copy into place", replace, upgrade.copy, upgrade.old.data)
    for database, owner in json.loads(upgrade.live.ask(DATABASES)).items():
        with upgrade.live.login(database, [owner]) as login:
            words = [
                "vacuumdb",
                "--analyze-in-stages",
                "--quiet",
                "--no-password",
                f"--dbname={database}",
            ]
            login.run(words, f"statistics of {database}", seconds=DUMP)
    upgrade.note("switched", finished=True)
    return round(time.monotonic() - started, 1)


def confirm(upgrade: Upgrade) -> None:
    """What does not serve is not needed any more: the way back, or what a failed upgrade has left."""
    upgrade.drop(upgrade.old if record()["phase"] == "switched" else upgrade.new)
    upgrade.as_postgres("Removing the kept settings", shutil.rmtree, WORK, True)
    upgrade.as_postgres("Removing the copy", shutil.rmtree, upgrade.copy, True)
    forget()
