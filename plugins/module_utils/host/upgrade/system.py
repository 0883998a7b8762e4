# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The upgrade of a host's system to the next release of its distribution, by apt."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.given import all_records, read
from ansible_collections.homeport.django.plugins.module_utils.host.layout import tail

# Releases and the one that each can be upgraded to; a unit test compares with meta/supported.yml.
NEXT = {"bookworm": "trixie"}
UNIT = "homeport-system-upgrade"
MARGIN_MB = 500
APT = ("apt-get", "-q")
# Settings of the operator's stay; a file that nobody changed gets the new release's.
KEEP = "-o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
}
# In a unit of its own: whatever becomes of the run, dpkg finishes what it has begun.
# One line: systemd reads the unit again when its own package is upgraded.
SCRIPT = (
    "dpkg --force-confdef --force-confold --configure -a; "
    "apt-get -q -o DPkg::Lock::Timeout=600 -o APT::Update::Error-Mode=any update; "
    "apt-get -y -q {keep} -f install; "
    "apt-get -y -q {keep} full-upgrade; "
    "apt-get clean"
)


class UpgradeError(Exception):
    """The upgrade cannot begin, or did not end well. The message is for the operator."""


class System:
    """One host, from its root folder."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.state = f"{root}/var/lib/homeport/system_upgrade/state.json"

    def release(self) -> dict[str, str]:
        with open(f"{self.root}/etc/os-release", encoding="utf-8") as stream:
            pairs = (line.strip().partition("=") for line in stream)
            return {name: value.strip("\"'") for name, _sign, value in pairs if value}

    def begun(self) -> dict[str, Any]:
        """What an upgrade that has begun has written down; empty where none has."""
        return read(self.state)

    def note(self, **values: Any) -> None:
        """Writes it down; without values, that none is under way any more."""
        if not values:
            os.unlink(self.state)
            return
        os.makedirs(os.path.dirname(self.state), mode=0o700, exist_ok=True)
        with open(f"{self.state}.new", "w", encoding="utf-8") as stream:
            json.dump({**self.begun(), **values}, stream)
        os.rename(f"{self.state}.new", self.state)

    def stage(self, to: str) -> str:
        """Where it stands: ready, begun, installed (its packages), or done."""
        begun = self.begun()
        if begun:
            if begun["to"] != to:
                raise UpgradeError(
                    f"the upgrade to {begun['to']} has begun; finish it first: -e to={begun['to']}"
                )
            return "installed" if begun.get("installed") else "begun"
        release = self.release()
        now = release.get("VERSION_CODENAME", "")
        if now == to:
            return "done"
        if release.get("ID") == "ubuntu":
            raise UpgradeError(
                "Ubuntu is upgraded by its own do-release-upgrade; run the setup playbook before the reboot at its end "
                "(docs/upgrading.md)"
            )
        if NEXT.get(now) != to:
            ways = " or ".join(f"from {old} to {new}" for old, new in NEXT.items())
            raise UpgradeError(
                f"its release is {now or 'unknown'}; this verb upgrades {ways}, one release at a time"
            )
        return "ready"

    def sources(self) -> list[str]:
        folder = f"{self.root}/etc/apt"
        listed = [
            *glob.glob(f"{folder}/sources.list.d/*.list"),
            *glob.glob(f"{folder}/sources.list.d/*.sources"),
        ]
        return sorted(path for path in (f"{folder}/sources.list", *listed) if os.path.exists(path))

    def move_sources(self, old: str, new: str) -> None:
        for path in self.sources():
            with open(path, encoding="utf-8") as stream:
                before = stream.read()
            after = moved(before, old, new, path.endswith(".sources"))
            if after != before:
                with open(f"{path}.homeport", "w", encoding="utf-8") as stream:
                    stream.write(after)
                shutil.copymode(path, f"{path}.homeport")
                os.rename(f"{path}.homeport", path)


def moved(text: str, old: str, new: str, deb822: bool) -> str:
    """Apt's sources with the suites of one release in place of those of another: also bookworm-updates and the like."""

    def suites(found: re.Match[str]) -> str:
        return found[1] + re.sub(rf"(?<!\S){re.escape(old)}(?=[-/\s]|$)", new, found[2])

    if deb822:
        return re.sub(r"(?mi)^(Suites:)((?:.*\n?)(?:[ \t].*\n?)*)", suites, text)
    return re.sub(r"(?m)^(\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?\S+)(\s+\S+)", suites, text)


def run(words: tuple[str, ...] | list[str]) -> str:
    done = subprocess.run(words, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise UpgradeError(f"{' '.join(words[:1])} failed:\n{tail(done.stderr or done.stdout, 12)}")
    return done.stdout


@contextmanager
def simulation(system: System, old: str, new: str) -> Iterator[tuple[str, ...]]:
    """Apt with the sources of the new release, in a folder of its own: nothing of the host's is changed."""
    with tempfile.TemporaryDirectory(prefix="homeport-upgrade-") as folder:
        os.chmod(folder, 0o755)  # apt fetches as a user of its own
        etc = f"{folder}/apt"
        os.makedirs(f"{folder}/lists/partial")
        os.makedirs(f"{etc}/sources.list.d")
        for path in system.sources():
            with open(path, encoding="utf-8") as stream:
                text = moved(stream.read(), old, new, path.endswith(".sources"))
            inside = path.split("/etc/apt/", 1)[1]
            with open(f"{etc}/{inside}", "w", encoding="utf-8") as stream:
                stream.write(text)
        places = {
            "Dir::Etc::sourcelist": f"{etc}/sources.list",
            "Dir::Etc::sourceparts": f"{etc}/sources.list.d",
            "Dir::State::lists": f"{folder}/lists",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Debug::NoLocking": "1",
        }
        yield tuple(word for name, value in places.items() for word in ("-o", f"{name}={value}"))


def look(system: System, old: str, new: str) -> dict[str, Any]:
    """What the upgrade would do, and what stands in its way."""
    problems = []
    held = run(["apt-mark", "showhold"]).split()
    if held:
        problems.append(f"packages are held back: {', '.join(held)}; release them with apt-mark unhold")
    broken = run(["dpkg", "--audit"]).strip()
    if broken:
        problems.append(f"dpkg --audit finds broken packages; repair them with apt-get -f install:\n{broken}")
    found: dict[str, Any] = {"problems": problems}
    with simulation(system, old, new) as places:
        try:
            run([*APT, *places, "-o", "APT::Update::Error-Mode=any", "update"])
        except UpgradeError as error:
            problems.append(
                f"its package sources do not have {new}; correct them in /etc/apt, or comment them out: {error}"
            )
            return found
        simulated = run([*APT, *places, "-s", "full-upgrade"])
        uris = run([*APT, *places, "-y", "--print-uris", "full-upgrade"])
        targets = run([*APT, *places, "indextargets", "--format", TARGET, "Created-By: Packages"])
    changes = read_simulation(simulated)
    found.update({kind: sorted(names) for kind, names in changes.items()})
    found["others"] = other_sources(targets)
    size = sum(int(number) for number in re.findall(r"(?m)^'[^']+' \S+ (\d+)", uris)) >> 20
    found["download_mb"] = size
    if "base-files" not in changes["upgraded"]:
        problems.append(
            f"apt would not upgrade to {new}: look for pins in /etc/apt/preferences and /etc/apt/preferences.d"
        )
    lost = missing_after(changes["removed"])
    if lost:
        problems.append(f"apt would remove what this host needs: {', '.join(lost)}")
    problems += lacking_space({"/var/cache/apt": size, "/usr": 3 * size})
    return found


TARGET = "$(ORIGIN)|$(SITE) $(RELEASE)|$(SOURCESENTRY)"


def other_sources(targets: str) -> list[str]:
    """Sources that are not the distribution's own."""
    rows = (line.split("|") for line in targets.splitlines())
    found = (row for row in rows if len(row) == 3 and row[0] != "Debian")
    return sorted({f"{row[1]} in {row[2]} (from {row[0] or 'an unknown origin'})" for row in found})


def read_simulation(text: str) -> dict[str, list[str]]:
    lines = re.findall(r"(?m)^(Inst|Remv) (\S+) (\[)?", text)
    names: dict[str, list[str]] = {"upgraded": [], "new": [], "removed": []}
    for verb, name, before in lines:
        names["removed" if verb == "Remv" else "upgraded" if before else "new"].append(name)
    return names


def missing_after(removed: list[str]) -> list[str]:
    """Of what is to be removed, what Homeport has installed, and the servers of PostgreSQL's clusters."""
    wanted = {
        name
        for record in all_records().values()
        for words in record.get("found", {}).get("packages", {})
        for name in words.split("|")
    }
    wanted |= {f"postgresql-{path.split('/')[3]}" for path in glob.glob("/etc/postgresql/*/*")}
    return sorted(wanted & set(removed))


def lacking_space(needed: dict[str, int]) -> list[str]:
    """Folders whose disk has not the space that is needed, in MiB; those on one disk need it together."""
    disks: dict[int, list[str]] = {}
    for path in needed:
        disks.setdefault(os.stat(path).st_dev, []).append(path)
    problems = []
    for paths in disks.values():
        wanted = sum(needed[path] for path in paths) + MARGIN_MB
        free = shutil.disk_usage(paths[0]).free >> 20
        if free < wanted:
            problems.append(f"{' and '.join(paths)} have {free} MiB free, and the upgrade needs {wanted} MiB")
    return problems


def start(system: System, old: str, new: str) -> None:
    """Has the host's systemd upgrade its packages; nothing where it does so already."""
    system.note(**{"from": old, "to": new})
    active = subprocess.run(["systemctl", "--quiet", "is-active", UNIT], check=False).returncode == 0
    if active:
        return
    system.move_sources(old, new)
    subprocess.run(["systemctl", "reset-failed", UNIT], check=False, stderr=subprocess.DEVNULL)
    settings = [f"--setenv={name}={value}" for name, value in ENVIRONMENT.items()]
    run(["systemd-run", "--quiet", f"--unit={UNIT}", *settings, "sh", "-exc", SCRIPT.format(keep=KEEP)])


def finish(system: System, new: str) -> None:
    """Checks that the packages are the new release's."""
    told = run(["journalctl", f"--unit={UNIT}", "--lines=25", "--output=cat", "--no-pager"])
    failed = run(["systemctl", "show", "--value", "--property=Result", UNIT]).strip() != "success"
    now = system.release().get("VERSION_CODENAME", "")
    broken = run(["dpkg", "--audit"]).strip()
    if failed or now != new or broken:
        raise UpgradeError(
            f"apt has not finished; repair what it reports, and run this again:\n{broken or told}"
        )
    with open("/run/reboot-required", "a", encoding="utf-8"):
        pass
    system.note(installed=True)
