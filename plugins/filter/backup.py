# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the role backup puts on a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter.apps import plain
from ansible_collections.homeport.django.plugins.module_utils.common import rotation
from ansible_collections.homeport.django.plugins.module_utils.common.derive import SITE, accepted
from ansible_collections.homeport.django.plugins.module_utils.validation.repositories import target
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import InputError
from ansible_collections.homeport.django.plugins.module_utils.wiring import backup as backup_config
from ansible_collections.homeport.django.plugins.module_utils.wiring import pgbackrest as archive_config
from ansible_collections.homeport.django.plugins.module_utils.wiring.backup import (
    backup_apps,
    backup_scratch_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import database_clients


def backup_files(values: Any, apps: Any, host: Any) -> list[dict[str, Any]]:
    try:
        return backup_config.backup_files(plain(values), plain(apps), str(host))
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


def archive_files(values: Any, version: Any, cluster: Any) -> list[dict[str, Any]]:
    try:
        return archive_config.archive_files(plain(values), str(version), str(cluster))
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


def archive_recovery(values: Any) -> dict[str, dict[str, Any]]:
    try:
        return archive_config.recovery_of(plain(values))
    except InputError as error:
        raise AnsibleFilterError(str(error)) from error


def foreign_backups(repository: Any, found: Any, passwords: Any) -> list[str]:
    """Why the backups of a host could not be read with its new passwords; nothing where they can."""
    place = target(str(repository))["repository"]
    return rotation.foreign("backup", place, plain(found), plain(passwords))


def foreign_archive(repository: Any, found: Any, password: Any) -> list[str]:
    """The same of the archive of its PostgreSQL."""
    return rotation.foreign("archive", str(repository), plain(found), [str(password)])


class FilterModule:
    """From the role's inputs to files, and from apps to the role's inputs."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "backup_files": backup_files,
            "archive_files": archive_files,
            "archive_recovery": archive_recovery,
            "archive_passwords": lambda secrets: accepted(secrets, SITE, "archive_password"),
            "backup_passwords": lambda secrets: accepted(secrets, SITE, "backup_password"),
            "archive_password": rotation.archive_password,
            "foreign_backups": foreign_backups,
            "foreign_archive": foreign_archive,
            "backup_scratch_clients": database_clients,
            "backup_apps": backup_apps,
            "backup_scratch_databases": backup_scratch_databases,
        }
