# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Django's own check of an app's live release."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    Layout,
    Runner,
)
from ansible_collections.homeport.django.plugins.module_utils.host.management import in_release

CHECK_SECONDS = 90  # that an app's own checks may take


def deploy_check(spec: dict[str, Any]) -> dict[str, Any] | None:
    """What ``check --deploy`` says of the live release: the issues' ids by level; nothing without a release."""
    layout = Layout(spec)
    release = layout.current
    if not release:
        return None
    command = ["manage.py", "check", "--deploy", "--no-color"]
    ended = in_release(
        Runner(layout), release, command, {"PYTHONDONTWRITEBYTECODE": "1"}, seconds=CHECK_SECONDS
    )
    found = issues(f"{ended.stdout}\n{ended.stderr}")
    if ended.stopped:
        return {"issues": found, "failed": f"did not end within {CHECK_SECONDS} s"}
    # what it printed may hold a value of the settings
    failed = f"ended with exit status {ended.status}" if ended.status and not any(found.values()) else ""
    return {"issues": found, "failed": failed}


def issues(text: str) -> dict[str, list[str]]:
    """The ids of the issues that Django lists, by level. Its words, and those of an app's own checks, stay there."""
    found: dict[str, list[str]] = {"CRITICAL": [], "ERROR": [], "WARNING": []}
    level = ""
    for line in text.splitlines():
        heading = re.fullmatch(r"(CRITICAL|ERROR|WARNING|INFO|DEBUG)S:", line)
        if heading:
            level = heading[1]
        elif line.startswith("System check identified") or not line.strip():
            level = level if not line.strip() else ""
        elif level in found and not line[0].isspace():
            match = re.match(r".+?: \(([\w.-]+)\) ", line)
            if match:
                found[level].append(match[1])
    return found
