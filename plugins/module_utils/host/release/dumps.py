# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The dumps of an app that were made before migrations: which belong together, and which one leads where."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout

DEFAULT = "default"  # alias of an app's own database


def records(layout: Layout) -> list[tuple[dict[str, Any], str]]:
    """What was written down of each file, with its path. The file may be gone."""
    folder = f"{layout.home}/dumps"
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.endswith(".json"):
            with open(f"{folder}/{name}", encoding="utf-8") as stream:
                found.append(({"alias": DEFAULT, **json.load(stream)}, f"{folder}/{name[:-5]}"))
    return found


def dumps(layout: Layout) -> list[dict[str, Any]]:
    """What there is to restore, oldest first. ``paths`` has the files of a dump by the aliases of the databases.

    One that lacks a database is none: a dump of the others was interrupted, or the removal of all of them.
    """
    found: dict[str, dict[str, Any]] = {}
    for record, path in records(layout):
        if os.path.isfile(path):
            paths = found.get(record["release"], {}).get("paths", {})
            if record["alias"] == DEFAULT or not paths:
                found[record["release"]] = record
            found[record["release"]]["paths"] = {**paths, record["alias"]: path}
    whole = [dump for dump in found.values() if set(dump.get("together", ())) <= dump["paths"].keys()]
    return sorted(whole, key=lambda dump: str(dump["time"]))


def dump_before(layout: Layout, target: str, name: str = "") -> dict[str, Any]:
    """The dump called ``name``, or the one that has the database as ``target`` last knew it."""
    found = dumps(layout)
    if name:
        named = [dump for dump in found if dump["release"] == name]
        if not named:
            there = ", ".join(dump["release"] for dump in found) or "none"
            raise DeployError(f"There is no dump {name}; there are {there}")
        return named[0]
    # made when it was live; else by the first of the releases that followed it
    mine = [dump for dump in found if dump["before"] == target]
    later = [dump for dump in found if dump["before"] and release_of(dump) > target]
    if not mine and not later:
        raise DeployError(
            f"There is no dump of the database as {target} knew it: without -e restore=true the database stays as it is"
        )
    chosen = mine[-1] if mine else later[0]
    tries = [dump for dump in mine or later if release_of(dump) == release_of(chosen)]
    return min(tries, key=lambda dump: str(dump["release"]))  # the first: the others have some migrations


def release_of(dump: Mapping[str, Any]) -> str:
    """The release that a dump was made for; that of a second try has a name of its own."""
    return str(dump.get("of", dump["release"]))


def name_of(layout: Layout, release: str, pending: Mapping[str, list[str]]) -> str:
    """The name of a new dump before the migrations ``pending`` (by alias) of a release.

    It replaces that of an earlier try, unless that try has applied some of its migrations and failed at another: then
    the earlier dump alone has the databases from before.
    """
    whole = {dump["release"] for dump in dumps(layout)}
    moved = {
        record["release"]
        for record, _path in records(layout)
        if record.get("release") in whole
        and set(record["migrations"]) - set(pending.get(record["alias"], record["migrations"]))
    }
    name, number = release, 0
    while name in moved:
        number += 1
        name = f"{release}-{number}"
    return name


def forget(layout: Layout, name: str) -> None:
    """Removes the dump that a new one replaces: files of both would be taken for one."""
    for record, path in records(layout):
        if record.get("release") == name:
            take_away(path)


def prune_dumps(layout: Layout, keep: int) -> None:
    """Removes the oldest dumps beyond ``keep``, and those that are not whole."""
    kept = {path for dump in dumps(layout)[-keep:] for path in dump["paths"].values()}
    for _record, path in records(layout):
        if path not in kept:
            take_away(path)


def take_away(path: str) -> None:
    """What was written down of it goes last: without that nobody would find the file again."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.unlink(f"{path}.json")
