# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The checks of logins, files with secrets, packages, units, clock and disks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.reports.audit_seen import (
    Checked,
    Seen,
    failure,
    listed,
    warning,
)
from ansible_collections.homeport.django.plugins.module_utils.reports.formats import ago, size
from ansible_collections.homeport.django.plugins.module_utils.reports.status_hosts import space_problems

OURS = (
    "homeport",
    "nginx.",
    "supervisor.",
    *(facts.unit.partition("{")[0] for facts in FACTS.values() if facts.unit),
)
DAY = 86400


def sshd(seen: Seen) -> Checked:
    settings = seen.part("sshd")
    if not settings:
        return None
    own = settings["accounts"]
    root = (own["root"]["permitrootlogin"] or ["no"])[0]
    # by name; of a name that is no account, and that no Match is about, nothing
    taken = {name: passwords(found) for name, found in (("", settings), *own.items())}
    able = [
        name
        for name in seen.part("accounts")["password"]
        if taken.get(name) and (name != "root" or "yes" in own["root"]["permitrootlogin"])
    ]
    do = "write {} no into a file below /etc/ssh/sshd_config.d, and systemctl reload ssh"
    problems = []
    if any("yes" in found["permitemptypasswords"] for found in (settings, *own.values())):
        problems.append(
            failure("sshd accepts logins to accounts without a password", do.format("PermitEmptyPasswords"))
        )
    if taken[""]:
        do = do.format(taken[""])
    else:
        do = "remove that from the Match blocks in /etc/ssh, and systemctl reload ssh"
    if able:
        problems.append(failure(f"sshd accepts passwords, and these accounts have one: {listed(able)}", do))
    elif any(taken.values()):
        problems.append(warning("sshd accepts passwords, though no account that may log in has one", do))
    return f"passwords {'accepted' if any(taken.values()) else 'refused'}, root login {root}", problems


def passwords(settings: Mapping[str, Sequence[str]]) -> str:
    """By which of sshd's settings somebody may log in with a password, if by any."""
    for name in ("PasswordAuthentication", "KbdInteractiveAuthentication"):
        if "yes" in settings[name.lower()]:
            return name
    return ""


def accounts(seen: Seen) -> Checked:
    found = seen.part("accounts")
    problems = [
        failure(f"{name} needs no password to log in", f"passwd --lock {name}") for name in found["empty"]
    ]
    problems += [
        failure(f"{name} is root by another name (uid 0)", f"give it another uid, or userdel {name}")
        for name in found["roots"]
    ]
    return "root alone is root, no empty password" if not problems else "", problems


def files(seen: Seen) -> Checked:
    """Secrets are for whom they are meant: of an app where one is judged, else of the host."""
    found = seen.own("files") if seen.app else seen.part("files")
    problems = []
    for entry in found["open"]:
        path = shlex.quote(entry["path"])
        steps = [f"chmod {entry['expected']} {path}"] if entry["mode"] != entry["expected"] else []
        # the bits are all right: it is the owner that is not
        steps += [] if steps else [f"chown root {path}"]
        problems.append(
            failure(f"{entry['path']} has mode {entry['mode']} and belongs to {entry['owner']}", *steps)
        )
    problems += [
        warning(
            f"{folder} has too many files to look at all of them for those that somebody left there",
            f"find {shlex.quote(folder)} -maxdepth 3 -perm -004 -name '.env*' shows some of them",
        )
        for folder in found.get("unseen", [])
    ]
    return f"{found['count']} inspected", problems


def updates(seen: Seen) -> Checked:
    found = seen.part("updates")
    problems = []
    if found["security"]:
        count = len(found["security"])
        text = (
            f"{count} security upgrade{' is' if count == 1 else 's are'} pending: {listed(found['security'])}"
        )
        if found["automatic"]:
            problems.append(
                warning(
                    text,
                    "unattended-upgrades is to install them when apt-daily-upgrade.timer is next due; or apt-get "
                    "upgrade now",
                )
            )
        else:
            problems.append(
                failure(
                    f"{text}; nothing installs them by itself",
                    "apt-get upgrade; for later unattended-upgrades, on in APT::Periodic, and apt-daily-upgrade.timer: "
                    "host_updates: true (its default) has the setup playbook see to them",
                )
            )
    if found["age"] is None or found["age"] > DAY:
        old = "have never been fetched" if found["age"] is None else f"are {ago(found['age'])} old"
        problems.append(
            warning(f"the package lists {old}: more may be pending", "apt-get update on the host")
        )
    return f"{len(found['packages'])} pending, {len(found['security'])} of them for security", problems


def restarts(seen: Seen) -> Checked:
    """What runs is what is installed."""
    found, container = seen.part("kernel"), seen.part("clock")["container"]
    problems = []
    if found["asked"]:
        reason = f" ({listed(found['packages'])})" if found["packages"] else ""
        problems.append(warning(f"a package has asked for a reboot{reason}", "reboot"))
    elif found["newer"] and not container:
        problems.append(
            warning(f"the kernel {found['newer']} is installed, {found['running']} runs", "reboot")
        )
    old = seen.part("stale")
    if old:
        text = f"what an upgrade has replaced is still in use by {listed(old)}"
        problems.append(warning(text, f"systemctl restart {' '.join(old)}"))
    return "no reboot or restart is due" if not problems else "", problems


def units(seen: Seen) -> Checked:
    found = seen.part("failed")
    problems = [
        (failure if name.startswith(OURS) else warning)(
            f"{name} has failed", f"journalctl -u {name} shows why"
        )
        for name in found
    ]
    return "none has failed" if not found else "", problems


def clock(seen: Seen) -> Checked:
    found = seen.part("clock")
    if found["container"]:
        return "a container has its machine's", []
    if found["synchronized"]:
        return "synchronised", []
    return "", [
        warning(
            "the clock is not synchronised",
            "install systemd-timesyncd or chrony (host_packages in group_vars)",
        )
    ]


def space(seen: Seen) -> Checked:
    """Disks and memory, by the rules of status."""
    found = seen.part("host")
    problems = space_problems(found)
    do = "status shows what each app keeps; or take a larger one"
    note = ", ".join(f"{disk['path']} {size(disk['free'])} free" for disk in found["disks"])
    return note, [
        (failure if problem["level"] == "failure" else warning)(problem["text"], do) for problem in problems
    ]
