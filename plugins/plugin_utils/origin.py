# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Where values stand in the user's files, and which of these files hold secrets in plain text."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from typing import Any

try:  # where a value stands: ansible-core 2.19 and later know
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None


def place(problem: str, variables: Mapping[str, Any]) -> str:
    """Where the value that a problem names stands in the user's files, as far as that is known."""
    if Origin is None:
        return ""
    path = problem.split(": ", 1)[0]
    found = None
    value: Any = variables
    for word in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(word)] if isinstance(value, (list, tuple)) else value[word]
        except (KeyError, IndexError, TypeError, ValueError):
            for key in value if isinstance(value, Mapping) else []:
                if str(key) == word.strip("'"):
                    found = Origin.get_tag(key) or found
            break
        found = Origin.get_tag(value) or found
    if not found or not found.path:
        return ""
    line = f", line {found.line_num}" if found.line_num else ""
    return f"\n  in {found.path}{line}"


def exposed_secrets(variables: Mapping[str, Any]) -> list[str]:
    """Files with secrets in plain text that are in git, or would be with the next `git add .`."""
    if Origin is None:
        return []
    found = []
    for name in (
        "homeport_secret",
        "homeport_secret_previous",
        "homeport_authority_key",
        "vault_django_apps",
    ):
        value = variables.get(name)
        origin = Origin.get_tag(value)
        # one that is encrypted by itself is no string yet, and one that is a template stands somewhere else
        plain_text = (isinstance(value, str) and "{{" not in value) or (
            isinstance(value, (Mapping, list)) and value
        )
        if plain_text and origin and origin.path and origin.path not in found and is_for_git(origin.path):
            found.append(origin.path)
    return found


def is_for_git(path: str) -> bool:
    """Whether a file is not encrypted, in a work tree of git, and not ignored there."""
    try:
        with open(path, "rb") as stream:
            if stream.read(14) == b"$ANSIBLE_VAULT":
                return False
        words = ["git", "-C", os.path.dirname(path), "check-ignore", "--quiet", path]
        return subprocess.run(words, capture_output=True, check=False).returncode == 1
    except OSError:  # no such file, or no git
        return False
