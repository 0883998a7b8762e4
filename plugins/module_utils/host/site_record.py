# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which commit of the site a host was given last, and by whom."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import STATE
from ansible_collections.homeport.django.plugins.module_utils.host.given import read

NAME = "site.json"


def recorded_site(folder: str = STATE) -> dict[str, Any]:
    """``commit``, its ``time``, ``uncommitted``, ``by`` and ``given`` (since when); empty where nothing is recorded."""
    found = read(f"{folder}/{NAME}")
    return found if isinstance(found.get("commit"), str) else {}


class Overtaken(Exception):
    """Another run has begun with another commit since this one looked at the host."""


def give(site: dict[str, Any], seen: str, check: bool, folder: str = STATE) -> bool:
    """Records ``site`` where the host still has the commit that was ``seen``, or the same; whether that changed it."""
    found = recorded_site(folder)
    if found.get("commit", "") not in (seen, site["commit"]):
        raise Overtaken(
            f"Another run, by {found.get('by')}, has begun with the commit {found['commit'][:10]} of the site. Run "
            "this again when that run has ended. Nothing was changed"
        )
    changed = {key: found.get(key) for key in site} != site
    if changed and not check:
        write({**site, "given": int(time.time())}, folder)
    return changed


def write(site: dict[str, Any], folder: str) -> None:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    beside = f"{folder}/{NAME}.new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(site, stream)
    os.rename(beside, f"{folder}/{NAME}")
