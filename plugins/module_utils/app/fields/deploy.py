# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Health, migrations, hooks, notification and maintenance."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from ansible_collections.homeport.django.plugins.module_utils.app.fields.commands import ShellCommand
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Int,
    List,
    Object,
    Str,
    controls,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    _TIDY,
    WEB_ADDRESS,
    WEB_ADDRESS_HINT,
    Address,
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
            "seconds that it is watched for once it is live; where it fails, the previous release serves again",
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
    return List(ShellCommand("a shell command"), doc=doc, default=[])


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
    doc="the app's own commands at certain steps of a deploy, run by its user; one that fails ends the deploy",
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
    doc="recipients of the result of a deploy or a rollback",
    default={},
)

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
            "seconds in the header Retry-After, for programs", low=1, high=604800, default=300
        ),
    },
    short="page",
    doc="what visitors get while the app is closed by maintenance.yml",
    default={},
)
