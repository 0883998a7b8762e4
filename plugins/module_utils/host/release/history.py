# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The record of what was done to an app on a host: one line of JSON each, only ever appended to."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import STATE
from ansible_collections.homeport.django.plugins.module_utils.host.layout import Layout

FOLDER = f"{STATE}/deploys"
LONGEST = 2000  # characters of a message that are kept


def line_of(
    layout: Layout, release: str, before: str, started: float, migrations: list[str], holder: str
) -> dict[str, Any]:
    """What the record says of a deploy from the release ``before`` to another, but its outcome."""
    record, earlier = layout.record(release), layout.record(before)
    return {
        "release": os.path.basename(release),
        "before": os.path.basename(before),
        "revision": record.get("revision", ""),
        "revision_before": earlier.get("revision", ""),
        "subject": record.get("subject", ""),
        "by": holder,
        "seconds": round(time.time() - started, 1),
        "migrations": migrations,
    }


def append(app: str, entry: dict[str, Any], folder: str = FOLDER) -> dict[str, Any]:
    """Adds ``entry`` with the present time to the record of ``app``; returns the whole line."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "app": app, **entry}
    line["message"] = shortened(str(line.get("message", "")))
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(f"{folder}/{app}.jsonl", flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size and os.pread(descriptor, 1, size - 1) != b"\n"  # by a power cut
        os.write(descriptor, (("\n" if torn else "") + json.dumps(line, sort_keys=True) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return line


def shortened(message: str) -> str:
    """A message without its middle where it is too long: what failed is at its beginning, and why at its end."""
    if len(message) <= LONGEST:
        return message
    begin, gap = message[: LONGEST // 4], "\n...\n"
    return begin + gap + message[len(begin) + len(gap) - LONGEST :]


def gone_back_from(app: str, release: str, folder: str = FOLDER) -> dict[str, Any]:
    """The rollback by which a release was left that has not been live since; empty when there was none."""
    return left(app, "release", "before", folder).get(release, {})


def revision_gone_back_from(app: str, revision: str, folder: str = FOLDER) -> dict[str, Any]:
    """The same of a revision of the code, whatever releases were built of it."""
    return left(app, "revision", "revision_before", folder).get(revision, {}) if revision else {}


def left(app: str, live: str, before: str, folder: str) -> dict[str, dict[str, Any]]:
    """The rollbacks, by what each left that has not been live since; ``live`` and ``before`` are keys of the record."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries(app, folder):
        now, was = str(entry.get(live, "")), str(entry.get(before, ""))
        if entry.get("outcome") == "rolled back":
            found.pop(was, None)  # live again
        elif entry.get("outcome") == "live":
            returns = found.pop(now, None)
            if entry.get("verb") == "rollback" and was != now and not returns:
                found[was] = entry
    return found


def entries(app: str, folder: str = FOLDER) -> list[dict[str, Any]]:
    """The record of ``app``, oldest first, without a line that a power cut tore."""
    found = []
    try:
        with open(f"{folder}/{app}.jsonl", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
    except FileNotFoundError:
        return []
    return [entry for entry in found if isinstance(entry, dict)]
