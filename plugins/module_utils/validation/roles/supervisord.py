# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of supervisord."""

from __future__ import annotations

import re

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    NAME,
    NAME_HINT,
    Plain,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Field,
    Map,
    Object,
)


class ProgramOption(Plain):
    """A value of supervisord's configuration."""

    def objection(self, value: str) -> str:
        if re.search(r"\s[;#]", value):
            return "has a ; or # after a space, where supervisord takes the rest for a comment"
        if "%" in re.sub(r"%%|%\([A-Za-z_]\w*\)[0-9]*[sd]", "", value):
            return "has a % that supervisord would expand; write %%"
        return ""


# fmt: off
PROGRAM_OPTIONS = (
    "section", "command", "process_name", "numprocs", "numprocs_start", "priority", "autostart", "startsecs",
    "startretries", "autorestart", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user",
    "redirect_stderr", "environment", "directory", "umask", "serverurl", "socket", "socket_owner", "socket_mode",
    "socket_backlog",
    *(f"{stream}_{option}" for stream in ("stdout", "stderr") for option in (
        "logfile", "logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled", "syslog")),
)
# fmt: on

INPUTS: dict[str, Field] = {
    "supervisord_programs": Map(
        Object(
            {
                "section": Choice(["program", "fcgi-program"], doc="kind of the section (default: program)"),
                **{name: ProgramOption() for name in PROGRAM_OPTIONS if name != "section"},
            }
        ),
        key=NAME,
        key_hint=NAME_HINT,
    ),
}
