# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Paths below the homes of people: in their sandboxes, services do not see them (ProtectHome of systemd)."""

from __future__ import annotations

import re

FOLDER = r"/+(?:home|root|run/user)(?=/|$)"
# What follows in a directive of nginx is a file, a folder or a socket.
DIRECTIVE = re.compile(
    r"(?:^|[;{])\s*(?:(?:root|alias|include|access_log|error_log|auth_basic_user_file|ssl_certificate|ssl_certificate_key"
    rf"|ssl_trusted_certificate)\s+|(?:\w+_pass|server)\s+(?:https?://)?unix:)[\"']?({FOLDER}[^\s;:\"']*)",
    re.MULTILINE,
)


PROGRAM = re.compile(rf"(?:^|[\s=:,\"'])({FOLDER}[^\s;:,\"']*)", re.MULTILINE)


def program_paths(text: str) -> list[str]:
    """Paths in a program of supervisord that it would not see; comments are none."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith((";", "#"))]
    return PROGRAM.findall("\n".join(lines))


def nginx_paths(text: str) -> list[str]:
    """Paths in a file of nginx that it would not see."""
    return DIRECTIVE.findall(text)
