# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The service of a set and its further units: reloaded, restarted, started, stopped, masked."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.given import is_masked, read_state
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster


class Services:
    """The few questions and orders that systemd gets."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def call(self, *words: str) -> tuple[int, str, str]:
        found: tuple[int, str, str] = self.module.run_command(["systemctl", *words], check_rc=False)
        return found

    def states(self, units: list[str]) -> dict[str, dict[str, str]]:
        """What systemd knows of some units, asked for all at once."""
        if not units:
            return {}
        code, out, _err = self.call("show", "--property=ActiveState,UnitFileState", *units)
        blocks = out.split("\n\n") if code == 0 else []
        found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        return dict(zip(units, found))

    def state(self, unit: str) -> tuple[bool, bool]:
        """Whether systemd will start a unit at boot, and whether it runs."""
        return read_state(unit, self.states([unit]).get(unit, {}))

    def in_order(self, unit: str) -> bool:
        return all(self.state(unit))

    def out_of_order(self, units: list[str]) -> list[str]:
        """Those that do not run, or will not at the next boot."""
        found = self.states(units)
        return [unit for unit in units if not all(read_state(unit, found.get(unit, {})))]

    def unmasked(self, units: list[str]) -> list[str]:
        """Those that run, or that something could start."""
        found = self.states(units)
        return [unit for unit in units if not is_masked(found.get(unit, {}))]


def apply_to_service(module: Any, services: Services, needed: str, changed: bool) -> tuple[str, str]:
    """Reloads, restarts or starts what has to be; returns what was done and what went wrong."""
    params = module.params
    if params["daemon_reload"] and changed:
        code, out, err = services.call("daemon-reload")
        if code:
            return "", f"systemctl daemon-reload failed: {out}{err}"
    done = ""
    service = params["service"]
    if service:
        enabled, active = services.state(service)
        if not enabled or not active:
            code, out, err = services.call(*(["start"] if enabled else ["enable", "--now"]), service)
            if code:
                return "", f"{service} does not start: {out}{err}\n{journal(module, service)}"
            done = "start"
        if not active:  # it has just read its files
            return done, ""
    if needed == "restart" and service:
        if params["settings_of"] == "postgresql":
            with contextlib.suppress(DeployError):
                Cluster().ask("CHECKPOINT")  # what it writes now, it does not write while it is down
        code, out, err = services.call("restart", service)
        done = "restart"
    elif needed and (params["reload"] or service):
        code, out, err = module.run_command(params["reload"] or ["systemctl", "reload", service])
        done = "reload"
    else:
        return done, ""
    if code:
        return done, f"{done} of {service or params['name']} failed: {out}{err}\n{journal(module, service)}"
    return done, ""


def journal(module: Any, service: str) -> str:
    if not service:
        return ""
    words = ["journalctl", "--unit", service, "--lines", "15", "--no-pager", "--output", "cat"]
    return str(module.run_command(words)[1])


def apply_units(
    module: Any,
    before: list[str],
    units: list[str],
    restarts: list[str],
    reloads: list[str],
    done: list[str],
) -> str:
    """Stops the units of before that are not declared, then starts, restarts or reloads others; what went wrong."""
    services = Services(module)
    for unit in before:
        if unit not in units:
            done.append(unit)
            services.call("disable", "--now", unit)
            # a timer whose file goes while it waits has failed in systemd's eyes, and the host with it; what a timer
            # starts is known to systemd for as long as its last run counts as failed
            started = [f"{unit[: -len('.timer')]}.service"] if unit.endswith(".timer") else []
            for failed in (unit, *started):
                services.call("reset-failed", failed)
    for unit in units:
        found = services.states([unit]).get(unit, {})
        enabled, active = read_state(unit, found)
        commands = []
        if unit in reloads and active and enabled and unit not in restarts:
            done.append(unit)
            if services.call("reload", unit)[0] == 0:
                continue
            commands = [["restart", unit]]
        elif unit in restarts and found.get("ActiveState") not in ("inactive", "failed", None):
            commands = [*([] if enabled else [["enable", unit]]), ["restart", unit]]
        elif not (enabled and active):
            commands = [["enable", "--now", unit]]
        if commands and unit not in done:
            done.append(unit)
        for command in commands:
            code, out, err = services.call(*command)
            if code:
                return f"{unit} does not start: {out}{err}\n{journal(module, unit)}"
    return ""


def apply_masks(services: Services, masked: list[str]) -> str:
    for unit in services.unmasked(masked):
        code, out, err = services.call("mask", "--now", unit)
        if code:
            return f"{unit} cannot be masked: {out}{err}"
        # one that was failing when it was stopped would leave the host degraded
        services.call("reset-failed", unit)
    return ""
