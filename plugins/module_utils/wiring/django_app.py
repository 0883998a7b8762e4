# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role django_app has them: accounts, packages, folders, configuration, schedules."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import (
    all_databases,
    authority,
    direct_variable,
    variable,
)
from ansible_collections.homeport.django.plugins.module_utils.app.own_certificates import by_subject
from ansible_collections.homeport.django.plugins.module_utils.app.services import authorities
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import is_geographic
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import (
    Apps,
    allowed_networks,
    health_pages,
    maintenance_folder,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import process_scripts

# What GeoDjango loads (GDAL, and with it GEOS and PROJ), by the scheme of DATABASE_URL.
GEOGRAPHIC = {"postgis": ("gdal-bin",), "spatialite": ("gdal-bin", "libsqlite3-mod-spatialite")}
MYSQL = ("mysql", "mysql2", "mysqlgis")


def shell_exports(environment: Mapping[str, str]) -> str:
    """Environment variables as a file that sh reads; every value arrives exactly as written."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))


def schedule_units(apps: Apps) -> list[str]:
    """The systemd timers of all schedules."""
    return [f"{name}.{schedule}.timer" for name, app in apps.items() for schedule in app["schedules"]]


def geographic(app: Mapping[str, Any]) -> tuple[str, ...]:
    """What an app needs beside its databases' server, where one is geographic by its extensions or scheme."""
    found: list[str] = []
    for database in all_databases(app).values():
        scheme = database["url"].partition("://")[0].partition("+")[0]
        brought = GEOGRAPHIC["postgis"] if is_geographic(database["extensions"]) else ()
        found += GEOGRAPHIC.get(scheme, brought)
    return tuple(dict.fromkeys(found))


def is_dumped(app: Mapping[str, Any], database: Mapping[str, Any]) -> bool:
    """Whether a deploy dumps a database before it migrates it."""
    return bool(app["migrate"]["run"] and app["migrate"]["dump"] and database.get("migrate", True))


def system_packages(apps: Apps) -> list[str]:
    """Debian packages that the apps ask for, or that fetching their code needs."""
    packages = {package for app in apps.values() for package in app["system_packages"]}
    if any("git" in app["source"] for app in apps.values()):
        packages |= {"git", "openssh-client"}
    databases = [(app, database) for app in apps.values() for database in all_databases(app).values()]
    if any(database["engine"] == "postgres" for _app, database in databases):
        packages.add("postgresql-client")  # a database is dumped before it is migrated
    if any(database["engine"] in MYSQL and is_dumped(app, database) for app, database in databases):
        packages.add("default-mysql-client")
    for app in apps.values():
        packages.update(geographic(app))
    return sorted(packages)


def app_accounts(apps: Apps) -> list[dict[str, Any]]:
    """The OS user of each app."""
    return [{"name": app["user"], "home": f"{app['home']}/home"} for app in apps.values()]


def app_files(apps: Apps, base: str = "") -> list[dict[str, Any]]:
    """Folders and configuration of each app. A change of these makes a new release; it reloads nothing.

    ``base`` is the controller's folder that templates are relative to.
    """
    entries = []
    for app in apps.values():
        entries += folders(app)
        entries += configuration(app, base)
        entries += maintenance_page(app, base)
        entries += schedules(app)
    return entries


def folders(app: Mapping[str, Any]) -> list[dict[str, Any]]:
    home, user, group = app["home"], app["user"], app["group"]
    own = {"owner": user, "group": group, "mode": "0750"}
    web = {"owner": user, "group": "www-data", "mode": "2750"}
    root = {"owner": "root", "group": group}
    folders = {
        home: {**root, "mode": "0751"},
        f"{home}/home": {**own, "mode": "0700"},
        f"{home}/cache": {**own, "mode": "0700"},
        f"{home}/releases": {**root, "mode": "0750"},
        f"{home}/shared": {**root, "mode": "0751"},
        f"{home}/shared/data": {**own, "mode": "0700"},
        f"{home}/slots": {**root, "mode": "0750"},
        f"{home}/config": {**root, "mode": "0750"},
        f"{home}/config/processes": {**root, "mode": "0750"},
        # the app itself looks there, too, for files of its other releases: it may pass, not list
        f"{home}/static": {**web, "owner": "root", "mode": "2751"},
        # nginx and the app see in it whether visitors are let in
        maintenance_folder(app): {**root, "mode": "0751"},
        app["logs"]: {**root, "mode": "0750"},
    }
    if app["media"]["kind"] == "local":
        folders[app["media"]["root"]] = web
    if app["overlay"]:
        folders[f"{home}/config/overlay.d"] = {**root, "mode": "0750"}
    if any(process["memory"] for process in app["processes"].values()):
        folders[f"{home}/config/memory"] = {**root, "mode": "0750"}
    if any("ca" in app[service] for service in SERVICES):
        folders[authorities(app["name"])] = {**root, "mode": "0750"}
    if app["files"]:
        folders[f"{home}/config/files"] = {**root, "mode": "0750"}
    return [
        {"path": path, "state": "directory", "on_change": "none", **options}
        for path, options in folders.items()
    ]


def configuration(app: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    config = f"{app['home']}/config"
    common = {"group": app["group"], "mode": "0640", "on_change": "none"}
    entries: list[dict[str, Any]] = [
        {"path": f"{config}/env", "content": shell_exports(app["environment"]), "secret": True, **common},
        {"path": f"{config}/limits", "content": limits(app["limits"]), **common},
    ]
    for alias, database in all_databases(app).items():
        if "ca" in database:
            file = os.path.join(base, os.path.expanduser(database["ca"]))
            entries.append({"path": f"{app['home']}/{authority(alias)}", "src": file, **common})
    entries += [{**entry, **common} for entry in service_authorities(app, base)]
    for name, script in process_scripts(app).items():
        secret = {"secret": True} if script.startswith(("export ", "unset ", "homeport_")) else {}
        entries.append({"path": f"{config}/processes/{name}", "content": script, **secret, **common})
    for name, process in app["processes"].items():
        if process["memory"]:
            # the launcher itself asks for the stop, so it needs to know how
            watch = f"{process['memory']} {process['stop_signal']} {process['stop_timeout']}\n"
            entries.append({"path": f"{config}/memory/{name}", "content": watch, **common})
    for number, (_path, file) in enumerate(app["files"].items()):
        entry: dict[str, Any] = {"path": f"{config}/files/{number}", "secret": True, **common}
        if "template" in file:
            template = file["template"]
            entry.update(
                template=template if template.startswith("/") else f"{base}/{template}", vars={"app": app}
            )
        else:
            entry["content"] = file.get("content", "")
        entries.append(entry)
    if app["overlay"]:
        for name in ("homeport_settings.py", "homeport_static.py", "homeport_cache.py"):
            entries.append({"path": f"{config}/{name}", "src": f"config/{name}", **common})
        if app["media"]["kind"] == "s3":
            fragment = "config/overlay.d/20_s3.py"
            entries.append({"path": f"{app['home']}/{fragment}", "src": fragment, **common})
        if (
            app["tls"]["certificate"] != "none"
            and not (app["tls"]["hsts"] and app["proxied"])
            and app["web"]["socket"]
        ):
            # no nginx sets the header
            hsts = f"SECURE_HSTS_SECONDS = {app['tls']['hsts']}\n" if app["tls"]["hsts"] else ""
            text = f'SILENCED_SYSTEM_CHECKS.remove("security.W004")\n{hsts}'
            entries.append({"path": f"{config}/overlay.d/10_hsts.py", "content": text, **common})
        if app["databases"]:
            path = f"{config}/overlay.d/05_databases.py"
            entries.append({"path": path, "content": overlaid(app["databases"]), **common})
    if app["overlay_settings"]:
        lines = "".join(f"{name} = {value.strip()}\n" for name, value in app["overlay_settings"].items())
        entries.append(
            {"path": f"{config}/overlay.d/90_settings.py", "content": lines, "secret": True, **common}
        )
    return entries


def service_authorities(app: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    """What a cache and a broker of somebody else's are verified by: as a file for those who name it, and in a folder
    for those who look there (SSL_CERT_DIR)."""
    entries: list[dict[str, Any]] = []
    found: dict[str, str] = {}
    for service in SERVICES:
        if "ca" in app[service]:
            file = os.path.join(base, os.path.expanduser(app[service]["ca"]))
            entries.append({"path": app[service]["authority"], "src": file})
            with open(file, "rb") as stream:
                for name, text in by_subject(stream.read()).items():
                    found[name] = "".join(dict.fromkeys([found.get(name, ""), text]))
    folder = authorities(app["name"])
    return entries + [{"path": f"{folder}/{name}", "content": found[name]} for name in sorted(found)]


def overlaid(databases: Mapping[str, Any]) -> str:
    """The further databases for the overlay, in whose names it runs."""
    lines = ["# Written by Homeport (role django_app).", 'DATABASES = {**globals().get("DATABASES", {})}']
    for alias in databases:
        own, direct = f'DATABASES.get("{alias}", {{}})', direct_variable(alias)
        pooled = f', "{direct}"' if databases[alias].get("direct") else ""
        lines.append(f'DATABASES["{alias}"] = _database(_environment["{variable(alias)}"], {own}{pooled})')
    return "".join(f"{line}\n" for line in lines)


def limits(given: Mapping[str, Any]) -> str:
    """What a process of the app may take, for dash to read. Where the host allows less, that is the limit."""
    lines = ["# Written by Homeport (role django_app).", f"ulimit -p {given['processes']} 2>/dev/null || :"]
    if "memory" in given:
        lines.append(f"ulimit -d {given['memory'] << 10} 2>/dev/null || :")
    return "".join(f"{line}\n" for line in lines)


def schedules(app: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A service and a timer of systemd for each schedule."""
    entries = []
    for name, schedule in app["schedules"].items():
        values = {
            **{key: app[key] for key in ("user", "group", "logs")},
            **{key: schedule[key] for key in ("timeout", "calendar", "alone")},
            "app": app["name"],
            "name": name,
        }
        entries += [
            {
                "path": f"/etc/systemd/system/{app['name']}.{name}.{kind}",
                "template": f"etc/systemd/system/schedule.{kind}.j2",
                "vars": {"schedule": values},
            }
            for kind in ("service", "timer")
        ]
    return entries


def maintenance_page(app: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    if not app["web"]["socket"]:
        return []
    folder = maintenance_folder(app)
    page: dict[str, Any] = {"path": f"{folder}/page.html", "mode": "0644", "on_change": "none"}
    given = app["maintenance"].get("page")
    if not given:
        page.update(template="maintenance/page.html.j2", vars={"app": app})
    elif given.endswith(".j2"):
        page.update(template=os.path.join(base, os.path.expanduser(given)), vars={"app": app})
    else:
        page.update(src=os.path.join(base, os.path.expanduser(given)))
    if app["proxied"]:
        return [page]
    rules = {
        "allow": allowed_networks(app),
        "open": health_pages(app),
        "retry_after": app["maintenance"]["retry_after"],
    }
    return [
        page,
        {
            "path": f"{folder}/rules.json",
            "content": json.dumps(rules, indent=1) + "\n",
            "group": app["group"],
            "mode": "0640",
            "on_change": "none",
        },
    ]


def maintenance_files(apps: Apps, state: str, base: str = "") -> list[dict[str, Any]]:
    """What closes the apps to their visitors, or opens them again: a file that is there or not."""
    entries = []
    for app in apps.values():
        if not app["web"]["socket"]:
            continue
        flag = {"path": f"{maintenance_folder(app)}/on", "mode": "0644", "on_change": "none"}
        entries += [
            *maintenance_page(app, base),
            {**flag, "content": "Visitors get page.html while this file is here.\n"}
            if state == "on"
            else {**flag, "state": "absent"},
        ]
    return entries
