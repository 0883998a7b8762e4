# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is wrong with ``django_apps`` and ``vault_django_apps``, all of it at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from ansible_collections.homeport.django.plugins.module_utils.app.environment import (
    RELEASE_ENVIRONMENT,
    base_environment,
    empty_here,
    environment_of,
    references,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.app import APP
from ansible_collections.homeport.django.plugins.module_utils.app.fields.env import SETTINGS
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.fields.services import SCRATCH_PREFIX
from ansible_collections.homeport.django.plugins.module_utils.app.further_databases import (
    check_authority,
    check_direct,
    check_extensions,
    check_further,
    names_of,
)
from ansible_collections.homeport.django.plugins.module_utils.app.media import check_bucket, place_of
from ansible_collections.homeport.django.plugins.module_utils.app.services import (
    check_address,
    check_ports,
    check_services,
)
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS, Setup, not_part
from ansible_collections.homeport.django.plugins.module_utils.common.derive import SHORTEST_SECRET
from ansible_collections.homeport.django.plugins.module_utils.common.engines import engine_of
from ansible_collections.homeport.django.plugins.module_utils.common.names import (
    APP_NAME,
    APP_NAME_HINT,
    RESERVED_NAMES,
)
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import SYSTEM_DATABASES
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find, used_for
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    LONGEST_VALUE,
    Problems,
    type_name,
    unwritable,
)

PREVIOUS = "homeport_secret_previous"
# Bytes of all variables together; Linux takes about two million for these and a command's words.
LARGEST_ENVIRONMENT = 1_000_000
# What the overlay cannot do without.
OVERLAY_READS = ("SECRET_KEY", "SITE_URL", "STATIC_URL", "STATIC_ROOT", "MEDIA_URL")
# And where uploads are in a bucket.
BUCKET_READS = ("AWS_STORAGE_BUCKET_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_REGION_NAME")


class Parsed(NamedTuple):
    """Apps and their secrets by name, with the defaults of their fields, and what is wrong with them."""

    apps: dict[str, dict[str, Any]]
    secrets: dict[str, dict[str, Any]]
    problems: Problems


class AppsError(ValueError):
    """The definitions of the apps are invalid; ``problems`` lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check(apps: Any, secrets: Any, homeport_secret: Any, setup: str, previous: Any = ()) -> list[str]:
    """Everything that is wrong with the definitions, as ``path: what is wrong`` strings."""
    return parse(apps, secrets, homeport_secret, setup, previous).problems


def parse(apps: Any, secrets: Any, homeport_secret: Any, setup: str, previous: Any = ()) -> Parsed:
    problems = Problems()
    if setup not in SETUPS:
        problems.add("homeport_setup", f"must be one of {', '.join(SETUPS)}{closest(setup, list(SETUPS))}")
        return Parsed({}, {}, problems)
    _check_secret(homeport_secret, previous, problems)
    parsed = _parse_set(apps, "django_apps", APP, problems)
    secret_sets = _parse_set(secrets or {}, "vault_django_apps", SECRETS, problems)
    for name in secret_sets:
        if name not in parsed and isinstance(apps, Mapping) and name not in apps:
            called = [new for new, app in parsed.items() if name in app.get("was", [])]
            hint = f"; it is called {called[0]} now" if called else closest(name, list(parsed))
            problems.add(f"vault_django_apps.{name}", f"no such app in django_apps{hint}")
    for name, app in parsed.items():
        _check_app(name, app, secret_sets.get(name, SECRETS.blank()), SETUPS[setup], setup, problems)
    _check_together(parsed, secret_sets, SETUPS[setup], problems)
    _check_renamed(parsed, problems)
    return Parsed(parsed, secret_sets, problems)


def _check_secret(secret: Any, previous: Any, problems: Problems) -> None:
    if secret is None or secret == "":
        problems.add(
            "homeport_secret", "is required: put `openssl rand -hex 32` into the inventory's vault.yml"
        )
    elif not isinstance(secret, str) or len(secret) < SHORTEST_SECRET:
        problems.add("homeport_secret", f"must be a string of at least {SHORTEST_SECRET} characters")
    elif unwritable(secret):
        problems.add("homeport_secret", unwritable(secret))
    if not isinstance(previous, (list, tuple)):
        problems.add(PREVIOUS, f"must be a list of the values before, not {type_name(previous)}")
        return
    for index, value in enumerate(previous):
        path = f"{PREVIOUS}[{index}]"
        if not isinstance(value, str) or len(value) < SHORTEST_SECRET:
            problems.add(path, f"must be a string of at least {SHORTEST_SECRET} characters")
        elif unwritable(value):
            problems.add(path, unwritable(value))
        elif value == secret:
            problems.add(path, "is homeport_secret itself; name here what that was before, or leave it out")
        elif value in previous[:index]:
            problems.add(path, "is there twice")


def _parse_set(values: Any, path: str, shape: Any, problems: Problems) -> dict[str, dict[str, Any]]:
    if not isinstance(values, Mapping):
        problems.add(path, f"must be a dictionary of apps by name, not {type_name(values)}")
        return {}
    result = {}
    for name, value in values.items():
        if not isinstance(name, str) or not re.fullmatch(APP_NAME, name):
            problems.add(path, f"{printable(name)} cannot name an app: {APP_NAME_HINT}")
        elif name in RESERVED_NAMES or name.startswith(SCRATCH_PREFIX):
            problems.add(f"{path}.{name}", "is the name of a user or service of the system; choose another")
        else:
            result[str(name)] = shape.check(value, f"{path}.{name}", problems)
    return result


def _check_app(
    name: str, app: dict[str, Any], secrets: dict[str, Any], setup: Setup, setup_name: str, problems: Problems
) -> None:
    path = f"django_apps.{name}"
    _check_database(path, app, setup, setup_name, problems)
    check_services(path, name, app, secrets, setup_name, problems)
    _check_tls(path, name, app, secrets, setup, problems)
    _check_static(path, app, setup, setup_name, problems)
    _check_overlay(path, app, problems)
    _check_secrets(path, name, app, secrets, problems)
    given = app.get("database", {})
    address = given.get("url") or secrets.get("database_url")
    check_authority(f"{path}.database.ca", given, address, problems)
    check_extensions(f"{path}.database.extensions", given, address, problems)
    direct = secrets.get("database_direct_url")
    check_direct(f"vault_django_apps.{name}.database_direct_url", direct, address, problems)
    check_further(path, name, app, secrets, setup, problems)
    check_bucket(path, name, app, secrets, problems)
    for process in sorted(set(app.get("processes", {})) & set(app.get("schedules", {}))):
        problems.add(f"{path}.schedules.{process}", "is also the name of a process; choose another")
    if not problems:
        _check_environment(path, name, app, secrets, setup_name, problems)


def _check_database(
    path: str, app: dict[str, Any], setup: Setup, setup_name: str, problems: Problems
) -> None:
    given = app.get("database", {})
    engine = given.get("engine", setup.databases[0])
    if engine in (*used_for("database"), "none") and engine not in setup.databases:
        problems.add(f"{path}.database", not_part(engine, "databases", setup_name))
    scheme = given.get("scheme", "")
    wanted = engine_of(scheme) if _is_text(scheme) else ""
    if find(wanted, "database") and find(engine, "database") and wanted != engine:
        problems.add(f"{path}.database.scheme", f"goes with {wanted}, and the app's database is {engine}")
    database = given.get("name")
    if _is_text(database) and (database in SYSTEM_DATABASES or database.startswith(SCRATCH_PREFIX)):
        problems.add(f"{path}.database.name", "is a database of the system; choose another")


def _check_static(path: str, app: dict[str, Any], setup: Setup, setup_name: str, problems: Problems) -> None:
    """Static files and uploads."""
    static, media = app.get("static", {}), app.get("media", {})
    server = static.get("server")
    if server in ("nginx", "whitenoise", "none") and server not in setup.static:
        problems.add(f"{path}.static", not_part(server, "static", setup_name))
    if not static.get("collect", True) and server != "none" and "path" not in static:
        problems.add(
            f"{path}.static.path",
            "is required when static files are not collected: the folder that holds them",
        )
    if media.get("kind") == "local" and media.get("url") == static.get("url"):
        problems.add(f"{path}.media.url", "is that of the static files; give each its own path")


def _check_overlay(path: str, app: dict[str, Any], problems: Problems) -> None:
    bucket = BUCKET_READS if app.get("media", {}).get("kind") == "s3" else ()
    for key in (*OVERLAY_READS, *bucket) if app.get("overlay") else ():
        if app.get("env", {}).get(key, "") is None:
            problems.add(f"{path}.env.{key}", "is what the overlay takes the setting from; give it a value")
    owners = {"web": app.get("web", {})}
    for kind in ("processes", "schedules"):
        owners.update({f"{kind}.{name}": options for name, options in app.get(kind, {}).items()})
    for owner, options in owners.items() if app.get("overlay") else ():
        if SETTINGS in options.get("env", {}):
            problems.add(
                f"{path}.{owner}.env.{SETTINGS}",
                "would replace the overlay's settings; leave out either",
            )
    if app.get("overlay_settings") and not app.get("overlay"):
        problems.add(f"{path}.overlay_settings", "has no effect without overlay: true")
    for key, expression in app.get("overlay_settings", {}).items():
        if not is_expression(expression):
            problems.add(f"{path}.overlay_settings.{key}", "is not a Python expression")


def _check_secrets(
    path: str, name: str, app: dict[str, Any], secrets: dict[str, Any], problems: Problems
) -> None:
    """What stands in the vault, against what stands in the open."""
    vault = f"vault_django_apps.{name}"
    for index, key in enumerate(secrets.get("secret_key", [])):
        if index and "," in str(key):
            problems.add(
                f"{vault}.secret_key[{index}]",
                "has a comma in it, which separates the keys in SECRET_KEY_FALLBACKS; leave it out",
            )
    for key in sorted(set(app.get("env", {})) & set(secrets.get("env", {}))):
        problems.add(f"{path}.env.{key}", f"is also in {vault}.env; keep one")
    for url_path, url in (
        (f"{path}.database.url", app.get("database", {}).get("url")),
        (f"{vault}.database_url", secrets.get("database_url")),
    ):
        if isinstance(url, str):
            check_address(url, url_path, "postgres://user@host:5432/name", problems)
    for field in ("database", "notify"):
        if "url" in app.get(field, {}) and f"{field}_url" in secrets:
            problems.add(f"{path}.{field}.url", f"is also in {vault}.{field}_url; keep one")


def is_expression(text: Any) -> bool:
    """Whether a text is a Python expression, also outside of a function."""
    try:
        with warnings.catch_warnings():  # about what is odd in it
            warnings.simplefilter("ignore")
            compile(text if isinstance(text, str) else "", "overlay_settings", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return False
    return True


def _check_environment(
    path: str, name: str, app: dict[str, Any], secrets: dict[str, Any], setup_name: str, problems: Problems
) -> None:
    plain = base_environment(name, app, secrets, ["x" * SHORTEST_SECRET], setup_name, {})
    own = app.get("env", {})
    known = {**plain, **RELEASE_ENVIRONMENT}
    known.update(dict.fromkeys(secrets.get("env", {}), ""), **empty_here(known))
    known = {key: value for key, value in known.items() if own.get(key, "") is not None}
    mine = {key for key, value in own.items() if isinstance(value, str)}
    fields = {"env": (own, {*known, *mine})}
    # what one process has alone may refer to all that the app has
    all_known = {*known, *(key for key, value in own.items() if value is not None)}
    fields["web.env"] = app["web"]["env"], all_known
    for kind in ("processes", "schedules"):
        fields.update(
            {f"{kind}.{process}.env": (each["env"], all_known) for process, each in app[kind].items()}
        )
    for field, (values, there) in fields.items():
        for key, value in values.items():
            for used in references(value):
                if used not in there:
                    hint = closest(used, list(known)) or f"; known: {', '.join(sorted(known))}"
                    lacks = f"which the app's environment does not have{hint}"
                    if references(values.get(used)):
                        lacks = "which takes its own from another variable: write here what that has"
                    problems.add(f"{path}.{field}.{key}", f"takes the value of {used}, {lacks}")
    if not problems:
        _check_sizes(path, name, app, secrets, plain, problems)


def _check_sizes(
    path: str,
    name: str,
    app: dict[str, Any],
    secrets: dict[str, Any],
    plain: dict[str, str],
    problems: Problems,
) -> None:
    """Whether Linux takes the environment."""
    sizes = {
        key: len(value.encode())
        for key, value in environment_of(plain, app["env"], secrets["env"])[0].items()
    }
    for key, size in sizes.items():
        if len(key) + 1 + size > LONGEST_VALUE:
            place = "domains" if key not in app["env"] else f"env.{key}"
            where = f"vault_django_apps.{name}.env.{key}" if key in secrets["env"] else f"{path}.{place}"
            problems.add(
                where, f"makes {key} longer than the {LONGEST_VALUE} bytes that Linux takes, with its name"
            )
    if sum(sizes.values()) > LARGEST_ENVIRONMENT:
        problems.add(
            f"{path}.env", f"has more than {LARGEST_ENVIRONMENT} bytes, together with what is in the vault"
        )


def _is_text(value: Any) -> bool:
    """Whether a value is what it should be; if not, that has been said already."""
    return isinstance(value, str)


def _check_together(
    apps: dict[str, dict[str, Any]], secrets: dict[str, Any], setup: Setup, problems: Problems
) -> None:
    owners: dict[str, str] = {}
    instances: dict[int, str] = {}
    ports: dict[int, str] = {}
    databases: dict[str, str] = {}
    buckets: dict[tuple[str, str, str], str] = {}
    for name, app in apps.items():
        for field in ("domains", "aliases"):
            for domain in filter(_is_text, app.get(field, [])):
                if owners.setdefault(domain, name) != name:
                    problems.add(
                        f"django_apps.{name}.{field}", f"{domain} belongs to the app {owners[domain]} already"
                    )
                elif field == "aliases" and domain in app.get("domains", []):
                    problems.add(f"django_apps.{name}.{field}", f"{domain} is among its domains already")
        port = app.get("web", {}).get("port")
        if not setup.proxy and isinstance(port, int) and ports.setdefault(port, name) != name:
            problems.add(
                f"django_apps.{name}.web.port",
                f"{port} is used by the app {ports[port]}; without nginx each app needs its own port",
            )
        check_ports(name, app, secrets.get(name, {}), setup, instances, problems)
        for key, database in names_of(name, app, secrets.get(name, {})).items():
            field = f"django_apps.{name}.{key}"
            if _is_text(database) and databases.setdefault(database, field) != field:
                taken = databases[database].split(".")
                problems.add(
                    f"{field}.name",
                    f"{database} is the database of the app {taken[1]}"
                    + (f" already ({'.'.join(taken[2:])})" if taken[2:] != ["database"] else ""),
                )
        uploads = place_of(app)
        if uploads and buckets.setdefault(uploads, name) != name:
            problems.add(
                f"django_apps.{name}.media.s3",
                f"is where the app {buckets[uploads]} has its uploads; give each a bucket or a prefix of its own",
            )


def _check_renamed(apps: dict[str, dict[str, Any]], problems: Problems) -> None:
    """Earlier names, each of which is of one app that has another name now."""
    owners: dict[str, str] = {}
    for name, app in apps.items():
        path = f"django_apps.{name}.was"
        for was in filter(_is_text, app.get("was", [])):
            if was == name:
                problems.add(path, f"{was} is the name that the app has; leave it out")
            elif was in apps:
                problems.add(
                    path,
                    f"{was} is still declared; take that entry out, or leave was out where {name} is a new app",
                )
            elif was in RESERVED_NAMES or was.startswith(SCRATCH_PREFIX):
                problems.add(path, f"{was} is the name of a user or service of the system, which no app had")
            elif owners.setdefault(was, name) != name:
                problems.add(path, f"{was} is the earlier name of {owners[was]} already")


def _check_tls(
    path: str, name: str, app: dict[str, Any], secrets: dict[str, Any], setup: Setup, problems: Problems
) -> None:
    tls = app.get("tls", {})
    kind = tls.get("certificate")
    if not setup.proxy and kind not in (None, "none", "proxy"):
        problems.add(
            f"{path}.tls",
            "the simple setup has no nginx and no HTTPS; run typical.yml, or let something in front of the host "
            "speak HTTPS (tls: proxy)",
        )
    if kind == "own" and "tls_key" not in secrets:
        problems.add(f"vault_django_apps.{name}.tls_key", "is required with tls.certificate: own")
    if "tls_key" in secrets and kind != "own":
        problems.add(f"vault_django_apps.{name}.tls_key", f"goes with {path}.tls.certificate: own only")
