# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Commands: which a shell reads, and which supervisord starts itself."""

from __future__ import annotations

import re
import shlex

from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import ENTRY, ENTRY_HINT
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems, Str


class ShellCommand(Str):
    """A command of a list, which a shell runs and which messages name."""

    several_lines = "must be a single line: make an entry of each command, or join them by && and ;"


def check_argv(command: object, path: str, problems: Problems) -> None:
    """A long-running process is one program with arguments; no shell stands between it and supervisord."""
    if not isinstance(command, str):
        return
    try:
        words = shlex.split(command)
    except ValueError as error:
        problems.add(path, f"cannot be split into words: {str(error).lower()}")
        return
    if not words:
        problems.add(path, "is empty")
        return
    if re.search(r"[();<>|&]", _bare(command)):
        problems.add(path, "must be one command; put several into a script, or use sh -c '...'")


def _bare(command: str) -> str:
    """What of a command stands in no quotes, and has no backslash before it."""
    return re.sub(r"""\\.|'[^']*'|"(\\.|[^"\\])*\"""", "x", command)


def check_command(command: object, path: str, problems: Problems) -> None:
    """A process's own command, of which a shell reads the words, once."""
    check_argv(command, path, problems)
    if not isinstance(command, str):
        return
    if re.match(r"\s*[A-Za-z_]\w*=", command):
        problems.add(
            path, "begins with a variable; put that into env, or write env NAME=VALUE before the command"
        )
    if re.match(r"\s*exec\s", command):
        problems.add(path, "begins with exec, which is there already; leave it out")
    if re.search(r"(^|\s)#", _bare(command)):
        problems.add(path, "has a #, from where on a shell takes it for a comment; put the word into quotes")


def _manage_path(manage: str) -> str:
    """The manage.py that ``manage`` names, where it names one and no command."""
    try:
        words = shlex.split(manage)
    except ValueError:
        return ""
    return words[0] if words and words[0].split("/")[-1] == "manage.py" else ""


class Manage(Str):
    """The management command: the path of a manage.py, with arguments or without, or a command."""

    def objection(self, value: str) -> str:
        problems = Problems()
        check_argv(value, "", problems)
        manage = _manage_path(value)
        if manage and not re.fullmatch(rf"(?!.*:){ENTRY}", manage):
            problems.add("", f"{ENTRY_HINT}, and without ':'")
        return problems[0].removeprefix(": ") if problems else ""
