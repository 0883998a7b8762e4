# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Which extra variables each playbook reads, without those of the inventory and of the roles; a unit test compares."""

from __future__ import annotations

CHECKED = ("allow_auth_downtime", "app", "empty_database", "older_homeport", "older_site", "take_over")
CONFIGURES = (*CHECKED, "full", "restart")
DEPLOYS = (*CONFIGURES, "again", "allow_unsafe_migrations", "rolling", "unlock")

PLAYBOOKS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "cache", "deploy", "external_services", "multi_app", "simple", "site", "typical", "worker",
        ),
        DEPLOYS,
    ),
    "audit": ("app", "format", "json", "outside", "roots", "strict"),
    "backup": (*CHECKED, "drill"),
    "local": ("folder", "port", "state"),
    "logs": ("app", "follow", "lines", "process", "since"),
    "maintenance": (*CONFIGURES, "state", "unlock"),
    "manage": ("app", "command", "env", "input", "release", "seconds", "servers", "terminal"),
    "move_database": (*DEPLOYS, "confirm", "file", "replace"),
    "move_media": (*DEPLOYS, "confirm", "finish", "overwrite"),
    "move_postgresql": (*CONFIGURES, "confirm", "finish", "unlock"),
    "new_site": ("app", "domain", "environment_name", "git", "host", "setup", "site", "user"),
    "recover": (*CONFIGURES, "replace", "target_time"),
    "remove_app": (
        "app", "confirm", "dump", "full", "older_homeport", "older_site", "restart", "take_over", "unlock",
    ),
    "restore": (*CHECKED, "as", "confirm", "database", "dump", "target_time", "to", "unlock"),
    "rollback": (*CONFIGURES, "again", "restore", "to", "unlock"),
    "status": ("app", "fail", "format", "health_timeout", "history", "html", "json"),
    "upgrade_postgresql": (*CONFIGURES, "confirm", "finish", "mode", "to", "undo"),
    "upgrade_system": (*DEPLOYS, "confirm", "dump", "to"),
}  # fmt: skip
VARIABLES = tuple(sorted({name for names in PLAYBOOKS.values() for name in names}))
