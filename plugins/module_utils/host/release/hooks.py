# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The commands that an app wants run at certain steps of a deploy."""

from __future__ import annotations

import os
import shlex

from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    Layout,
    Runner,
)


def run_hooks(layout: Layout, release: str, step: str, revision: str = "", folder: str = "") -> None:
    """Runs the app's commands for ``step`` as its user; raises DeployError at the first that fails.

    HOMEPORT_FIRST_RELEASE tells them that no release of the app has been live yet, on any host. They run in ``folder``
    where the release has no environment yet, else in its project folder and environment.
    """
    before = layout.current if layout.current != release else layout.resolve_link(f"{layout.home}/previous")
    environment = {
        "HOMEPORT_APP": layout.name,
        "HOMEPORT_RELEASE": os.path.basename(release),
        "HOMEPORT_REVISION": revision or str(layout.record(release).get("revision", "")),
        "HOMEPORT_PREVIOUS": os.path.basename(before or ""),
        "HOMEPORT_FIRST_RELEASE": "" if before or layout.spec.get("live_elsewhere") else "1",
    }
    for command in layout.spec["hooks"][step]:
        what = f"The hook {step} '{command}'"
        script = ["sh", "-euc", command]
        if folder:
            Runner(layout).run(script, what, cwd=folder, env=environment)
        else:
            exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
            script[-1] = "\n".join([*exports, command])
            Runner(layout).run([f"{LIBRARY}/run", release, *script], what)
