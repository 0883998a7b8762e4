# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What still uses a secret that is about to be replaced, and must not lose it.

Hosts tell of passwords by their fingerprints alone (``derive.fingerprint``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.derive import fingerprint
from ansible_collections.homeport.django.plugins.module_utils.common.names import FURTHER

# Where an app's environment says how it logs in.
ADDRESSES = {"database": "DATABASE_URL", "cache": "CACHE_URL", "broker": "BROKER_URL"}
# And which bucket it uses, and how.
BUCKET = (
    "AWS_STORAGE_BUCKET_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_S3_ENDPOINT_URL",
    "AWS_S3_REGION_NAME",
    "AWS_LOCATION",
    "AWS_QUERYSTRING_AUTH",
)


def addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that say where its services are, by service."""
    further = [name for name in environment if name.endswith(FURTHER)]
    return {**ADDRESSES, **{f"databases.{name[: -len(FURTHER)].lower()}": name for name in further}}


def used_logins(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """How a release logs in to its services: server, user, and the fingerprint of its password, if it has one."""
    found = {}
    for service, name in addresses(environment).items():
        try:
            parts = urlsplit(environment.get(name, ""))
            server = [parts.hostname or "", parts.port or 0]
        except ValueError:
            continue
        if parts.hostname or parts.password:
            password = fingerprint(unquote(parts.password)) if parts.password else ""
            found[service] = {"server": server, "user": unquote(parts.username or ""), "password": password}
    return found


def bucket_digest(environment: Mapping[str, str]) -> str:
    """What tells whether a release uses the same bucket with the same keys; empty without one."""
    values = {name: environment.get(name, "") for name in BUCKET}
    return fingerprint("\n".join(values.values())) if values["AWS_STORAGE_BUCKET_NAME"] else ""


def revoked_passwords(
    apps: Mapping[str, Mapping[str, Any]], used: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Live releases whose passwords the services of ``apps`` would revoke."""
    problems = []
    for name in sorted({*apps, *used}):
        services = []
        for service, login in used.get(name, {}).items():
            wanted = apps.get(name, {}).get(service, {})
            if (
                not login["password"]
                or not wanted.get("managed")
                or list(login["server"]) != [wanted["host"].lower(), wanted["port"]]
            ):
                continue  # somebody else's, or about to be another one
            good = [(entry["name"], fingerprint(entry["password"])) for entry in wanted["logins"]]
            if good and (login["user"], login["password"]) not in good:
                services.append(service)
        if services:
            problems.append(f"{name}: the password of its {' and its '.join(services)}")
    return problems


def archive_password(passwords: list[str], found: Mapping[str, str]) -> str:
    """The password of the archive, which cannot be changed: the one that it has, else that of the oldest secret."""
    known = [password for password in passwords if fingerprint(password) == found.get("password")]
    return (known or list(passwords))[-1]


ADVICE = {
    "backup": "It gets the new one where the old one is named, too: homeport_secret in homeport_secret_previous, or "
    "backup_password in backup_previous_passwords. Or choose another backup_repository",
    "archive": "pgBackRest cannot change it: set pgbackrest_password to the old one, which is repo1-cipher-pass in "
    "/etc/pgbackrest/pgbackrest.conf on the host, or choose another pgbackrest_repository",
}


def foreign(what: str, repository: str, found: Mapping[str, str], passwords: Iterable[str]) -> list[str]:
    """That a host's backups or its archive were made with another password than those that are known now."""
    known = {fingerprint(str(password)) for password in passwords}
    if not found.get("password") or found["password"] in known or found.get("repository") != repository:
        return []
    return [
        f"{repository} is encrypted with another password than the one that is wanted now. {ADVICE[what]}."
    ]
