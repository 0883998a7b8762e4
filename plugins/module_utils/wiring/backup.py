# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""From the inputs of the role backup to what its programs read on the host; refuses what cannot work."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import malformed
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    breaks_line,
    controls,
    unwritable,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import postgres_databases
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

SHORTEST = 16
# ssh takes a word that begins with a hyphen for an option
SFTP = (
    r"sftp:(?P<user>[\w.][\w.-]*)@(?P<host>[\w.:][\w.:-]*?|\[[0-9a-fA-F:]+\])"
    r"(?::(?P<port>[0-9]{1,6}):|:)(?P<path>\S+)"
)
S3 = r"s3:(?:https?://)?(?:[\w.-]+|\[(?P<address>[0-9a-fA-F:]+)\])(?::(?P<port>[0-9]{1,5}))?/\S+"
# The folder becomes root's alone: none of the system's or the apps' may be one.
CLOSED = (
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr",
    "/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp", "/var/backups/homeport",
)  # fmt: skip
LIBRARY = "/usr/local/lib/homeport/python/ansible_collections/homeport/django/plugins/module_utils"
MODULES = (
    "common/backup_ages", "common/plain", "host/app_process", "host/backup/drill", "host/backup/fetch",
    "host/backup/keys", "host/backup/main", "host/backup/state", "host/backup/store", "host/backup/take",
    "host/claims", "host/copies", "host/layout", "host/programs/command", "host/programs/counts", "host/programs/dump",
    "host/programs/judge", "host/programs/look", "host/programs/migrate", "host/programs/move",
    "host/programs/non_atomic", "host/programs/page_error", "host/programs/postgres_client", "host/programs/probe",
    "host/programs/restore", "host/programs/sqlite_copy", "host/programs/start", "host/psql",
)  # fmt: skip
FOLDER = "/etc/homeport/backup"
CERTIFICATES = r"\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"


class BackupError(ValueError):
    """An input of the role that cannot work; the message names it."""


def target(repository: str) -> dict[str, Any]:
    """Kind of a repository (local, sftp or s3), its folder where it is local, and sftp's parts."""
    if repository.startswith("sftp:"):
        found = re.fullmatch(SFTP, repository)
        if not found:
            raise BackupError(
                "backup_repository: sftp is written sftp:USER@HOST:PATH, or sftp:USER@HOST:PORT:PATH"
            )
        port = int(found["port"] or 22)
        parts = {"user": found["user"], "host": found["host"].strip("[]"), "port": port}
        if not 0 < port < 65536 or not is_line(found["path"]):
            raise BackupError(
                "backup_repository: sftp has a port from 1 to 65535, and a path without control characters"
            )
        return {
            "kind": "sftp",
            "sftp": parts,
            "path": found["path"],
            "repository": f"sftp:{found['user']}@{found['host']}:{found['path']}",
        }
    if repository.startswith("s3:"):
        found = re.fullmatch(S3, repository)
        if (
            not found
            or not is_line(repository)
            or not is_address(found["address"])
            or not 0 < int(found["port"] or 443) < 65536
        ):
            raise BackupError(
                "backup_repository: S3 is written s3:https://HOST/BUCKET/FOLDER, or s3:https://HOST:PORT/BUCKET/FOLDER "
                "with a port from 1 to 65535"
            )
        return {"kind": "s3", "repository": repository}
    path = repository.rstrip("/")
    if not re.fullmatch(r"(/[\w.-]+)+", path, re.ASCII) or "/../" in f"{path}/":
        raise BackupError(
            "backup_repository: must be a folder (/var/backups/site), sftp:USER@HOST:PATH, or s3:https://HOST/BUCKET"
        )
    of_the_system = any(f"{path}/".startswith(f"{closed}/") for closed in CLOSED)
    if of_the_system or re.fullmatch("/[^/]+|/var/[^/]+", path):
        raise BackupError(
            "backup_repository: must be a folder of its own, not one of the system, its users or the apps (/srv); "
            "choose /var/backups/site, or a folder where another disk is mounted (/mnt/disk/site)"
        )
    return {"kind": "local", "folder": path, "repository": path}


def is_address(text: str | None) -> bool:
    """Whether what stands in brackets, where anything does, is an address."""
    try:
        return text is None or bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def is_line(text: str) -> bool:
    """Whether a text stays what it is as a line of a file, whoever reads it."""
    return text == text.strip() and not unwritable(text) and not breaks_line(text) and not controls(text)


def check_fields(role: str, values: Mapping[str, Any]) -> None:
    """Raises for all values that are wrong by themselves."""
    problems = malformed({f"{role}_{name}": value for name, value in values.items()})
    if problems:
        raise BackupError("\n".join(problems))


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Raises for an input that cannot work; returns what ``target`` says."""
    check_fields("backup", values)
    found = target(str(values["repository"]))
    for field, passwords in (
        ("password", values["passwords"][:1] or [""]),
        ("previous_passwords", values["passwords"]),
    ):
        if any(len(str(password)) < SHORTEST or not is_line(str(password)) for password in passwords):
            raise BackupError(
                f"backup_{field}: must be one line of {SHORTEST} characters or more, without spaces around them"
            )
    if found["kind"] == "sftp" and not (values["ssh_key"] and values["known_hosts"]):
        raise BackupError(
            "backup_ssh_key and backup_known_hosts: sftp needs a private key and the host's public keys (ssh-keyscan)"
        )
    if found["kind"] == "s3" and not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(
        values["credentials"]
    ):
        raise BackupError("backup_credentials: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    check_ca(values["ca"], found["kind"], "backup")
    return found


def check_ca(text: str, kind: str, role: str) -> None:
    """Refuses what is no authority's certificate, or is for nothing."""
    if text and kind != "s3":
        raise BackupError(f"{role}_ca: is for S3 alone, and {role}_repository is none")
    if text and not re.fullmatch(CERTIFICATES, text):
        raise BackupError(
            f"{role}_ca: must be certificates in PEM (-----BEGIN CERTIFICATE-----), and nothing else; a file is read "
            "with lookup('file', ...)"
        )


def backup_files(values: Mapping[str, Any], apps: list[Mapping[str, Any]], host: str) -> list[dict[str, Any]]:
    """What the role puts on the host; nothing where no backup is wanted."""
    if not values["repository"]:
        return []
    found = checked(values)
    config = {
        "path": f"{FOLDER}/config.json",
        "content": f"{json.dumps(config_of(values, found, apps, host), indent=1, sort_keys=True)}\n",
        "mode": "0600",
        "on_change": "none",
    }
    program = {
        "path": "/usr/local/sbin/homeport-backup",
        "src": "usr/local/sbin/homeport-backup",
        "mode": "0755",
        "on_change": "none",
    }
    return [
        *folders(found),
        config,
        *password_files(values["passwords"]),
        *secret_files(values, found["kind"]),
        *library_files(LIBRARY, MODULES),
        program,
        *unit_files("backup", "Backup of the apps", values["schedule"], found),
        *unit_files("drill", "Restore drill of the apps", values["drill_schedule"], found),
    ]


def config_of(
    values: Mapping[str, Any], found: Mapping[str, Any], apps: list[Mapping[str, Any]], host: str
) -> dict[str, Any]:
    """What the programs on the host are told of the backups, beside secrets."""
    scratch = values["scratch"]
    return {
        "repository": found["repository"],
        "host": host,
        "keep": {name: int(count) for name, count in values["keep"].items()},
        "bandwidth": int(values["bandwidth"]),
        "drill_percent": int(values["drill_percent"]),
        "sftp": found.get("sftp"),
        "apps": [
            {
                "sqlite": "",
                "database": "",
                "extensions": [],
                **app,
                "scratch": scratch.get(app["name"], app.get("scratch", "")),
            }
            for app in apps
        ],
    }


def folders(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    modes = {"/etc/homeport": "0755", FOLDER: "0700", "/var/lib/homeport/backups": "0700"}
    pairs = [*modes.items(), *([(found["folder"], "0700")] if found["kind"] == "local" else [])]
    return [{"path": path, "state": "directory", "mode": mode, "on_change": "none"} for path, mode in pairs]


def password_files(passwords: list[str]) -> list[dict[str, Any]]:
    """A file of each; the repository changes its password together with the host."""
    return [
        {
            "path": f"{FOLDER}/password{f'.{number}' if number else ''}",
            "content": f"{password}\n",
            "secret": True,
            "mode": "0600",
        }
        for number, password in enumerate(dict.fromkeys(passwords))
    ]


def secret_files(values: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """What opens the place of the repository."""
    secrets = {
        "credentials.json": json.dumps(dict(values["credentials"])) if values["credentials"] else "",
        "ssh_key": f"{values['ssh_key'].rstrip()}\n" if kind == "sftp" else "",
        "known_hosts": f"{values['known_hosts'].rstrip()}\n" if kind == "sftp" else "",
        "ca.pem": f"{values['ca'].strip()}\n" if values["ca"] else "",
    }
    return [
        {
            "path": f"{FOLDER}/{name}",
            "content": content,
            "secret": True,
            "mode": "0600",
            "on_change": "none",
        }
        for name, content in secrets.items()
        if content
    ]


def library_files(folder: str, modules: Iterable[str]) -> list[dict[str, Any]]:
    """What the programs share with deploys, which do the same with databases; on the host as in the collection."""
    return [
        {
            "path": f"{folder}/{name}.py",
            "src": f"../../../plugins/module_utils/{name}.py",
            "on_change": "none",
        }
        for name in modules
    ]


def unit_files(name: str, title: str, schedule: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A service, and the timer that starts it."""
    unit = {"name": name, "title": title, "schedule": schedule, "folder": found.get("folder", "")}
    service, timer = (
        {
            "path": f"/etc/systemd/system/homeport-{name}.{kind}",
            "template": f"etc/systemd/system/homeport-backup.{kind}.j2",
            "vars": {"unit": unit},
            "on_change": "none",
        }
        for kind in ("service", "timer")
    )
    return [service, {**timer, "restarts": [f"homeport-{name}.timer"]}]


def backup_apps(apps: Apps) -> list[dict[str, Any]]:
    """What the backups need to know of each app: nothing that is secret."""
    result = []
    for name, app in apps.items():
        database = app["database"]
        local = database["engine"] == "postgres" and database["managed"] and database["host"].startswith("/")
        inside = database["engine"] == "sqlite" and database["name"].startswith(f"{app['home']}/")
        remote = database["engine"] == "postgres" and database["managed"] and not local
        result.append(
            {
                **{key: app[key] for key in ("name", "user", "home")},
                "sqlite": database["name"] if inside else "",
                # that of a server on the same host, whose superuser can make another one for a drill
                "database": database["name"] if local else "",
                "extensions": database["extensions"],
                "scratch": scratch_database(name) if remote else "",
            }
        )
    return result


def scratch_database(name: str) -> str:
    """Where a drill restores to on a database server that is another host."""
    return f"homeport_drill_{name}"


def backup_scratch_databases(apps: Apps) -> list[dict[str, Any]]:
    """Empty databases beside those of the apps, for the drills of hosts that cannot make one there."""
    return [
        {**database, "name": scratch_database(database["owner"])} for database in postgres_databases(apps)
    ]
