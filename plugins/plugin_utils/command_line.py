# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Checks of the command line: whether it names an inventory, and whether anything reads its variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible import context
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.plugin_utils.playbook_variables import PLAYBOOKS

COLLECTION = Path(__file__).resolve().parents[2]
COLLECTION_NAME = "homeport.django."
RAW = "_raw_params"
# Deprecated names that the playbooks still read, each with the one that replaces it.
RENAMED = {
    "cut_off": "allow_auth_downtime",
    "patience": "health_timeout",
    "pgbackrest_recover_point": "pgbackrest_recover_target_time",
    "point": "target_time",
}
REMOVED_IN = "0.2.0"
PREFIXES = ("__", "ansible_", "vault_")  # __: internal to a role
SITE, APPS = "homeport_", "django_apps"
READ = (".yml", ".yaml", ".j2", ".cfg", ".html")
COMMENTED = (".yml", ".yaml", ".cfg")
MOST_FILES = 2000
READ_BY = ("action", "filter", "module_utils/wiring", "module_utils/validation", "vars")


def useless_tags(chosen: Iterable[str], own: Iterable[str]) -> list[str]:
    """Tags that no task has, so that the run would end well without doing anything.

    ``own`` are those of a task that always runs. The playbook of a user may give it further ones.
    """
    given = set(chosen)
    if not given or given & {"all", "untagged", *own} - {"always"}:
        return []
    return [
        f"--tags {','.join(sorted(given))}: no task has such a tag, so that nothing would be done; leave it out"
    ]


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
    return [name for option in options for name in typed(option) if name != RAW]


def typed(option: str) -> Mapping[str, Any]:
    """The variables of one -e; RAW is what has no name."""
    text = option.strip()
    if text.startswith("@"):
        return {}
    if text.startswith(("{", "[")):
        parse: Callable[[str], Any] = yaml.safe_load
    else:
        text, parse = re.sub(r"(^|\s)command=.*", r"\1command=", text, flags=re.DOTALL), parse_kv
    try:
        found = parse(text)  # manage parses what follows its command itself
    except Exception:  # Ansible reports it
        return {}
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def nameless(options: Iterable[str]) -> list[str]:
    """A message for each -e with a word that gives no variable a value, which Ansible ignores."""
    found = []
    for raw in [str(typed(option)[RAW]) for option in options if RAW in typed(option)]:
        name = re.match(r"(\w+)\s*:", raw)
        remedy = f"write {name[1]}=VALUE" if name else "write NAME=VALUE, and quote a value with spaces"
        found.append(f"-e{f' {printable(name[1])}' if name else ''}: has a word without a value; {remedy}")
    return found


def unread(hosts: Iterable[Mapping[str, Any]], folders: Iterable[str], roles: tuple[str, ...]) -> list[str]:
    """A message for each variable given with -e that neither the playbook nor the inventory reads."""
    options = context.CLIARGS.get("extra_vars") or ()
    paths = [os.path.abspath(path) for path in context.CLIARGS.get("args") or ()]
    playbooks = homeports(context.CLIARGS.get("args") or ())
    read = {name for playbook in playbooks for name in PLAYBOOKS[playbook]}
    names = [
        name
        for name in typed_names(options)
        if (known := RENAMED.get(name, name)) not in read and not is_known(known, roles)
    ]
    problems = nameless(options)
    if not names:
        return problems
    others = [path for path in paths if not is_homeports(path)]
    strict = all(only_imports(path) for path in others)
    # the variables of a host include the extra variables
    found = {
        word
        for values in hosts
        for name, value in values.items()
        if name not in names
        for word in words_in(value)
    }
    found |= words_of([*folders, *(os.path.dirname(path) for path in others)], whole=not strict)
    for name in names:
        hint = meant(name, read)
        # a play of the user's own may pass it to a role
        if name not in found and (strict or hint):
            problems.append(f"-e {printable(name)}: nothing reads this variable{hint}")
    return problems


def meant(name: str, read: Iterable[str]) -> str:
    """What was meant by a variable that is not read, or which playbooks read it."""
    others = [playbook for playbook, names in PLAYBOOKS.items() if name in names]
    known = (
        f"; {' and '.join(others)} read{'s' if len(others) == 1 else ''} it" if 0 < len(others) < 4 else ""
    )
    return closest(name, sorted(read)) or known


def is_known(name: str, roles: tuple[str, ...]) -> bool:
    """Whether it is a variable of the inventory or of a role. Whose names are not lists, anything may be."""
    if name.startswith(PREFIXES) or name == APPS:
        return True
    if name.startswith(SITE):
        python = [path for part in READ_BY for path in (COLLECTION / "plugins" / part).rglob("*.py")]
        return name in words_of([str(COLLECTION / "playbooks")]) or any(
            re.search(rf"\b{re.escape(name)}\b", text_of(path)) for path in python
        )
    places = [COLLECTION / "roles" / role.rstrip("_") for role in roles if name.startswith(role)]
    files = [place / file for place in places for file in ("defaults/main.yml", "meta/argument_specs.yml")]
    return any(name in re.findall(r"\w+", text_of(path)) for path in files)


def homeports(arguments: Iterable[str]) -> set[str]:
    """The playbooks of Homeport that a command runs, also by files that import them; all where none is known."""
    found = {name for argument in arguments for name in imported(argument)}
    return found & set(PLAYBOOKS) or set(PLAYBOOKS)


def imported(argument: str) -> Iterator[str]:
    """The names of Homeport's playbooks among what a playbook is or imports."""
    if argument.startswith(COLLECTION_NAME):
        yield argument[len(COLLECTION_NAME) :]
    elif is_homeports(argument):
        yield Path(argument).stem
    else:
        for name in filter(None, imports(argument)):
            beside = os.path.join(os.path.dirname(os.path.abspath(argument)), name)
            yield from imported(name if name.startswith(COLLECTION_NAME) else beside)


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
    found = imports(path)
    return bool(found) and all(name.startswith(COLLECTION_NAME) for name in found)


def imports(path: str) -> list[str]:
    """What each play of a playbook imports; an empty text for a play of its own."""
    try:
        plays = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    return [
        str(play.get("ansible.builtin.import_playbook") or play.get("import_playbook") or "")
        for play in (plays if isinstance(plays, list) else [])
        if isinstance(play, Mapping)
    ]


def words_in(value: Any) -> Iterator[str]:
    """The words in the templates of a structure."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from words_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from words_in(item)
    elif isinstance(value, str):
        yield from template_words(value)


def template_words(text: str) -> Iterator[str]:
    """The words of the expressions and statements of a template."""
    for block in re.findall(
        r"\{\{.*?\}\}|\{%.*?%\}", re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL), re.DOTALL
    ):
        yield from re.findall(r"\w+", block)


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def words_of(folders: Iterable[str], whole: bool = False) -> set[str]:
    """The words in the templates and conditions of the files in some folders; with ``whole``, all but of comments."""
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
                if not name.endswith(READ):
                    continue
                text = text_of(Path(top, name))
                if name.endswith(COMMENTED):
                    text = re.sub(r"(?m)^\s*#.*$", "", text)
                    for condition in re.findall(r"(?m)^[\s-]*when:(.*)$", text):
                        found.update(re.findall(r"\w+", condition))
                found.update(re.findall(r"\w+", text) if whole else template_words(text))
    return found
