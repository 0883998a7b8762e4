# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Checks of the command line: whether it names an inventory, and whether anything reads its variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible import context
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable

COLLECTION = Path(__file__).resolve().parents[2]
# Extra variables of the playbooks, without those of the inventory and of the roles; a unit test compares.
VARIABLES = (
    "again", "allow_auth_downtime", "allow_unsafe_migrations", "app", "as", "command", "confirm",
    "database", "domain", "drill", "dump", "empty_database", "env", "environment_name", "fail", "file",
    "finish", "folder", "follow", "format", "full", "git", "health_timeout", "history", "host", "html",
    "input", "json", "lines", "mode", "older_homeport", "older_site", "outside", "port", "process", "release",
    "replace", "restart", "restore", "rolling", "roots", "seconds", "servers", "setup", "since", "site",
    "state", "strict", "take_over", "target_time", "to", "undo", "unlock", "user",
)  # fmt: skip
# Deprecated names that the playbooks still read, each with the one that replaces it.
RENAMED = {
    "cut_off": "allow_auth_downtime",
    "patience": "health_timeout",
    "pgbackrest_recover_point": "pgbackrest_recover_target_time",
    "point": "target_time",
}
REMOVED_IN = "0.2.0"
PREFIXES = ("__", "ansible_", "homeport_", "vault_", "django_apps")  # __: internal to a role
READ = (".yml", ".yaml", ".j2", ".cfg", ".html")
MOST_FILES = 2000


def no_inventory(groups: Mapping[str, Any], group: str) -> str:
    """A message where a group has no host, with the option that is missing."""
    if groups.get(group) or context.CLIARGS.get("syntax"):
        return ""
    if any(hosts for hosts in groups.values()):
        return f"The inventory's group {group} has no host; name at least one there. Nothing was changed."
    given = [path for path in context.CLIARGS.get("inventory") or () if "," not in path]
    missing = [
        printable(path) for path in given if not os.path.exists(path) and path not in C.DEFAULT_HOST_LIST
    ]
    here = sorted({path.parent.name for path in Path.cwd().glob("*/hosts.y*ml")})
    reason = (
        f"There is no inventory {', '.join(missing)}"
        if missing
        else "The command names no inventory with hosts"
    )
    remedy = " or ".join(f"-i {printable(name)}" for name in here) or "-i and the folder of your inventory"
    return f"{reason}: add {remedy}. Nothing was changed."


def left_by_limit(groups: Mapping[str, Any], names: Iterable[str]) -> str:
    """A message where --limit leaves no host of some groups. Ansible exits with status 0 where a play has none."""
    limit = context.CLIARGS.get("subset")
    if not limit:
        return ""
    inventory = InventoryManager(DataLoader(), parse=False)
    for group, hosts in groups.items():
        inventory.add_group(group)
        for host in hosts:
            inventory.add_host(host, group)
    inventory.subset(limit)
    wanted = list(names)
    if inventory.list_hosts(wanted):
        return ""
    return f"--limit {printable(limit)} leaves no host of {' and '.join(wanted)}. Nothing was changed."


def left_out(groups: Mapping[str, Any], hosts: Iterable[str], needs: Iterable[str]) -> list[str]:
    """The groups (or first hosts of groups) that a playbook needs and --limit excludes, each with its hosts."""
    here, found = set(hosts), []
    for need in needs:
        name, _bracket, first = need.partition("[")
        members = list(groups.get(name) or [])[: 1 if first else None]
        if members and not here.intersection(members):
            found.append(f"{name} ({', '.join(members)})")
    return found


def typed_names(options: Iterable[str]) -> list[str]:
    """The variables given with -e, without those of files."""
    names: list[str] = []
    for option in options:
        text = option.strip()
        if text.startswith("@"):
            continue
        if text.startswith("command="):  # manage parses the rest itself
            text = "command="
        try:
            found = yaml.safe_load(text) if text.startswith(("{", "[")) else parse_kv(text)
        except Exception:  # Ansible reports it
            continue
        names += [str(name) for name in found if name != "_raw_params"] if isinstance(found, Mapping) else []
    return names


def unread(hosts: Iterable[Mapping[str, Any]], folders: Iterable[str], roles: tuple[str, ...]) -> list[str]:
    """A message for each variable given with -e that neither Homeport nor the inventory reads."""
    names = [
        name
        for name in typed_names(context.CLIARGS.get("extra_vars") or ())
        if name not in VARIABLES and name not in RENAMED and not name.startswith((*PREFIXES, *roles))
    ]
    if not names:
        return []
    playbooks = [os.path.abspath(path) for path in context.CLIARGS.get("args") or ()]
    others = [path for path in playbooks if not is_homeports(path)]
    strict = all(only_imports(path) for path in others)
    # the variables of a host include the extra variables
    found = {
        word
        for values in hosts
        for name, value in values.items()
        if name not in names
        for word in words_in(value)
    }
    found |= words_of([*folders, *(os.path.dirname(path) for path in others)])
    problems = []
    for name in names:
        hint = closest(name, list(VARIABLES))
        # a play of the user's own may pass it to a role
        if name not in found and (strict or hint):
            problems.append(f"-e {printable(name)}: nothing reads this variable{hint}")
    return problems


def deprecations(extra_vars: Iterable[str]) -> list[str]:
    """A message for each deprecated name among the extra variables, those of files included."""
    return [
        f"The extra variable {old} is deprecated. Use {new} instead (-e {new}=...)."
        for old, new in RENAMED.items()
        if old in extra_vars
    ]


def is_homeports(path: str) -> bool:
    return not os.path.exists(path) or COLLECTION in Path(path).resolve().parents


def only_imports(path: str) -> bool:
    """Whether a playbook only imports Homeport's, like those that new_site writes."""
    try:
        plays = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    imported = [
        str(play.get("ansible.builtin.import_playbook") or play.get("import_playbook") or "")
        for play in plays or []
        if isinstance(play, Mapping)
    ]
    return all(name.startswith("homeport.django.") for name in imported)


def words_in(value: Any) -> Iterator[str]:
    """The words of a structure, including keys and templates."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from words_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from words_in(item)
    elif isinstance(value, str):
        yield from re.findall(r"\w+", value)


def words_of(folders: Iterable[str]) -> set[str]:
    """The words of the playbooks, variables and templates in some folders."""
    found: set[str] = set()
    count = 0
    for folder in dict.fromkeys(folders):
        for top, below, names in os.walk(folder):
            below[:] = [
                name for name in below if not name.startswith(".") and name not in ("node_modules", "venv")
            ]
            for name in names:
                count += name.endswith(READ)
                if count > MOST_FILES:
                    return found
                if name.endswith(READ):
                    try:
                        found.update(re.findall(r"\w+", Path(top, name).read_text(encoding="utf-8")))
                    except (OSError, ValueError):
                        continue
    return found
