# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether the service of a set is restarted, why, and what waits for that (decision 31)."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host import restarts
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.entries import Entry
from ansible_collections.homeport.django.plugins.module_utils.host.service_config.record import Record


class Restart:
    """Whether the service of a set is restarted, and why; what waits for that."""

    def __init__(self, params: dict[str, Any], record: Record, changes: list[Entry], stopped: bool) -> None:
        self.unit: str = params["service"] or ""
        self.first = not record.known
        before: dict[str, Any] = record.held
        if not before or before["unit"] != self.unit or before["start"] != restarts.started(self.unit):
            before = {}
        at_start = [entry for entry in changes if entry.on_change == "restart"]
        why = [os.path.basename(entry.path) for entry in at_start]
        urgent = any(entry.urgent for entry in at_start)
        held: list[str] = before.get("why", [])
        if params["settings_of"] == "postgresql" and not stopped:
            folder = restarts.cluster_folder(self.unit)
            read = [
                entry
                for entry in changes
                if entry.path.startswith(folder)
                and entry.path.endswith(".conf")
                and entry.on_change == "reload"
            ]
            found = restarts.at_start((restarts.text_of(entry.path), entry.data.decode()) for entry in read)
            at_start += read if found else []
            urgent = urgent or not restarts.URGENT.isdisjoint(found)
            why += found
            if held and not record.pending:  # else it has not read its files since
                waits = restarts.pending()
                held = [name for name in held if name in waits or "." in name]
        self.why = sorted({*why, *held})
        self.now = urgent or self.first or stopped or not self.unit or params["restart"] == "now"
        self.needed = "restart" if self.why and self.now else ""
        self.stopped = stopped
        self.held: dict[str, Any] = {} if self.unit else record.held
        # a service that was started since has started with what waited
        ours = not record.held or record.held["unit"] == self.unit
        known = ours and (before or stopped or record.pending or not self.unit)
        self.previous = record.previous if known else []
        self.waits: list[Entry] = []
        if self.why and not self.now:
            self.waits = at_start
            self.held = {"unit": self.unit, "why": self.why, "start": restarts.started(self.unit)}

    def told(self, check_mode: bool) -> dict[str, Any]:
        """What the operator is to know; a service that is only being set up interrupts nobody."""
        if not self.why or not self.unit or self.stopped or (self.first and not check_mode):
            return {}
        when = "later" if self.held else "now" if check_mode else "done"
        return {"unit": self.unit, "why": self.why, "when": when}
