# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of backups, and of the archive of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import (
    APP_NAME,
    APP_NAME_HINT,
    ENV_NAME,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.repositories import target
from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    FOLDER,
    FOLDER_HINT,
    NAME,
    NAME_HINT,
    Plain,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import Calendar, Timestamp

UNITS = ("hourly", "daily", "weekly", "monthly", "yearly")
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
BY_LOOKUP = "a file is read with lookup('file', ...)"
PASSWORD = r"\S.{14,}\S"
PASSWORD_HINT = "must be one line of 16 characters or more, without spaces around them"
CERTIFICATES = r"\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)*"


class Repository(Str):
    """Where backups go; empty for nowhere."""

    def objection(self, value: str) -> str:
        try:
            self.place(value)
        except ValueError as error:
            return str(error)
        return ""

    def place(self, value: str) -> dict[str, Any]:
        return target(value) if value else {"kind": ""}


class ArchiveRepository(Repository):
    """Where the archive of PostgreSQL goes; empty for nowhere."""

    def place(self, value: str) -> dict[str, Any]:
        found = super().place(value)
        if found["kind"] == "sftp" and not found["path"].startswith("/"):
            raise ValueError("pgBackRest wants the path on the other host to begin with /")
        return found


class KnownHosts(Str):
    """Lines of known_hosts; empty for none."""

    def objection(self, value: str) -> str:
        lines = [line for line in value.splitlines() if line.strip() and not line.startswith("#")]
        if all(len(line.split()) >= 3 for line in lines):
            return ""
        return f"must be lines of known_hosts, as ssh-keyscan prints them; {BY_LOOKUP}"


class Credential(Plain):
    """A key or its name, on one line."""

    kind = "string"
    wanted = "must be a string"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    def objection(self, value: str) -> str:
        return "" if value else "is empty"


def _keep_rule(keep: dict[str, Any], path: str, problems: Problems) -> None:
    if not any(keep.values()):
        problems.add(path, "must have at least one number above 0")


def _keys(role: str) -> dict[str, Field]:
    """What opens the place of a repository."""
    return {
        f"{role}_credentials": Map(Credential(), key=ENV_NAME, key_hint="use the name of a variable"),
        f"{role}_ssh_key": Str(
            pattern=r"(\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^\0]*)?",
            hint=f"must be a private key (-----BEGIN ... PRIVATE KEY-----); {BY_LOOKUP}",
            multiline=True,
        ),
        f"{role}_known_hosts": KnownHosts(multiline=True),
        f"{role}_ca": Str(
            pattern=CERTIFICATES,
            hint=f"must be certificates in PEM (-----BEGIN CERTIFICATE-----), and nothing else; {BY_LOOKUP}",
            multiline=True,
        ),
    }


def _database(doc: str, **options: Any) -> Str:
    return Str(doc, pattern=r".{0,63}", hint="must have at most 63 characters", **options)


ALIAS = r"[a-z][a-z0-9_]*"
DATABASE: dict[str, Field] = {
    "sqlite": Str(
        "file of its SQLite database", pattern=r"(/.*)?", hint="must be an absolute path", default=""
    ),
    "database": _database("name of its database in the cluster of this host", default=""),
    "extensions": List(Str(), doc="extensions of that database", default=[]),
    "scratch": _database("database that drills may fill and empty", default=""),
}
BACKUP_APP = Object(
    {
        "name": Str("name of the app", pattern=NAME, hint=NAME_HINT, required=True),
        "user": Str("its user", pattern=NAME, hint=NAME_HINT, required=True),
        "home": Str("its folder", pattern=FOLDER, hint=FOLDER_HINT, required=True),
        **DATABASE,
        "databases": Map(
            Object({**DATABASE, "migrate": Bool("whether releases migrate it", default=True)}),
            key=ALIAS,
            key_hint="use an alias of Django's DATABASES",
            doc="its further databases, by their aliases",
            default={},
        ),
    }
)

INPUTS: dict[str, Field] = {
    "backup_repository": Repository("where backups go"),
    "backup_password": Str("what backups are encrypted with", pattern=f"({PASSWORD})?", hint=PASSWORD_HINT),
    "backup_previous_passwords": List(Str(pattern=PASSWORD, hint=PASSWORD_HINT)),
    **_keys("backup"),
    "backup_keep": Object({unit: Int(high=999_999_999, default=0) for unit in UNITS}, rule=_keep_rule),
    "backup_schedule": Calendar(),
    "backup_drill_schedule": Calendar(),
    "backup_drill_percent": Int(low=1, high=100),
    "backup_bandwidth": Int(),
    "backup_nice": Int(low=-20, high=19),
    "backup_scratch": Map(
        _database("name of a database"),
        key=rf"{APP_NAME}(\.{ALIAS})?",
        key_hint=f"{APP_NAME_HINT}; the alias of a further database comes after a dot",
    ),
    "backup_apps": List(BACKUP_APP, strict=True),
    "pgbackrest_repository": ArchiveRepository("where the archive of PostgreSQL goes"),
    "pgbackrest_password": Str(
        "what the archive is encrypted with",
        pattern=r"(\S{16,})?",
        hint="must be 16 characters or more without spaces",
    ),
    **_keys("pgbackrest"),
    "pgbackrest_archive_timeout": Int(low=1, high=3600),
    "pgbackrest_keep": Int(low=1),
    "pgbackrest_full_schedule": Calendar(),
    "pgbackrest_incremental_schedule": Calendar(),
    "pgbackrest_drill_schedule": Calendar(),
    "pgbackrest_queue_gb": Int(low=1),
    "pgbackrest_nice": Int(low=-20, high=19),
    "pgbackrest_recover_target_time": Timestamp(),
}


def missing_keys(variables: Mapping[str, Any]) -> list[str]:
    """What the places of backups and archive need of the other variables, or have no use for."""
    return [problem for role in ("backup", "pgbackrest") for problem in _missing(role, variables)]


def _missing(role: str, variables: Mapping[str, Any]) -> list[str]:
    def value(name: str) -> Any:
        return variables.get(f"{role}_{name}")

    try:
        repository = value("repository")
        kind = target(repository)["kind"] if repository and isinstance(repository, str) else ""
    except ValueError:  # is reported already
        return []
    found = []
    if kind == "sftp" and not value("ssh_key"):
        found.append(f"{role}_ssh_key: is required for sftp: the private key to log in with")
    if kind == "sftp" and not value("known_hosts"):
        found.append(f"{role}_known_hosts: is required for sftp: the host's public keys (ssh-keyscan)")
    credentials = value("credentials") or {}
    if kind == "s3" and isinstance(credentials, Mapping) and not set(S3_KEYS) <= set(credentials):
        found.append(f"{role}_credentials: S3 needs {' and '.join(S3_KEYS)}")
    if kind in ("local", "sftp") and value("ca"):
        found.append(f"{role}_ca: is for S3 alone, and {role}_repository is none")
    return found
