# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What backups, drills and restores leave behind that were killed, or ended with their host."""

from __future__ import annotations

import glob
import os

from ansible_collections.homeport.django.plugins.module_utils.host.backup.drill import (
    DATABASES,
    SCRATCH,
    dropping,
    folder_of,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup.state import POINT, STATE
from ansible_collections.homeport.django.plugins.module_utils.host.backup.take import App
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, remove
from ansible_collections.homeport.django.plugins.module_utils.host.psql import LONG, Cluster


def sweep(apps: list[App]) -> None:
    """Removes it, while nothing of that kind runs. The files of an interrupted restore stay for the next one.

    What fails for one app concerns no other. It is told once: the next drill empties its scratch database as well.
    """
    failed = []
    for app in apps:
        try:
            sweep_app(app)
        except (DeployError, OSError) as error:
            failed.append(f"{app.name}: {error}")
    for path in (POINT, *glob.glob(f"{SCRATCH}/*"), *glob.glob(f"{STATE}/staging/*")):
        if os.path.lexists(path):
            remove(path)
    local = [
        app
        for app in apps
        if any(part.database and not part.scratch for part in (app.main, *app.further.values()))
    ]
    if local:  # the others have a scratch database that stays
        try:
            Cluster().ask("".join(dropping(f"{DATABASES}{app.name}") for app in local), LONG)
        except DeployError as error:
            failed.append(str(error))
    if failed:
        raise DeployError("\n".join(failed))


def sweep_app(app: App) -> None:
    restoring = f"{app.home}/restoring"
    kept = os.path.lexists(f"{restoring}/before")
    for path in (folder_of(app), *([] if kept else [restoring])):
        if os.path.lexists(path):
            remove(path)
    # without a live release no drill can have filled it, and nothing could empty it
    if os.path.lexists(f"{SCRATCH}/{app.name}") and app.layout.current:
        for part in app.parts().values():
            if part.scratch:
                app.empty(part.scratch, part)
