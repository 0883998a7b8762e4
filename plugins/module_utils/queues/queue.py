# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""A kind of process of a task queue, and helpers to write its command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Since
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Problems

Process = Mapping[str, Any]
# Of the process: its name (C(process)), the app's folder (C(home)), and whether this host hands out what is scheduled
# (C(scheduler)).
Context = Mapping[str, Any]

# In a command: the number of an instance, from 0, among those that run of one process. Each target writes here what
# its launcher knows it by (docs/decisions/0033).
INSTANCE = "${HOMEPORT_INSTANCE:-0}"


@dataclass(frozen=True)
class Queue:
    """One kind of process of a task queue."""

    title: str
    # where it can take its tasks from, the best first
    brokers: tuple[str, ...]
    # as sh reads it
    command: Callable[[Process, Context], str]
    stop_signal: str = "TERM"
    stop_timeout: int = 60
    # fields of `processes` that it has beyond those of every process
    fields: tuple[str, ...] = ()
    # adds what is wrong with the fields of a process
    check: Callable[[Process, str, Problems], None] = lambda _process, _path, _problems: None
    # the most processes of it on all hosts together; 0 is no limit
    most: int = 0
    # what it keeps on the host of what it has scheduled ({home} is the app's folder)
    state: str = ""
    # the argument with which it schedules nothing, and works
    standby: str = ""
    # MiB of an idle one, and for each further task that it runs at the same time
    memory: int = 80
    memory_each: int = 0
    # Python packages of an app whose settings Homeport supplies, by broker
    packages: Mapping[str, str] = field(default_factory=dict)
    # versions that it needs and not every distribution has, by broker
    needs: Mapping[str, Since] = field(default_factory=dict)
    # what becomes of a task whose worker is killed
    killed: str = ""


def words(*parts: object) -> str:
    return " ".join(str(part) for part in parts if str(part))


def quoted(values: list[str], separator: str = ",") -> str:
    return separator.join(shlex.quote(value) for value in values)


def options(process: Process) -> str:
    """The process's own arguments, each as one word."""
    return words(*(shlex.quote(word) for word in shlex.split(process.get("options", ""))))
