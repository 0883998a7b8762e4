# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What a project says of itself when its new release loads it for the first time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.names import FURTHER
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout, Runner
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project
from ansible_collections.homeport.django.plugins.module_utils.host.release.own_data import check_data

# The form of the probe's answer (claims.answer).
ANSWER = {
    **dict.fromkeys(
        ("django", "python", "WSGI_APPLICATION", "ASGI_APPLICATION", "STATIC_ROOT", "STATIC_URL"), str
    ),
    **dict.fromkeys(("MEDIA_ROOT", "MEDIA_URL", "ROOT_URLCONF", "TIME_ZONE", "?static_digest"), str),
    **dict.fromkeys(("media_real", "media_code"), str),
    **dict.fromkeys(("staticfiles", "media_writable", "media_view"), bool),
    "uploads": [str],
    "own_settings": [str],
    "default": {str: str},
    "sqlite": [str],
    "aliases": [str],
    "further": [str],
    "server_side_cursors": [str],
    "warnings": [str],
    "packages": {str: str},
    "migrations": [str],
}


def probe(layout: Layout, runner: Runner, release: str, collect: bool = True) -> dict[str, Any]:
    """Runs the system checks, and collects the static files unless they are those of the live release."""
    live, static = layout.record(layout.current), layout.spec["static"]
    known = live.get("static_digest", "") if os.path.isdir(live.get("static_root") or "") else ""
    question: dict[str, Any] = {
        "collect": collect and static["collect"] and static["server"] != "none",
        "static_digest": known,
    }
    try:
        argv = argv_of("probe", release=release, **question)
        out = runner.in_release(release, argv, "Loading the project")
    except DeployError as error:
        if "STATIC_ROOT is not set" in str(error) or "without having set the STATIC_ROOT" in str(error):
            raise DeployError(
                "The settings have no STATIC_ROOT, so static files cannot be collected: set it from the "
                "environment variable STATIC_ROOT, or set overlay: true or static: none for this app"
            ) from error
        raise
    answer = claims.answer(out, MARK, ANSWER, "Loading the project")
    check_databases(layout.spec["databases"], answer)
    check_data(layout.spec, answer, os.path.realpath(f"{release}/src"))
    check_cursors(answer["server_side_cursors"])
    if answer.get("static_digest") and answer["static_digest"] == known:
        roots = live["static_root"], answer["STATIC_ROOT"]
        runner.as_app("Linking static files", app_project.link_tree, *roots)
    check_static_url(static, answer["STATIC_URL"])
    return answer


def check_static_url(static: dict[str, Any], actual: str) -> None:
    """Raises where pages would look for static files at another address than they are declared to be at."""
    declared, cdn = static["url"], static.get("cdn")
    if cdn and actual != cdn + declared:
        raise DeployError(
            f"The settings have STATIC_URL {actual}, but static.cdn and static.url are {cdn}{declared}: take it from "
            "the environment variable STATIC_URL, or set overlay: true"
        )
    served_here = static["server"] == "nginx" and actual and not actual.startswith(("http", "//"))
    if served_here and "/" + actual.lstrip("/") != declared:
        raise DeployError(
            f"The settings have STATIC_URL {actual}, but static.url is {declared}: make them the same"
        )


def check_databases(declared: Iterable[str], answer: dict[str, Any]) -> None:
    """Raises where the settings do not have a further database that is declared."""
    for alias in sorted(set(declared) - set(answer["further"])):
        lacks = (
            f"has no {alias}" if alias not in answer["aliases"] else f"leads {alias} to the default database"
        )
        raise DeployError(
            f"databases.{alias}: DATABASES of the settings {lacks}; take it from the environment variable "
            f"{alias.upper()}{FURTHER} there, or set overlay: true"
        )


def check_cursors(aliases: Iterable[str]) -> None:
    """Raises where a query could be continued on another connection of a pooler, which does not know it."""
    for alias in aliases:
        field = "database_direct_url" if alias == "default" else f"database_direct_urls.{alias}"
        raise DeployError(
            f"{field}: the address of the database leads to a pooler, and the settings use server-side cursors, which "
            f'fail there: add "DISABLE_SERVER_SIDE_CURSORS": True to DATABASES["{alias}"], or set overlay: true'
        )


# What the deployment checks say of every site that is served without HTTPS.
WITHOUT_HTTPS = ("security.W004", "security.W008", "security.W012", "security.W016")


def actionable(warnings: list[str], site_url: str) -> list[str]:
    """What `check --deploy` says that an app can do something about, in one sentence each."""
    expected = () if site_url.startswith("https:") else WITHOUT_HTTPS
    return [text.partition(". ")[0] for text in warnings if not text.startswith(expected)]


def undeclared_databases(record: dict[str, Any], declared: Iterable[str]) -> str:
    """That the settings have databases which nobody has declared; empty where there are none."""
    found = sorted(set(record["further"]) - set(declared))
    if not found:
        return ""
    return (
        f"DATABASES of the settings has {', '.join(found)}, which deploys do not migrate and backups do not have: "
        "declare it in databases"
    )
