# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The commit of the site's folder on this controller, and whether it contains the one that a host was given last."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from typing import Any

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SECONDS = 20  # for each question to git


def own_site(folder: str) -> dict[str, Any]:
    """The ``commit`` of an inventory's folder, its ``time`` (seconds since 1970), and whether there is something
    ``uncommitted`` in the folder; empty where git does not have the folder."""
    if not folder or not git(folder, "ls-files", "--", "."):
        return {}
    commit, _space, time = (git(folder, "log", "-1", "--format=%H %ct") or "").partition(" ")
    if not COMMIT.fullmatch(commit):
        return {}
    return {
        "commit": commit,
        "time": int(time),
        "uncommitted": bool(git(folder, "status", "--porcelain", "--", ".")),
    }


def lacks(folder: str, own: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """Whether the clone of ``folder`` lacks the commit that was ``recorded`` on a host, so that a run would undo it."""
    commit, head = str(recorded.get("commit", "")), str(own.get("commit", ""))
    if not head or not COMMIT.fullmatch(commit) or commit == head or is_ancestor(folder, commit, head):
        return False
    if git(folder, "rev-parse", "--is-shallow-repository") == "true":
        return int(own["time"]) < int(recorded.get("time", 0))
    return is_ancestor(folder, head, commit) or not was_here(folder, commit)


def is_ancestor(folder: str, older: str, newer: str) -> bool:
    return git(folder, "merge-base", "--is-ancestor", older, newer) is not None


def was_here(folder: str, commit: str) -> bool:
    """Whether this clone was at a commit that was amended or rebased since."""
    return commit in (git(folder, "log", "--walk-reflogs", "--format=%H", "HEAD") or "").split()


def git(folder: str, *words: str) -> str | None:
    """What git prints; None where it fails, or is not installed."""
    command = ["git", "--no-optional-locks", "-C", folder, *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
