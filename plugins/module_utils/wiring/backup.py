# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""From the inputs of the role backup to what its programs read on the host; refuses what cannot work."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.paths import BACKUP, LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.validation.repositories import target
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import parsed_role
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import postgres_databases
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps

OWN_LIBRARY = f"{LIBRARY}/python/ansible_collections/homeport/django/plugins/module_utils"
MODULES = (
    "common/backup_ages", "common/digests", "common/paths", "common/plain", "host/app_process", "host/backup/drill",
    "host/backup/fetch", "host/backup/keys", "host/backup/leftovers", "host/backup/main", "host/backup/state",
    "host/backup/store", "host/backup/take", "host/claims", "host/copies", "host/layout", "host/programs/chosen",
    "host/programs/command", "host/programs/counts", "host/programs/dump", "host/programs/judge",
    "host/programs/look", "host/programs/migrate", "host/programs/move", "host/programs/mysql_client",
    "host/programs/non_atomic", "host/programs/own_settings", "host/programs/page_error",
    "host/programs/postgres_client", "host/programs/probe", "host/programs/restore", "host/programs/sqlite_copy",
    "host/programs/start", "host/programs/superuser", "host/programs/uploads", "host/psql", "host/transcript",
)  # fmt: skip


def backup_files(values: Mapping[str, Any], apps: list[Mapping[str, Any]], host: str) -> list[dict[str, Any]]:
    """What the role puts on the host; nothing where no backup is wanted."""
    if not values["repository"]:
        return []
    password, *previous = values["passwords"] or [""]
    given = {name: value for name, value in values.items() if name != "passwords"}
    own = {"password": password, "previous_passwords": previous, "apps": apps}
    values = parsed_role("backup", {**given, **own}, required=("password",))
    found = target(values["repository"])
    config = {
        "path": f"{BACKUP}/config.json",
        "content": f"{json.dumps(config_of(values, found, host), indent=1, sort_keys=True)}\n",
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
        *password_files([values["password"], *values["previous_passwords"]]),
        *secret_files(values, found["kind"]),
        *library_files(OWN_LIBRARY, MODULES),
        program,
        *unit_files("backup", "Backup of the apps", values["schedule"], found),
        *unit_files("drill", "Restore drill of the apps", values["drill_schedule"], found),
    ]


def config_of(values: Mapping[str, Any], found: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What the programs on the host are told of the backups, beside secrets."""
    scratch = values["scratch"]
    apps = []
    for given in values["apps"]:
        name, further = given["name"], given["databases"]
        app = {**given, "scratch": scratch.get(name, given["scratch"])}
        app["databases"] = {
            alias: {**database, "scratch": scratch.get(f"{name}.{alias}", database["scratch"])}
            for alias, database in further.items()
        }
        apps.append(app if further else {key: value for key, value in app.items() if key != "databases"})
    return {
        "repository": found["repository"],
        "host": host,
        "keep": {unit: count for unit, count in values["keep"].items() if count},
        "bandwidth": values["bandwidth"],
        "drill_percent": values["drill_percent"],
        "sftp": found.get("sftp"),
        "apps": apps,
    }


def folders(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    modes = {"/etc/homeport": "0755", BACKUP: "0700", "/var/lib/homeport/backups": "0700"}
    pairs = [*modes.items(), *([(found["folder"], "0700")] if found["kind"] == "local" else [])]
    return [{"path": path, "state": "directory", "mode": mode, "on_change": "none"} for path, mode in pairs]


def password_files(passwords: list[str]) -> list[dict[str, Any]]:
    """A file of each; the repository changes its password together with the host."""
    return [
        {
            "path": f"{BACKUP}/password{f'.{number}' if number else ''}",
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
            "path": f"{BACKUP}/{name}",
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
    return [
        {
            **{key: app[key] for key in ("name", "user", "home")},
            **backup_database(app, app["database"]),
            "databases": {
                alias: {**backup_database(app, database), "migrate": database["migrate"]}
                for alias, database in app["databases"].items()
                if database["backup"]
            },
        }
        for app in apps.values()
    ]


def backup_database(app: Mapping[str, Any], database: Mapping[str, Any]) -> dict[str, Any]:
    local = database["engine"] == "postgres" and database["managed"] and database["host"].startswith("/")
    inside = database["engine"] == "sqlite" and database["name"].startswith(f"{app['home']}/")
    remote = database["engine"] == "postgres" and database["managed"] and not local
    return {
        "sqlite": database["name"] if inside else "",
        # that of a server on the same host, whose superuser can make another one for a drill
        "database": database["name"] if local else "",
        "extensions": database["extensions"],
        "scratch": scratch_database(app["name"]) if remote else "",
    }


def scratch_database(name: str) -> str:
    """Where a drill restores to on a database server that is another host: one database of the app after another."""
    return f"homeport_drill_{name}"


def backup_scratch_databases(apps: Apps) -> list[dict[str, Any]]:
    """Empty databases beside those of the apps, for the drills of hosts that cannot make one there."""
    found: dict[str, dict[str, Any]] = {}
    for database in postgres_databases(apps):
        scratch = found.setdefault(
            database["owner"], {**database, "name": scratch_database(database["owner"]), "extensions": []}
        )
        scratch["extensions"] = list(dict.fromkeys([*scratch["extensions"], *database["extensions"]]))
    return list(found.values())
