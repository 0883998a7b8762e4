# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What of the apps' definitions names a path of servers that nobody there would see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.homeport.django.plugins.module_utils.common.sandboxed import FOLDER, nginx_paths

Apps = Mapping[str, Mapping[str, Any]]

# A program, or a folder to be in: after these words a shell looks for one.
PROGRAM = re.compile(
    rf"(?:^|[;&|(]|\b(?:cd|exec|nice|nohup|sh|bash|python3?|env(?:\s+\w+=\S*)*)\s)\s*[\"']?{FOLDER}"
)
PATH = re.compile(rf"(?:file:/*|sqlite:///)?{FOLDER}")
REMEDY = "keep it elsewhere, such as below /srv or /opt"


def problems(apps: Apps, variables: Mapping[str, Any]) -> list[str]:
    """What names a path of the servers that nobody there would see; ``variables`` are those of a host, by which a role
    is told to do without its sandbox, and ``apps`` have all their fields."""
    found = []
    if is_on("supervisord_sandbox", variables):
        found += [
            f"{path}: names a program below {HIDDEN}, which supervisord's programs do not see; {REMEDY}, or set "
            "supervisord_sandbox to false"
            for path, value in programs(apps, variables)
            if PROGRAM.search(value)
        ]
    if is_on("django_app_sandbox", variables):
        found += [
            f"{path}: names a program below {HIDDEN}, which scheduled commands do not see; {REMEDY}, or set "
            "django_app_sandbox to false"
            for path, value in commands(apps, "schedules")
            if PROGRAM.search(value)
        ]
    if is_on("nginx_sandbox", variables):
        found += [
            f"{path}: names what is below {HIDDEN}, which nginx does not see; {REMEDY}, or set nginx_sandbox to false"
            for path, hidden in sites(apps, variables)
            if hidden
        ]
    found += [
        f"{path}: is below {HIDDEN}, which is for one user and not for the apps'; {REMEDY}"
        for path, value in stores(apps)
        if PATH.match(value)
    ]
    return found


HIDDEN = "/home, /root or /run/user"


def is_on(name: str, variables: Mapping[str, Any]) -> bool:
    return boolean(variables.get(name, True), strict=False)


def each(value: Any) -> Iterator[tuple[Any, Any]]:
    return iter(value.items() if isinstance(value, Mapping) else ())


def commands(apps: Apps, field: str) -> Iterator[tuple[str, str]]:
    for name, app in apps.items():
        for key, value in app[field].items():
            if isinstance(value.get("command"), str):
                yield f"django_apps.{name}.{field}.{key}.command", value["command"]


def programs(apps: Apps, variables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from commands(apps, "processes")
    for name, program in each(variables.get("supervisord_programs")):
        for key, value in each(program):
            if key in ("command", "directory") and isinstance(value, str):
                yield f"supervisord_programs.{name}.{key}", value


def stores(apps: Apps) -> Iterator[tuple[str, str]]:
    """A repository on the server, and SQLite databases."""
    for name, app in apps.items():
        for field, key in (("source", "git"), ("database", "url")):
            value = app.get(field, {}).get(key)
            if isinstance(value, str):
                yield f"django_apps.{name}.{field}.{key}", value
        for alias, database in app["databases"].items():
            if isinstance(database.get("url"), str):
                yield f"django_apps.{name}.databases.{alias}.url", database["url"]


def sites(apps: Apps, variables: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for name, app in apps.items():
        if isinstance(app["proxy"].get("extra"), str):
            yield f"django_apps.{name}.proxy.extra", bool(nginx_paths(app["proxy"]["extra"]))
    for name, site in each(variables.get("nginx_sites")):
        for key, value in each(site):
            for inner, path in each(value):
                if (key, inner) in (("static", "root"), ("media", "root"), ("tls", "folder")) and isinstance(
                    path, str
                ):
                    yield f"nginx_sites.{name}.{key}.{inner}", bool(PATH.match(path))
        for key in ("upstream", "extra"):
            value = site.get(key) if isinstance(site, Mapping) else None
            if isinstance(value, str):
                text = f"server {value};" if key == "upstream" else value
                yield f"nginx_sites.{name}.{key}", bool(nginx_paths(text))
