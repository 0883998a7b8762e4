# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The environment of an app: the names under which Django projects look for their settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.database import (
    database_environment,
    database_of,
    databases_of,
)
from ansible_collections.homeport.django.plugins.module_utils.app.media import bucket_of, media_environment
from ansible_collections.homeport.django.plugins.module_utils.app.services import (
    accepted_of,
    first_name,
    resolve_services,
    services_environment,
)
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.app.site import site_url_of
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME

# Where projects look for keys that are still accepted.
FALLBACKS = ("SECRET_KEY_FALLBACKS", "DJANGO_SECRET_KEY_FALLBACKS")

# What a release adds to the environment of its processes: {release} is its folder, {id} its name.
RELEASE_ENVIRONMENT = {
    "STATIC_ROOT": "{release}/static",
    "DJANGO_STATIC_ROOT": "{release}/static",
    "RELEASE": "{id}",
    "RELEASE_DIR": "{release}",
}


def base_environment(
    name: str,
    app: dict[str, Any],
    secrets: dict[str, Any],
    homeport_secrets: list[str],
    setup: str,
    host: Mapping[str, Any],
) -> dict[str, str]:
    """The conventional names under which Django projects look for their settings."""
    shape = SETUPS[setup]
    home = f"{APPS_HOME}/{name}"
    hosts = [*app["domains"], *(alias[1:] if alias.startswith("*.") else alias for alias in app["aliases"])]
    secret_key, *fallbacks = accepted_of(name, "secret_key", app, secrets, homeport_secrets)
    site_url = site_url_of(app, shape, host)
    scheme, _colon, address = site_url.partition("://")
    port = address.partition(":")[2]
    origins = [
        f"{scheme}://{'*' + host if host.startswith('.') else host}{':' + port if port else ''}"
        for host in hosts
    ]
    database = database_of(name, app, secrets, homeport_secrets, shape, host)
    result = {
        "HOME": f"{home}/home",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "DEBUG": "0",
        "DJANGO_DEBUG": "0",
        "SECRET_KEY": secret_key,
        "DJANGO_SECRET_KEY": secret_key,
        "ALLOWED_HOSTS": ",".join(hosts),
        "DJANGO_ALLOWED_HOSTS": ",".join(hosts),
        "CSRF_TRUSTED_ORIGINS": ",".join(origins),
        "DJANGO_CSRF_TRUSTED_ORIGINS": ",".join(origins),
        "SITE_URL": site_url,
        "STATIC_URL": static_url(app["static"]),
    }
    if fallbacks:
        result.update(dict.fromkeys(FALLBACKS, ",".join(fallbacks)))
    if app["media"]["kind"] == "local":
        result.update(
            MEDIA_ROOT=f"{home}/shared/media",
            DJANGO_MEDIA_ROOT=f"{home}/shared/media",
            MEDIA_URL=app["media"]["url"],
        )
    result.update(media_environment(bucket_of(app, secrets)))
    if app.get("settings"):
        result["DJANGO_SETTINGS_MODULE"] = app["settings"]
    if not shape.proxy:
        result["SERVE_MEDIA"] = "1"
    further = databases_of(name, app, secrets, homeport_secrets, shape, host)
    result.update(database_environment(database, further))
    services = resolve_services(name, app, secrets, homeport_secrets, shape, host)
    result.update(services_environment(name, first_name(name, app), services))
    return result


def empty_here(plain: Mapping[str, str]) -> dict[str, str]:
    """Variables that are there at times only; an app that refers to them works at other times, too."""
    names = (*FALLBACKS, *(("PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT") if "PGHOST" in plain else ()))
    return {name: "" for name in names if name not in plain}


def references(value: Any) -> list[str]:
    """The variables that a value is built from."""
    if not isinstance(value, Mapping):
        return []
    if "from" in value:
        return [value["from"]]
    return re.findall(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", value["format"])


def static_url(static: Mapping[str, Any]) -> str:
    """Where visitors get static files from: the app's own domain, or a CDN."""
    return f"{static.get('cdn', '')}{static['url']}"


def environment_of(
    plain: dict[str, str], own: Mapping[str, Any], secret: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The environment, and what in it each release fills in for itself. What the app's own has as null is unset."""
    unset = {key for key, value in own.items() if value is None}
    values = {**plain, **{key: value for key, value in own.items() if isinstance(value, str)}, **secret}
    values = {key: value for key, value in values.items() if key not in unset}
    release = {
        key: value for key, value in RELEASE_ENVIRONMENT.items() if key not in values and key not in unset
    }
    for key, value in own.items():
        used = references(value)
        if not used:
            if isinstance(value, Mapping):
                values[key] = value["format"]
                release.pop(key, None)
            continue
        text = value["format"] if "format" in value else f"{{{value['from']}}}"
        known = {**empty_here(plain), **values, **release}
        if any(reference in release for reference in used):
            escaped = {name: known[name] if name in release else _escape(known[name]) for name in used}
            release[key] = _substitute(_escape_rest(text), escaped)
            values.pop(key, None)
        else:
            values[key] = _substitute(text, known)
            release.pop(key, None)
    return values, release


def _substitute(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", lambda match: values[match[1]], text)


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _escape_rest(text: str) -> str:
    """Doubles the braces that are no reference, for a text that str.format reads once more."""
    parts = re.split(r"(\{[A-Za-z_][A-Za-z0-9_]*\})", text)
    return "".join(part if index % 2 else _escape(part) for index, part in enumerate(parts))
