# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The end of a deploy: releases, static files and dumps beyond ``keep_releases`` are removed."""

from __future__ import annotations

import os

from ansible_collections.homeport.django.plugins.module_utils.host.layout import remove_later
from ansible_collections.homeport.django.plugins.module_utils.host.release.dumps import prune_dumps
from ansible_collections.homeport.django.plugins.module_utils.host.release.static_files import withdraw
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import SLOTS, Switch


def prune(switch: Switch) -> None:
    """Never removes the live release, the previous one, the next one, or one that a process runs."""
    layout = switch.layout
    in_use = {
        layout.current,
        layout.resolve_link(f"{layout.home}/previous"),
        layout.resolve_link(layout.next_link),
        *(switch.slot_release(slot) for slot in SLOTS if switch.web),
    }
    in_use |= {f"{layout.releases}/{release}" for release in switch.running().values() if release}
    known = layout.known_releases()
    for release in known[: -layout.spec["keep_releases"]]:
        if release not in in_use:
            os.unlink(f"{release}/release.json")  # from here on it counts as incomplete
            remove_later(release)
    withdraw(layout, layout.known_releases())
    prune_dumps(layout, layout.spec["keep_releases"])
