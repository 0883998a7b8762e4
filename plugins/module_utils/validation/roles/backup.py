# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of backups, and of the archive of PostgreSQL."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import ENV_NAME
from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import Plain
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Field,
    Int,
    Map,
    Object,
    Problems,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import Calendar

UNITS = ("hourly", "daily", "weekly", "monthly", "yearly")


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


def _credentials() -> Map:
    return Map(Credential(), key=ENV_NAME, key_hint="use the name of a variable")


INPUTS: dict[str, Field] = {
    "backup_credentials": _credentials(),
    "backup_keep": Object({unit: Int(high=999_999_999) for unit in UNITS}, rule=_keep_rule),
    "backup_schedule": Calendar(),
    "backup_drill_schedule": Calendar(),
    "backup_drill_percent": Int(low=1, high=100),
    "backup_bandwidth": Int(),
    "backup_nice": Int(low=-20, high=19),
    "pgbackrest_credentials": _credentials(),
    "pgbackrest_archive_timeout": Int(low=1, high=3600),
    "pgbackrest_keep": Int(low=1),
    "pgbackrest_full_schedule": Calendar(),
    "pgbackrest_incremental_schedule": Calendar(),
    "pgbackrest_drill_schedule": Calendar(),
    "pgbackrest_queue_gb": Int(low=1),
    "pgbackrest_nice": Int(low=-20, high=19),
}
