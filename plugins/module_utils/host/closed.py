# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""An app that a verb keeps closed to visitors while it works. The flag names the command that opens it again."""

from __future__ import annotations

import contextlib
import os

TEXT = "Visitors get page.html until this ends: {}\n"  # also in playbooks/move_database.yml
BEGINNING = TEXT.partition("{")[0]


def flag_of(home: str) -> str:
    return f"{home}/maintenance/on"


def closed_by(home: str) -> str:
    """The command that has closed the app, or nothing: an operator has, or it is open."""
    with contextlib.suppress(OSError), open(flag_of(home), encoding="utf-8", errors="replace") as stream:
        text = stream.read(2000).strip()
        return text[len(BEGINNING) :] if text.startswith(BEGINNING) else ""
    return ""


def close(home: str, command: str) -> bool:
    """Closes the app; returns whether the command has to open it: an earlier run of the same verb, which was
    interrupted, may have closed it."""
    flag = flag_of(home)
    verb = closed_by(home).partition(" ")[0]
    if not os.path.isdir(os.path.dirname(flag)) or (
        os.path.exists(flag) and verb != command.partition(" ")[0]
    ):
        return False
    with open(f"{flag}.new", "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), 0o644)
        stream.write(TEXT.format(command))
    os.rename(f"{flag}.new", flag)
    return True


def reopen(home: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(flag_of(home))
