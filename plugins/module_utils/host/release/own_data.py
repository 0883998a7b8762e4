# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Whether the databases and uploads of a project's settings are those that Homeport keeps, serves and backs up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

Values = Mapping[str, Any]

# What Django calls the engines that Homeport runs.
VENDORS = {"postgres": "postgresql", "sqlite": "sqlite"}
TITLES = {"postgresql": "PostgreSQL", "sqlite": "SQLite", "mysql": "MySQL", "oracle": "Oracle"}
HERE = ("", "localhost", "127.0.0.1", "::1")


def check_data(spec: Values, answer: Values, source: str) -> None:
    """Raises where data would be lost, or kept in another place than declared. ``source`` is the release's src."""
    for problem in (
        database_problem(spec, answer["default"]["vendor"]),
        file_problem(answer["sqlite"], source),
        media_problem(spec, answer, source),
    ):
        if problem:
            raise DeployError(problem)


def database_problem(spec: Values, vendor: str) -> str:
    """That the settings use a file, or nothing, in place of the declared kind of database."""
    problem = other_kind(spec, vendor)
    if vendor == "sqlite":
        return f"{problem}; to keep the SQLite file, declare database: sqlite" if problem else ""
    return (
        f"{problem}, or declare database: none" if problem and not vendor and spec["migrate"]["run"] else ""
    )


def other_kind(spec: Values, vendor: str) -> str:
    engine = spec["database"]["engine"]
    if engine not in VENDORS or vendor == VENDORS[engine]:
        return ""
    used = f"use {TITLES.get(vendor, vendor)}" if vendor else "have no database"
    return (
        f"database: the settings {used}, and {engine} is declared: take DATABASES from the environment variable "
        "DATABASE_URL, or set overlay: true"
    )


def file_problem(paths: list[str], source: str) -> str:
    """That two SQLite files in the source have the same name, by which they are kept."""
    known: dict[str, str] = {}
    for path in paths:
        other = known.setdefault(os.path.basename(path), path)
        if path.startswith(f"{source}/") and other.startswith(f"{source}/") and path != other:
            names = " and ".join(os.path.relpath(each, source) for each in (other, path))
            return (
                f"DATABASES of the settings has two SQLite files of the same name, {names}, which would be kept as "
                "one: give one of them another name"
            )
    return ""


def media_problem(spec: Values, answer: Values, source: str) -> str:
    """That uploads cannot be kept, or that visitors cannot get them."""
    if spec["media"]["kind"] != "local":
        return ""
    moved = answer["media_real"].startswith(f"{source}/")
    if answer["media_code"] and (moved or answer["uploads"]):
        code, root = (os.path.relpath(answer[key], source) for key in ("media_code", "media_real"))
        return (
            f"MEDIA_ROOT of the settings is a folder with code ({root} has {code}), so that uploads cannot be kept "
            "apart from it: take it from the environment variable MEDIA_ROOT, or name a folder for uploads alone"
        )
    if served_elsewhere(spec, answer) and not answer["media_view"]:
        return (
            f"The settings have MEDIA_URL {answer['MEDIA_URL']}, but media.url is {spec['media']['url']}, so that "
            f"visitors cannot get uploads ({answer['uploads'][0]}): make them the same"
        )
    return ""


def served_elsewhere(spec: Values, answer: Values) -> bool:
    """Whether the app says that its uploads are at another path than nginx has them."""
    url = answer["MEDIA_URL"]
    if not spec.get("proxied") or not answer["uploads"] or url in ("", "/") or url.startswith(("http", "//")):
        return False
    return bool(f"/{url.strip('/')}/" != spec["media"]["url"])


def doubts(spec: Values, answer: Values, source: str, shared: str) -> list[str]:
    """What may be meant, and may be a mistake."""
    return [
        *answer["own_settings"],
        *database_doubts(spec, answer),
        *media_doubts(spec, answer, source, shared),
    ]


def database_doubts(spec: Values, answer: Values) -> Iterator[str]:
    declared, used = spec["database"], answer["default"]
    if used["vendor"] and (problem := other_kind(spec, used["vendor"])):
        yield f"{problem}, or declare the address of the present database (vault_django_apps.<app>.database_url)"
    if declared["engine"] != "postgres" or used["vendor"] != "postgresql":
        return
    # an empty one is libpq's affair: the environment has PGDATABASE and PGHOST
    local = used["host"].startswith("/") or used["host"] in HERE
    if used["name"] not in ("", declared["name"]) or not (local or used["host"] == declared["host"]):
        yield (
            f"database: the settings use another PostgreSQL database ({used['name'] or 'of the same name'}"
            f"{'' if local else ' on ' + used['host']}) than the declared one, which stays empty"
        )


def media_doubts(spec: Values, answer: Values, source: str, shared: str) -> Iterator[str]:
    if spec["media"]["kind"] != "local" or not answer["uploads"]:
        return
    field, place = answer["uploads"][0], answer["media_real"]
    take = "take it from the environment variable MEDIA_ROOT, or set overlay: true"
    if not place:
        yield f"The settings have no MEDIA_ROOT: uploads ({field}) are lost with the release; {take}"
    elif not f"{place}/".startswith((f"{source}/", f"{os.path.realpath(shared)}/")):
        what = "is not backed up" if answer["media_writable"] else "cannot be written by the app"
        yield f"MEDIA_ROOT of the settings is {place}, which {what}; uploads ({field}) are expected in media: {take}"
    if served_elsewhere(spec, answer) and answer["media_view"]:
        yield (
            f"The settings have MEDIA_URL {answer['MEDIA_URL']}, but media.url is {spec['media']['url']}: the app "
            "itself is asked for uploads, not nginx"
        )
