# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""From the inputs of the role pgbackrest to files; refuses what cannot work."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.wiring.backup import (
    LIBRARY,
    MODULES,
    SHORTEST,
    BackupError,
    check_ca,
    check_fields,
    is_line,
    library_files,
    target,
)

# Of its own: a role takes away what it put on the host, and the role backup may go while this one stays.
OWN_LIBRARY = LIBRARY.replace("/python/", "/archive/")
TITLES = {
    "prepare": "Archive of PostgreSQL",
    "full": "Full backup of PostgreSQL",
    "incremental": "Incremental backup of PostgreSQL",
    "drill": "Restore drill of PostgreSQL's archive",
}
ARCHIVE_MODULES = ("host/backup/archive", "host/backup/archive_main", "host/backup/point_in_time")


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What pgBackRest is told of the place and its keys."""
    named = {"archive_timeout": values["timeout"]}
    check_fields("pgbackrest", {**values, **named})
    try:
        found = target(str(values["repository"]))
    except BackupError as error:
        raise BackupError(str(error).replace("backup_repository", "pgbackrest_repository")) from None
    check_ca(values["ca"], found["kind"], "pgbackrest")
    password = str(values["password"])
    if not re.fullmatch(rf"\S{{{SHORTEST},}}", password) or not is_line(password):
        raise BackupError(f"pgbackrest_password: must be {SHORTEST} characters or more without spaces")
    # before ansible-core 2.19 a number that came out of a template is a text
    keep, queue_gb = (int(values[name]) for name in ("keep", "queue_gb"))
    result: dict[str, Any] = {
        "archive-push-queue-max": f"{queue_gb}GiB",
        "compress-type": "lz4",
        "lock-path": "/run/postgresql/pgbackrest",
        "log-level-console": "warn",
        "log-level-file": "off",
        "process-max": 2,
        "repo1-bundle": "y",
        "repo1-cipher-pass": password,
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-retention-full": keep,
        "start-fast": "y",
        **PLACES[found["kind"]](values, found),
    }
    return {"folder": found.get("folder", ""), "settings": result}


def in_a_folder(_values: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {"repo1-path": found["folder"]}


def by_sftp(values: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    if not (values["ssh_key"] and values["known_hosts"]):
        raise BackupError(
            "pgbackrest_ssh_key and pgbackrest_known_hosts: sftp needs a private key and known hosts"
        )
    if not found["path"].startswith("/"):
        raise BackupError(
            "pgbackrest_repository: pgBackRest wants the path on the other host to begin with /"
        )
    parts = found["sftp"]
    return {
        "repo1-type": "sftp",
        "repo1-path": found["path"],
        "repo1-sftp-host": parts["host"],
        "repo1-sftp-host-user": parts["user"],
        "repo1-sftp-host-port": parts["port"],
        "repo1-sftp-host-key-hash-type": "sha256",
        "repo1-sftp-host-key-check-type": "strict",
        "repo1-sftp-known-host": "/etc/pgbackrest/known_hosts",
        "repo1-sftp-private-key-file": "/etc/pgbackrest/ssh_key",
    }


def in_s3(values: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    keys = values["credentials"]
    if not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(keys):
        raise BackupError("pgbackrest_credentials: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    address = found["repository"][len("s3:") :]
    parts = urlsplit(address if "://" in address else f"https://{address}")
    host = str(parts.hostname)
    bucket, _slash, folder = parts.path.strip("/").partition("/")
    return {
        "repo1-type": "s3",
        "repo1-path": f"/{folder}",
        "repo1-s3-bucket": bucket,
        "repo1-s3-endpoint": f"[{host}]" if ":" in host else host,
        "repo1-s3-key": keys["AWS_ACCESS_KEY_ID"],
        "repo1-s3-key-secret": keys["AWS_SECRET_ACCESS_KEY"],
        "repo1-s3-region": keys.get("AWS_DEFAULT_REGION", "us-east-1"),
        "repo1-s3-uri-style": "path",
        **({"repo1-storage-port": parts.port} if parts.port else {}),
        **({"repo1-storage-ca-file": "/etc/pgbackrest/ca.pem"} if values["ca"] else {}),
    }


PLACES = {"local": in_a_folder, "sftp": by_sftp, "s3": in_s3}
SECRET = ("repo1-cipher-pass", "repo1-s3-key-secret")
OWN = "/etc/pgbackrest"  # where pgBackRest finds its keys
POSTGRES_READS = {"group": "postgres", "on_change": "none"}


def recovery_of(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The same for a host that is not set up yet: the settings, the secret ones, and the files that they name."""
    if not values["repository"]:
        raise BackupError("pgbackrest_repository: must name the archive that is to be brought back")
    found = settings_of(values)["settings"]
    secret = {name: found[name] for name in SECRET if name in found}
    settings = {name: value for name, value in found.items() if name not in SECRET}
    return {"settings": settings, "secrets": secret, "files": key_files(values, found)}


def key_files(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, str]:
    names = ["ssh_key", "known_hosts"] if "repo1-sftp-host" in settings else []
    names += ["ca"] if values["ca"] else []
    return {"ca.pem" if name == "ca" else name: f"{values[name].strip()}\n" for name in names}


def archive_files(values: Mapping[str, Any], version: str, cluster: str) -> list[dict[str, Any]]:
    """What the role puts on the host; nothing where no archive is wanted."""
    if not values["repository"]:
        return []
    found = settings_of(values)
    program = "usr/local/sbin/homeport-archive"
    return [
        {"path": "/etc/homeport", "state": "directory", "mode": "0755", "on_change": "none"},
        {"path": "/var/lib/homeport/backups", "state": "directory", "mode": "0700", "on_change": "none"},
        {"path": OWN, "state": "directory", "mode": "0750", **POSTGRES_READS},
        *config_files(values["repository"], found["settings"], version, cluster),
        *repository_files(values, found),
        *library_files(OWN_LIBRARY, (*MODULES, *ARCHIVE_MODULES)),
        {"path": f"/{program}", "src": program, "mode": "0755", "on_change": "none"},
        *(file for verb in TITLES for file in unit_files(verb, values, found["folder"])),
    ]


def config_files(
    repository: str, settings: Mapping[str, Any], version: str, cluster: str
) -> list[dict[str, Any]]:
    """What Homeport's program, pgBackRest and PostgreSQL each read of the archive."""
    config = {"version": version, "cluster": cluster, "repository": repository}
    return [
        {
            "path": "/etc/homeport/archive.json",
            "content": f"{json.dumps(config)}\n",
            "mode": "0600",
            "on_change": "none",
        },
        {
            "path": f"{OWN}/pgbackrest.conf",
            "template": "etc/pgbackrest/pgbackrest.conf.j2",
            "vars": {"settings": settings, "data": f"/var/lib/postgresql/{version}/{cluster}"},
            "mode": "0640",
            "secret": True,
            "group": "postgres",
            "restarts": ["homeport-archive.service"],
        },
        {
            "path": f"/etc/postgresql/{version}/{cluster}/conf.d/homeport-archive.conf",
            "template": "etc/postgresql/conf.d/homeport-archive.conf.j2",
        },
    ]


def repository_files(values: Mapping[str, Any], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The repository's folder, where it is local, and the keys to one elsewhere."""
    files: list[dict[str, Any]] = []
    if found["folder"]:
        folder = {"path": found["folder"], "state": "directory", "owner": "postgres", "mode": "0700"}
        files.append({**folder, **POSTGRES_READS})
    for name, text in key_files(values, found["settings"]).items():
        closed = {"secret": True, "mode": "0600", "owner": "postgres"}
        files.append({"path": f"{OWN}/{name}", "content": text, **closed, **POSTGRES_READS})
    return files


def unit_files(verb: str, values: Mapping[str, Any], folder: str) -> list[dict[str, Any]]:
    """A service, and the timer that starts it; what is prepared has none."""
    source = "etc/systemd/system/homeport-archive"
    name = "homeport-archive" if verb == "prepare" else f"homeport-archive-{verb}"
    unit = {"verb": verb, "title": TITLES[verb], "folder": folder}
    if verb != "prepare":
        unit["schedule"] = values[f"{verb}_schedule"]
    service = {
        "path": f"/etc/systemd/system/{name}.service",
        "template": f"{source}.service.j2",
        "vars": {"unit": unit},
        "on_change": "none",
    }
    timer = {
        "path": f"/etc/systemd/system/{name}.timer",
        "template": f"{source}.timer.j2",
        "vars": {"unit": unit},
        "restarts": [f"{name}.timer"],
    }
    return [service] if verb == "prepare" else [service, timer]
