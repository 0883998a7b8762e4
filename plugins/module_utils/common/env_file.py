# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Reads back the environment of an app, as the role django_app has written it for sh."""

from __future__ import annotations

import shlex


def exported(text: str) -> dict[str, str]:
    """The variables that a text exports."""
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)


def exports(path: str) -> dict[str, str]:
    """The variables that a file exports; none where there is no such file."""
    try:
        with open(path, encoding="utf-8") as stream:
            return exported(stream.read())
    except (OSError, ValueError):
        return {}
