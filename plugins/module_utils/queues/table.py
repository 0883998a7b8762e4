# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The task queues: what goes with what, how a worker is started, and how it is told to stop.

One table for the schema, for resolving an app and for docs/workers.md.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import REDIS

# What an app's processes are told about the app: see `worker`.
Context = Mapping[str, Any]


@dataclass(frozen=True)
class Queue:
    """One kind of process of a task queue."""

    title: str
    # what can hand its tasks to it, the best first
    brokers: tuple[str, ...]
    command: Callable[[Mapping[str, Any], Context], str]
    stop_signal: str = "TERM"
    stop_timeout: int = 60
    # what `processes` may say of it, beyond what every process may
    fields: tuple[str, ...] = ()
    # the most processes that there may be of it, on all hosts together; 0 is no limit
    most: int = 0
    # MiB of an idle one, and for each further task that it does at the same time
    memory: int = 80
    memory_each: int = 0
    # packages that an app needs whose settings Homeport supplies, by broker
    packages: Mapping[str, str] = field(default_factory=dict)
    # a task that runs when its worker is killed
    killed: str = ""


def _words(*words: object) -> str:
    return " ".join(str(word) for word in words if str(word))


def _quoted(values: list[str], separator: str = ",") -> str:
    return separator.join(shlex.quote(value) for value in values)


def _options(process: Mapping[str, Any]) -> str:
    return _words(*(shlex.quote(word) for word in shlex.split(process.get("options", ""))))


def _django_q(process: Mapping[str, Any], context: Context) -> str:
    name = f"--name {_quoted(process['queues'][:1])}" if process.get("queues") else ""
    # it has no option for it: settings read the number of workers from here
    return _words(
        f"env TASK_WORKERS={process.get('concurrency', 1)}", "manage.py qcluster", name, _options(process)
    )


def _celery_app(process: Mapping[str, Any]) -> str:
    """Celery's application: by default the package that the settings are in."""
    return shlex.quote(process["application"]) if process.get("application") else '"$HOMEPORT_PACKAGE"'


def _celery(process: Mapping[str, Any], context: Context) -> str:
    return _words(
        f"celery --app {_celery_app(process)} worker --loglevel INFO",
        f"--concurrency {process.get('concurrency', 1)}",
        # each worker of a queue needs a name of its own
        f'--hostname {context["process"]}."${{SUPERVISOR_PROCESS_NAME:-0}}"@%h',
        f"--queues {_quoted(process['queues'])}" if process.get("queues") else "",
        _options(process),
    )


def _celery_beat(process: Mapping[str, Any], context: Context) -> str:
    return _words(
        f"celery --app {_celery_app(process)} beat --loglevel INFO --pidfile=",
        f"--schedule {context['home']}/shared/data/celerybeat-schedule",
        _options(process),
    )


def _huey(process: Mapping[str, Any], context: Context) -> str:
    command = _words("manage.py run_huey", f"--workers {process.get('concurrency', 1)}", _options(process))
    if not context["scheduler"]:
        return f"{command} --no-periodic"
    # Only one consumer of an app may hand out the periodic tasks.
    periodic = '$([ "${SUPERVISOR_PROCESS_NAME:-0}" = 0 ] || echo --no-periodic)'
    return f"{command} {periodic}"


def _rq(process: Mapping[str, Any], context: Context) -> str:
    queues = _quoted(process.get("queues") or ["default"], " ")
    # which of several workers hands out what is due they settle among themselves, by a lock
    return _words("manage.py rqworker", queues, "--with-scheduler", _options(process))


def _rq_cron(process: Mapping[str, Any], context: Context) -> str:
    return _words("manage.py rqcron", shlex.quote(process.get("application", "")), _options(process))


def _django_tasks(process: Mapping[str, Any], context: Context) -> str:
    queues = f"--queue-name {_quoted(process['queues'])}" if process.get("queues") else ""
    # by itself it looks once a second
    return _words("manage.py db_worker --interval 0.2", queues, _options(process))


QUEUES = {
    "django_q": Queue(
        "Django-Q2",
        brokers=(*REDIS, "database"),
        command=_django_q,
        fields=("queues", "concurrency"),
        memory=77,
        memory_each=30,
        packages={"redis": "django-q2[redis]", "valkey": "django-q2[redis]", "database": "django-q2"},
        killed="database: run again after `retry`; Redis: lost, with what was prefetched",
    ),
    "celery": Queue(
        "Celery",
        brokers=(*REDIS, "rabbitmq"),
        command=_celery,
        # now and then a stop takes 30 s longer than its tasks
        stop_timeout=120,
        fields=("queues", "concurrency", "application"),
        memory=70,
        memory_each=45,
        packages={"redis": "celery[redis]", "valkey": "celery[redis]", "rabbitmq": "celery"},
        killed="lost; with `task_acks_late` run again (RabbitMQ: at once, Redis: after `visibility_timeout`)",
    ),
    "celery_beat": Queue(
        "Celery's scheduler",
        brokers=(*REDIS, "rabbitmq"),
        command=_celery_beat,
        stop_timeout=20,
        fields=("application",),
        most=1,
        memory=60,
    ),
    "huey": Queue(
        "Huey",
        brokers=(*REDIS, "database"),
        command=_huey,
        # TERM drops what runs
        stop_signal="INT",
        fields=("concurrency",),
        memory=60,
        memory_each=2,
        packages={"redis": "huey[redis]", "valkey": "huey[redis]", "database": "huey>=3.5"},
        killed="lost",
    ),
    "rq": Queue(
        "RQ",
        brokers=REDIS,
        command=_rq,
        fields=("queues",),
        memory=90,
        packages={"redis": "django-rq", "valkey": "django-rq"},
        killed="not run again: it is among the failed ones",
    ),
    "rq_cron": Queue(
        "RQ's scheduler",
        brokers=REDIS,
        command=_rq_cron,
        stop_timeout=20,
        fields=("application",),
        most=1,
        memory=60,
    ),
    "django_tasks": Queue(
        "Django's tasks",
        brokers=("database",),
        command=_django_tasks,
        fields=("queues",),
        memory=55,
        packages={"database": "django-tasks-db"},
        killed="not run again: it stays among the running ones",
    ),
}

BROKERS = tuple(dict.fromkeys(broker for queue in QUEUES.values() for broker in queue.brokers))


def needs_broker(kind: str) -> bool:
    """Whether a kind takes its tasks from the app's broker; the others only know the database."""
    return QUEUES[kind].brokers != ("database",)


def kinds_of(processes: Mapping[str, Any]) -> list[str]:
    """The kinds of queue that an app's processes are, each once."""
    found = [process.get("kind") for process in processes.values() if isinstance(process, Mapping)]
    return [kind for kind in dict.fromkeys(kind for kind in found if isinstance(kind, str)) if kind in QUEUES]


def default_broker(kinds: list[str], available: tuple[str, ...]) -> str:
    """The first broker of a setup that all kinds can use; `none` where no kind needs one, or none will do."""
    choosy = [kind for kind in kinds if needs_broker(kind)]
    if not choosy:
        return "database" if kinds else "none"
    for broker in available:
        if all(broker in QUEUES[kind].brokers for kind in choosy):
            return broker
    return "none"


def worker(name: str, process: Mapping[str, Any], home: str, scheduler: bool) -> dict[str, Any]:
    """A process with its command, its stop signal and its patience, whatever its kind.

    ``scheduler`` says whether this host is the one that hands out the app's scheduled tasks.
    """
    kind = process.get("kind")
    if not kind:
        return {"stop_signal": "TERM", "stop_timeout": 60, **process}
    queue = QUEUES[kind]
    return {
        "stop_signal": queue.stop_signal,
        "stop_timeout": queue.stop_timeout,
        **process,
        # on another host the one that there may be runs already
        "count": 0 if queue.most and not scheduler else process["count"],
        "command": queue.command(process, {"process": name, "home": home, "scheduler": scheduler}),
    }
