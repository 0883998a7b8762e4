# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What each component of a host was given last, and whether anything of it has been touched since.

A module that has brought its part of a host to the declared state records the digest of its input there, and the
resulting state. A component with the wanted digest and an unchanged state needs no task on the host. All components
are compared together (``untouched``), with one query to each of systemd, dpkg and PostgreSQL.
"""

from __future__ import annotations

import contextlib
import glob
import grp
import hashlib
import json
import os
import pwd
import stat
import subprocess
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import Parts
from ansible_collections.homeport.django.plugins.module_utils.common.paths import STATE

FOLDER = f"{STATE}/given"
SECONDS = 20  # for each question

Found = dict[str, Any]
Looks = dict[str, Callable[[list[str]], Found]]


def recorded_sets(folder: str = STATE) -> list[str]:
    """The sets of the module service_config that were put on the host."""
    return sorted(os.path.basename(path)[: -len(".json")] for path in glob.glob(f"{folder}/*.json"))


def recorded_paths(name: str, folder: str = STATE) -> list[str]:
    """What a set of the module service_config has put on the host."""
    return list(read(f"{folder}/{name}.json").get("paths", []))


class Given:
    """The record of one component. ``key`` is the module that cares for it, and what of it."""

    def __init__(self, key: str, wanted: str, folder: str = "", parts: Parts | None = None) -> None:
        self.wanted = wanted
        self.parts = parts
        self.path = os.path.join(folder or FOLDER, f"{key}.json") if key else ""

    @classmethod
    def told(cls, given: dict[str, Any]) -> Given:
        """As the action plugin tells a module of it."""
        return cls(given.get("key", ""), given.get("digest", ""), parts=given.get("parts"))

    def found(self) -> Found:
        """What was found when the component was last as wanted; empty when that is not known."""
        return dict(read(self.path).get("found", {})) if self.path else {}

    def parts_before(self) -> Parts | None:
        """What it was given for whom, as long as that is not forgotten."""
        return read(self.path).get("parts") if self.path else None

    def without(self, names: Collection[str], before: Parts | None) -> None:
        """Of ``names`` it has what it had before: the component is not as wanted, and the next run tries it again."""
        if not names:
            return
        self.wanted = ""
        if self.parts is not None:
            others = {name: fields for name, fields in self.parts.items() if name not in names}
            self.parts = others | {name: before[name] for name in names if before and name in before}

    def forget(self) -> None:
        """Before anything is changed: a run that is interrupted leaves no record."""
        if self.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def keep(self, found: Found) -> None:
        """Once everything is as wanted."""
        record = {"digest": self.wanted, "found": found}
        if self.parts is not None:
            record["parts"] = self.parts
        if not self.path or read(self.path) == record:
            return
        folder = os.path.dirname(self.path)
        for own in (os.path.dirname(folder), folder):  # makedirs opens those above to all
            os.makedirs(own, mode=0o700, exist_ok=True)
        beside = f"{self.path}.new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(record, stream)
        os.rename(beside, self.path)


def read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def all_records(folder: str = "") -> dict[str, dict[str, Any]]:
    """The records of this host's components, by key."""
    folder = folder or FOLDER
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return {
        name[: -len(".json")]: read(os.path.join(folder, name)) for name in names if name.endswith(".json")
    }


def given_parts(folder: str = "") -> dict[str, Parts]:
    """What each component was given for whom, where its record has it."""
    return {key: record["parts"] for key, record in all_records(folder).items() if "parts" in record}


def touched_paths(folder: str = "") -> list[str]:
    """Files and folders of the components that are no more as they were left."""
    found: Found = {}
    for record in all_records(folder).values():
        found.update(record.get("found", {}).get("paths", {}))
    now = paths(list(found))
    return sorted(path for path, left in found.items() if now[path] != left)


def untouched(looks: Looks, folder: str = "") -> dict[str, str]:
    """Digests of the components of this host that nothing has been changed of since, by key; not of those whose service
    waits for a restart, which a run looks at and tells of."""
    records = all_records(folder)
    held = {
        f"service_config.{name}" for name in recorded_sets(STATE) if read(f"{STATE}/{name}.json").get("held")
    }
    found = {
        key: record["found"]
        for key, record in records.items()
        if isinstance(record.get("found"), dict) and key not in held
    }
    now = look({part: sorted_parts(found.values(), part) for part in looks}, looks)
    return {
        key: str(records[key].get("digest"))
        for key, parts in found.items()
        if all(same(now.get(part, {}), wanted) for part, wanted in parts.items())
    }


def sorted_parts(components: Iterable[Found], part: str) -> list[str]:
    return sorted({name for parts in components for name in parts.get(part, {})})


def same(now: Found, wanted: Found) -> bool:
    return all(now.get(name) == value for name, value in wanted.items())


def look(names: dict[str, list[str]], looks: Looks) -> dict[str, Found]:
    """How everything of ``names`` is now, by part; what cannot be found out is missing."""
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        answered = {part: pool.submit(looks[part], wanted) for part, wanted in names.items() if wanted}
        return {part: found.result() for part, found in answered.items()}


def paths(names: list[str]) -> Found:
    """What stands there: its kind, its mode, its owners, its content."""
    return {path: standing(path) for path in names}


def standing(path: str) -> list[Any]:
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ["absent"]
    if stat.S_ISLNK(found.st_mode):
        return ["link", os.readlink(path)]
    rights = [stat.S_IMODE(found.st_mode), *owners(found)]
    if stat.S_ISDIR(found.st_mode):
        return ["directory", *rights]
    if not stat.S_ISREG(found.st_mode):
        return ["other", *rights]
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
            return ["file", *rights, hashlib.sha256(stream.read()).hexdigest()]
    except OSError:
        return ["unreadable"]


def owners(found: os.stat_result) -> list[str]:
    """By name: a user who was removed and made anew does not own what is another number's."""
    try:
        return [pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name]
    except KeyError:
        return ["", ""]


def units(names: list[str]) -> Found:
    """Whether each will be started at boot, and whether it runs."""
    return {unit: list(read_state(unit, found)) for unit, found in unit_states(names).items()}


def masks(names: list[str]) -> Found:
    return {unit: is_masked(found) for unit, found in unit_states(names).items()}


def unit_states(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of some units, asked for all at once."""
    if not names:
        return {}
    out = answer(["systemctl", "show", "--property=ActiveState,UnitFileState", *names])
    blocks = out.split("\n\n") if out else []
    found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return dict(zip(names, found))


def read_state(unit: str, found: dict[str, str]) -> tuple[bool, bool]:
    """Whether a unit will be started at boot, and whether it runs."""
    off = (None, "", "disabled", "masked", "masked-runtime", "bad", "not-found")
    # PostgreSQL's clusters are pulled in by a generator: they are neither enabled nor disabled themselves
    enabled = found.get("UnitFileState") not in off or unit.startswith("postgresql@")
    return enabled, found.get("ActiveState") in ("active", "reloading")


def is_masked(found: dict[str, str]) -> bool:
    return found.get("UnitFileState") == "masked" and found.get("ActiveState") in ("inactive", "failed")


def packages(names: list[str]) -> Found:
    """Whether any of the alternatives of each is installed (``a|b``)."""
    have = installed(answer(PACKAGES))
    return {word: any(name in have for name in word.split("|")) for word in names}


PACKAGES = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\t${Package}\t${Provides}\n"]


def installed(out: str) -> set[str]:
    """Names of all packages that are installed, and of what they provide, from what dpkg-query says."""
    names: set[str] = set()
    for line in out.splitlines():
        status, name, provides = [*line.split("\t"), "", ""][:3]
        if status == "installed":
            names.add(name)
            names.update(word.split()[0] for word in provides.split(",") if word.strip())
    return names


def accounts(names: list[str]) -> Found:
    """Home, shell and supplementary groups of users."""
    groups = grp.getgrall()
    found: Found = {}
    for name in names:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        found[name] = [
            account.pw_dir,
            account.pw_shell,
            sorted(group.gr_name for group in groups if name in group.gr_mem),
        ]
    return found


def answers(commands: list[str]) -> Found:
    """The digest of what each command (its words, as JSON) prints."""
    return {command: hashlib.sha256(answer(json.loads(command)).encode()).hexdigest() for command in commands}


def answer(words: list[str]) -> str:
    """What a command prints; empty where it fails."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(words, capture_output=True, check=False, env=environment, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


LOOKS: Looks = {
    "paths": paths,
    "units": units,
    "masks": masks,
    "packages": packages,
    "accounts": accounts,
    "answers": answers,
}
