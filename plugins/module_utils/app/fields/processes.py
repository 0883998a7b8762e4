# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Long-running processes and schedules."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.fields.commands import (
    check_argv,
    check_command,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import OWN_ENV
from ansible_collections.homeport.django.plugins.module_utils.app.fields.text import MODULE
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME_HINT
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Int,
    List,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import Calendar

QUEUE_FIELDS = tuple(dict.fromkeys(field for queue in QUEUES.values() for field in queue.fields))
PROCESS_NAME = r"(?!web$)[a-z][a-z0-9_-]{0,30}"
PROCESS_NAME_HINT = f"{APP_NAME_HINT}; web is the app itself"


def _process_rule(process: dict[str, Any], path: str, problems: Problems) -> None:
    check_command(process.get("command"), f"{path}.command", problems)
    if "options" in process:
        check_argv(process["options"], f"{path}.options", problems)
    if ("kind" in process) == ("command" in process):
        found = "not both" if "kind" in process else "found none"
        problems.add(path, f"needs exactly one of command, kind ({found})")
        return
    kind = process.get("kind")
    queue = QUEUES.get(kind) if isinstance(kind, str) else None
    known = ("options", *queue.fields) if queue else ()
    for field in ("options", *QUEUE_FIELDS):
        if field in process and field not in known and (queue or "command" in process):
            does = ", ".join(name for name, other in QUEUES.items() if field in (*other.fields, "options"))
            problems.add(f"{path}.{field}", f"goes with the kinds {does} only")
    if queue:
        queue.check(process, path, problems)
    if queue and queue.most and isinstance(process.get("count"), int) and process["count"] > queue.most:
        problems.add(f"{path}.count", f"must be at most {queue.most}: there is one on all hosts together")


PROCESS = Object(
    {
        "command": Str("the command, run in the project with the virtual environment first on the path"),
        "kind": Choice(list(QUEUES), doc="instead of a command: a worker or scheduler of this task queue"),
        "count": Int("how many run on each host", low=0, high=100, default=1),
        "queues": List(
            Str("a queue", pattern=r"[A-Za-z0-9][\w.:-]{0,100}", hint="must be the name of a queue"),
            doc="names of the queues it works on (default: the queue's own default)",
            unique=True,
            least=1,
        ),
        "concurrency": Int("tasks that one does at the same time (default: 1)", low=1, high=256),
        "application": Str(
            "Celery's application (default: the package of the settings), or the module with RQ's schedule",
            pattern=rf"{MODULE}(:{MODULE})?",
            hint="must be a module, or module:name",
        ),
        "options": Str("further arguments for the queue's own command"),
        "stop_signal": Choice(
            ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"],
            doc="signal that asks it to finish (default: TERM, or what the kind needs)",
        ),
        "stop_timeout": Int(
            "seconds it may take to finish before it is killed (default: 60, or what the kind needs)",
            low=1,
            high=86400,
        ),
        "memory": Int(
            "MiB that it and its children may use together; above, it is asked to stop and started again "
            "(default: no limit)",
            low=32,
            high=1 << 22,
        ),
        "env": OWN_ENV,
    },
    short="command",
    rule=_process_rule,
)

SCHEDULE = Object(
    {
        "command": Str("the command, as a shell reads it", required=True),
        "calendar": Calendar(
            "when, in the words of systemd's OnCalendar (hourly, daily, '*-*-* 06:30', 'Mon 08:00')",
            required=True,
        ),
        "timeout": Int("seconds after which a run is ended", low=1, high=604800, default=3600),
        "env": OWN_ENV,
    }
)
