# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Changing the password of a repository: what is stored stays as it is, only the key to it is locked once more.

The role keeps earlier passwords next to the one that is used, as long as the inventory names them. By one of them a
key for the new password is added; the key of one that is no longer named is removed. Keys that somebody else has added
are left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.backup.store import (
    PASSWORD,
    NoRepository,
    Store,
    WrongKey,
)

RECORD = "@keys"  # next to the outcomes of the apps, none of which has such a name


def renew(store: Store, say: Callable[[str], None] = print) -> None:
    """Makes the repository open with the password that is wanted, and no longer with those that are not named."""
    names = earlier(store.folder)
    before = recorded()
    if not (names or before or backed_up()):
        return  # nothing was ever stored there, as far as this host knows
    try:
        known = opening(store, names)
    except NoRepository:
        return
    if PASSWORD not in known:
        store.run(
            ["key", "add", "--new-password-file", f"{store.folder}/{PASSWORD}"], ADDING, next(iter(known))
        )
        known[PASSWORD] = store.key()
        say(f"{store.repository} opens with the new password")
    kept = set(known.values())
    record(sorted({*before, *kept}))
    removed = {*before} - kept
    for key in [key for key in store.keys_there() if key in removed]:
        store.run(["key", "remove", key], "Removing an earlier key of the backup repository")
        say(f"{store.repository} no longer opens with an earlier password")
    record(sorted(kept))


ADDING = "Adding a key to the backup repository"


def earlier(folder: str) -> list[str]:
    """Files with passwords that were used before, the latest first."""
    found = [name for name in os.listdir(folder) if re.fullmatch(rf"{PASSWORD}\.\d+", name)]
    return sorted(found, key=lambda name: int(name.partition(".")[2]))


def opening(store: Store, names: list[str]) -> dict[str, str]:
    """The key that each of the passwords opens the repository with; raises when none does."""
    known = {}
    refusal: WrongKey | None = None
    for name in (PASSWORD, *names):
        try:
            known[name] = store.key(name)
        except WrongKey as error:
            refusal = refusal or error
    if refusal and not known:
        raise refusal
    return known


def backed_up() -> bool:
    return any(
        name.endswith(".json") and not name.startswith(RECORD) for name in os.listdir(backup_state.STATE)
    )


def recorded() -> list[str]:
    """Keys of the passwords that this host has had, which are to go when those are named no more."""
    keys: list[str] = backup_state.read(RECORD).get("keys", [])
    return keys


def record(keys: list[str]) -> None:
    if keys != recorded():
        new = f"{backup_state.path_of(RECORD)}.new"
        with open(new, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(json.dumps({"keys": keys}) + "\n")
        os.rename(new, backup_state.path_of(RECORD))
