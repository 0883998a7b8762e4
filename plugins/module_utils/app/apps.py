# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""From what a user says about an app to everything that the roles need to know about it.

``check`` finds what is wrong with ``django_apps``; ``resolve`` fills every default, once, so that
no role or template has to. Both are pure functions of their arguments.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.homeport.django.plugins.module_utils.app.connections import most_connections
from ansible_collections.homeport.django.plugins.module_utils.app.fields import APP, SCRATCH_PREFIX, SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.services import (
    accepted_of,
    check_address,
    check_ports,
    check_services,
    in_url,
    resolve_services,
    services_environment,
)
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS, Setup, not_part
from ansible_collections.homeport.django.plugins.module_utils.app.trusted_proxies import networks
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import (
    ENGINES,
    POSTGRES_PORT,
    parse_database_url,
)
from ansible_collections.homeport.django.plugins.module_utils.common.derive import (
    SHORTEST_SECRET,
    logins,
)
from ansible_collections.homeport.django.plugins.module_utils.common.names import (
    APP_NAME,
    APP_NAME_HINT,
    REDIS,
    RESERVED_NAMES,
)
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.queues.table import (
    QUEUES,
    kinds_of,
    needs_broker,
    worker,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    LONGEST_VALUE,
    Problems,
    type_name,
    unwritable,
)

APPS_HOME = "/srv"
SOCKETS = "/run/homeport"
LOGS = "/var/log/homeport"
POSTGRES_SOCKET = "/var/run/postgresql"
PREVIOUS = "homeport_secret_previous"
SYSTEM_DATABASES = ("postgres", "template0", "template1")
# Bytes of all variables together; Linux takes about two million for these and a command's words.
LARGEST_ENVIRONMENT = 1_000_000
# Web workers of an app that does not say how many.
MOST_WORKERS = 2


class AppsError(ValueError):
    """The definitions of the apps are not good; ``problems`` lists everything that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check(apps: Any, secrets: Any, homeport_secret: Any, setup: str, previous: Any = ()) -> list[str]:
    """Everything that is wrong with the definitions, as ``path: what is wrong`` strings."""
    return _parse(apps, secrets, homeport_secret, setup, previous)[2]


def resolve(
    apps: Any,
    secrets: Any,
    homeport_secret: Any,
    setup: str,
    host: Mapping[str, Any] | None = None,
    previous: Any = (),
) -> dict[str, dict[str, Any]]:
    """Every app with every default filled in, by name.

    What is derived from ``previous``, values that ``homeport_secret`` had before, is accepted as well.

    ``host`` tells of the machine that the apps run on: ``cores``, ``memory_mb``, ``database_host``,
    ``cache_host`` and ``broker_host`` (each empty when that runs beside the apps), ``scheduler`` (whether it
    is the one of several that starts what is scheduled), ``app_hosts`` (how many run
    the apps) and ``acme`` (whether apps that do not say get a certificate from an ACME authority). Raises
    ``AppsError``.
    """
    parsed, secret_sets, problems = _parse(apps, secrets, homeport_secret, setup, previous)
    if problems:
        raise AppsError(problems)
    facts = {"cores": 1, "memory_mb": 1024, "scheduler": True, **(host or {})}
    return {
        name: _resolve_one(
            name, app, secret_sets.get(name, SECRETS.blank()), [homeport_secret, *previous], setup, facts
        )
        for name, app in sorted(parsed.items())
    }


def _parse(
    apps: Any, secrets: Any, homeport_secret: Any, setup: str, previous: Any
) -> tuple[dict[str, Any], dict[str, Any], Problems]:
    problems = Problems()
    if setup not in SETUPS:
        problems.add("homeport_setup", f"must be one of {', '.join(SETUPS)}{closest(setup, list(SETUPS))}")
        return {}, {}, problems
    _check_secret(homeport_secret, previous, problems)
    parsed = _parse_set(apps, "django_apps", APP, problems)
    secret_sets = _parse_set(secrets or {}, "vault_django_apps", SECRETS, problems)
    for name in secret_sets:
        if name not in parsed and isinstance(apps, Mapping) and name not in apps:
            problems.add(
                f"vault_django_apps.{name}", f"no such app in django_apps{closest(name, list(parsed))}"
            )
    for name, app in parsed.items():
        _check_app(name, app, secret_sets.get(name, SECRETS.blank()), SETUPS[setup], setup, problems)
    _check_together(parsed, secret_sets, SETUPS[setup], problems)
    return parsed, secret_sets, problems


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
    engine = app.get("database", {}).get("engine")
    if engine in ("postgres", "sqlite", "none") and engine not in setup.databases:
        problems.add(
            f"{path}.database",
            not_part(engine, "databases", setup_name),
        )
    scheme = app.get("database", {}).get("scheme", "")
    wanted = ENGINES.get(scheme.partition("+")[0]) if _is_text(scheme) else None
    engine = app.get("database", {}).get("engine", setup.databases[0])
    if wanted and engine in ENGINES.values() and wanted != engine:
        problems.add(f"{path}.database.scheme", f"goes with {wanted}, and the app's database is {engine}")
    check_services(path, name, app, secrets, setup_name, problems)
    _check_tls(path, name, app, secrets, setup, problems)
    server = app.get("static", {}).get("server")
    if server in ("nginx", "whitenoise", "none") and server not in setup.static:
        problems.add(
            f"{path}.static",
            not_part(server, "static", setup_name),
        )
    if not app.get("static", {}).get("collect", True) and server != "none" and "path" not in app["static"]:
        problems.add(
            f"{path}.static.path",
            "is required when static files are not collected: the folder that holds them",
        )
    media = app.get("media", {})
    if media.get("kind") == "local" and media.get("url") == app.get("static", {}).get("url"):
        problems.add(f"{path}.media.url", "is that of the static files; give each its own path")
    database = app.get("database", {}).get("name")
    if _is_text(database) and (database in SYSTEM_DATABASES or database.startswith(SCRATCH_PREFIX)):
        problems.add(f"{path}.database.name", "is a database of the system; choose another")
    for index, key in enumerate(secrets.get("secret_key", [])):
        if index and "," in str(key):
            problems.add(
                f"vault_django_apps.{name}.secret_key[{index}]",
                "has a comma in it, which separates the keys in SECRET_KEY_FALLBACKS; leave it out",
            )
    for key in sorted(set(app.get("env", {})) & set(secrets.get("env", {}))):
        problems.add(f"{path}.env.{key}", f"is also in vault_django_apps.{name}.env; keep one")
    for key in OVERLAY_READS if app.get("overlay") else ():
        if app.get("env", {}).get(key, "") is None:
            problems.add(f"{path}.env.{key}", "is what the overlay takes the setting from; give it a value")
    if app.get("overlay_settings") and not app.get("overlay"):
        problems.add(f"{path}.overlay_settings", "has no effect without overlay: true")
    for process in sorted(set(app.get("processes", {})) & set(app.get("schedules", {}))):
        problems.add(f"{path}.schedules.{process}", "is also the name of a process; choose another")
    for key, expression in app.get("overlay_settings", {}).items():
        if not is_expression(expression):
            problems.add(f"{path}.overlay_settings.{key}", "is not a Python expression")
    for url_path, url in (
        (f"{path}.database.url", app.get("database", {}).get("url")),
        (f"vault_django_apps.{name}.database_url", secrets.get("database_url")),
    ):
        if isinstance(url, str):
            check_address(url, url_path, "postgres://user@host:5432/name", problems)
    if "url" in app.get("notify", {}) and "notify_url" in secrets:
        problems.add(f"{path}.notify.url", f"is also in vault_django_apps.{name}.notify_url; keep one")
    if "url" in app.get("database", {}) and "database_url" in secrets:
        problems.add(f"{path}.database.url", f"is also in vault_django_apps.{name}.database_url; keep one")
    if not problems:
        _check_environment(path, name, app, secrets, setup_name, problems)


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
    plain = _base_environment(name, app, secrets, ["x" * SHORTEST_SECRET], setup_name, {})
    own = app.get("env", {})
    known = {**plain, **RELEASE_ENVIRONMENT}
    known.update(dict.fromkeys(secrets.get("env", {}), ""), **_empty_here(known))
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
            for used in _references(value):
                if used not in there:
                    hint = closest(used, list(known)) or f"; known: {', '.join(sorted(known))}"
                    problems.add(
                        f"{path}.{field}.{key}",
                        f"takes the value of {used}, which the app's environment does not have{hint}",
                    )
    if problems:
        return
    sizes = {
        key: len(value.encode()) for key, value in _environment(plain, app["env"], secrets["env"])[0].items()
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
        database = app.get("database", {}).get("name", name)
        if _is_text(database) and databases.setdefault(database, name) != name:
            problems.add(
                f"django_apps.{name}.database.name",
                f"{database} is the database of the app {databases[database]}",
            )


# Where projects look for keys that are still accepted.
FALLBACKS = ("SECRET_KEY_FALLBACKS", "DJANGO_SECRET_KEY_FALLBACKS")
# What the overlay cannot do without.
OVERLAY_READS = ("SECRET_KEY", "SITE_URL", "STATIC_URL", "STATIC_ROOT", "MEDIA_URL")
# What a release adds to the environment of its processes: {release} is its folder, {id} its name.
RELEASE_ENVIRONMENT = {
    "STATIC_ROOT": "{release}/static",
    "DJANGO_STATIC_ROOT": "{release}/static",
    "RELEASE": "{id}",
    "RELEASE_DIR": "{release}",
}


def _resolve_one(
    name: str,
    app: dict[str, Any],
    secrets: dict[str, Any],
    homeport_secrets: list[str],
    setup: str,
    host: Mapping[str, Any],
) -> dict[str, Any]:
    shape = SETUPS[setup]
    home = f"{APPS_HOME}/{name}"
    static = {**app["static"], "server": app["static"].get("server", shape.static[0])}
    plain = _base_environment(name, app, secrets, homeport_secrets, setup, host)
    environment, release_environment = _environment(plain, app["env"], secrets.get("env", {}))
    database = _database(name, app, secrets, homeport_secrets, shape, host)
    services = resolve_services(name, app, secrets, homeport_secrets, shape, host)
    processes = {
        process: worker(process, options, home, host["scheduler"])
        for process, options in app["processes"].items()
    }
    # whatever this host has cores for: the database server, which is told the limit, does not know
    widest = {**app, "web": {"workers": MOST_WORKERS, **app["web"]}, "processes": processes}
    connections = max(100, most_connections(widest, int(host.get("app_hosts", 1))))
    web = {**app["web"]}
    web.setdefault("workers", _workers(host))
    return {
        **app,
        "name": name,
        "user": name,
        "group": name,
        "home": home,
        "logs": f"{LOGS}/{name}",
        "canonical": app["domains"][0],
        "redirects": app["domains"][1:],
        "site_url": _site_url(app, shape, host),
        "tls": {**app["tls"], "certificate": certificate_kind(app, shape, host)},
        "proxied": shape.proxy,
        "limits": {"database_connections": connections, **app["limits"]},
        "trusted_networks": networks(app["proxy"]["trusted_proxies"]),
        "database": database,
        **services,
        "processes": processes,
        "schedules": app["schedules"] if host["scheduler"] else {},
        "static": {**static, "root": f"{home}/static"},
        "media": {key: app["media"][key] for key in ("kind", "url")} | {"root": f"{home}/shared/media"},
        "web": {**web, "socket": _web_socket(name, app, shape)},
        "server_packages": _server_packages(app, static, database, services),
        "environment": environment,
        "release_environment": release_environment,
        "notify": {**app["notify"], **({"url": secrets["notify_url"]} if "notify_url" in secrets else {})},
        "source_secrets": {key: secrets[key] for key in ("deploy_key", "git") if key in secrets},
        "tls_key": secrets.get("tls_key", ""),
    }


def _workers(host: Mapping[str, Any]) -> int:
    """Two workers where there are two cores and memory for them, else one: threads do the waiting.

    By the host alone: an app more or less on it may not restart the others.
    """
    return MOST_WORKERS if int(host.get("cores", 1)) >= 2 and int(host.get("memory_mb", 1024)) >= 1900 else 1


def certificate_kind(app: Mapping[str, Any], shape: Setup, host: Mapping[str, Any]) -> str:
    """Where the app's certificate comes from: acme, own, selfsigned, proxy (what is in front has one) or none."""
    if not shape.proxy:
        return "proxy" if app["tls"].get("certificate") == "proxy" else "none"
    return str(app["tls"].get("certificate") or ("acme" if host.get("acme") else "none"))


def _site_url(app: dict[str, Any], shape: Setup, host: Mapping[str, Any]) -> str:
    scheme = "http" if certificate_kind(app, shape, host) == "none" else "https"
    usual = 443 if scheme == "https" else 80
    own = usual if shape.proxy or scheme == "https" else app["web"]["port"]
    port = app["proxy"].get("public_port", own)
    return f"{scheme}://{app['domains'][0]}{'' if port == usual else f':{port}'}"


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


def _web_socket(name: str, app: dict[str, Any], shape: Setup) -> str:
    return f"unix://{SOCKETS}/{name}.sock" if shape.proxy else f"tcp://0.0.0.0:{app['web']['port']}"


def _server_packages(
    app: dict[str, Any],
    static: dict[str, Any],
    database: dict[str, Any],
    services: dict[str, dict[str, Any]],
) -> list[str]:
    """What Homeport needs in the virtual environment; a version that the project brings is kept."""
    packages = ["gunicorn"]
    if app["overlay"] and database["engine"] == "postgres":
        packages.append("psycopg[binary]")
    if static["server"] == "whitenoise":
        # also where the project brings other means: for the files of its other releases
        packages.append("whitenoise[brotli]" if app["overlay"] else "whitenoise")
    if app["overlay"]:
        engine = services["cache"]["engine"]
        packages += ["pymemcache"] if engine == "memcached" else ["redis"] if engine in REDIS else []
        for kind in kinds_of(app["processes"]):
            broker = services["broker"]["engine"] if needs_broker(kind) else "database"
            packages += [QUEUES[kind].packages[broker]] if broker in QUEUES[kind].packages else []
    return packages


def _database(
    name: str,
    app: dict[str, Any],
    secrets: dict[str, Any],
    homeport_secrets: list[str],
    shape: Setup,
    host: Mapping[str, Any],
) -> dict[str, Any]:
    """The database as its user sees it: engine, name, user, password, host, port, sslmode, url, managed. ``owner`` is
    whose it is, and ``logins`` are all by which it can be reached over the network."""
    given = app["database"]
    url = given.get("url") or secrets.get("database_url")
    result: dict[str, Any] = {
        "conn_max_age": given.get("conn_max_age", 0 if app["web"]["server"] == "asgi" else 600),
        "managed": False,
        "sslmode": "",
        "port": "",
        "owner": name,
        "logins": [],
        "extensions": given["extensions"],
    }
    if url:
        return {**result, **parse_database_url(url), "url": url}
    engine = given.get("engine", shape.databases[0])
    result.update(
        {"engine": engine, "name": given.get("name", name), "user": "", "password": "", "host": "", "url": ""}
    )
    if engine == "sqlite":
        path = f"{APPS_HOME}/{name}/shared/data/{given.get('name', 'db')}.sqlite3"
        result.update({"name": path, "url": f"{given.get('scheme', 'sqlite')}:///{path}"})
    elif engine == "postgres":
        server = str(host.get("database_host") or "")
        scheme = given.get("scheme", "postgis" if is_geographic(given["extensions"]) else "postgres")
        result.update({"managed": True, "user": name, "port": POSTGRES_PORT})
        if server:
            passwords = accepted_of(name, "database_password", app, secrets, homeport_secrets)
            user, password = logins(name, passwords)[0].values()
            result.update({"host": server, "sslmode": "require", "logins": logins(name, passwords)})
            result.update({"user": user, "password": password})
            result["url"] = (
                f"{scheme}://{user}:{quote(password, safe='')}@{in_url(server)}:{POSTGRES_PORT}"
                f"/{result['name']}?sslmode=require"
            )
        else:
            result["host"] = POSTGRES_SOCKET
            # of the forms with a socket the one that every reader of such addresses takes: urlsplit finds no host, and
            # libpq goes by PGHOST
            result["url"] = f"{scheme}://{name}@/{result['name']}?host={POSTGRES_SOCKET}"
    return result


def is_geographic(extensions: Iterable[str]) -> bool:
    return any(extension.startswith(("postgis", "pgrouting")) for extension in extensions)


def _base_environment(
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
    site_url = _site_url(app, shape, host)
    scheme, _colon, address = site_url.partition("://")
    port = address.partition(":")[2]
    origins = [
        f"{scheme}://{'*' + host if host.startswith('.') else host}{':' + port if port else ''}"
        for host in hosts
    ]
    database = _database(name, app, secrets, homeport_secrets, shape, host)
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
        "STATIC_URL": app["static"]["url"],
    }
    if fallbacks:
        result.update(dict.fromkeys(FALLBACKS, ",".join(fallbacks)))
    if app["media"]["kind"] == "local":
        result.update(
            MEDIA_ROOT=f"{home}/shared/media",
            DJANGO_MEDIA_ROOT=f"{home}/shared/media",
            MEDIA_URL=app["media"]["url"],
        )
    if app.get("settings"):
        result["DJANGO_SETTINGS_MODULE"] = app["settings"]
    if not shape.proxy:
        result["SERVE_MEDIA"] = "1"
    result.update(_database_environment(database))
    services = resolve_services(name, app, secrets, homeport_secrets, shape, host)
    result.update(services_environment(name, services))
    return result


def _database_environment(database: Mapping[str, Any]) -> dict[str, str]:
    if not database["url"]:
        return {}
    result = {"DATABASE_URL": database["url"], "CONN_MAX_AGE": str(database["conn_max_age"])}
    if database["engine"] == "postgres":
        names = {
            "PGHOST": "host",
            "PGPORT": "port",
            "PGDATABASE": "name",
            "PGUSER": "user",
            "PGPASSWORD": "password",
            "PGSSLMODE": "sslmode",
        }
        result.update({key: str(database[field]) for key, field in names.items() if database[field]})
    elif database["engine"] == "sqlite":
        result["SQLITE_PATH"] = database["name"]
    return result


def _empty_here(plain: Mapping[str, str]) -> dict[str, str]:
    """Variables that are there at times only; an app that refers to them works at other times, too."""
    names = (*FALLBACKS, *(("PGPASSWORD", "PGSSLMODE") if "PGHOST" in plain else ()))
    return {name: "" for name in names if name not in plain}


def _references(value: Any) -> list[str]:
    """The variables that a value is built from."""
    if not isinstance(value, Mapping):
        return []
    if "from" in value:
        return [value["from"]]
    return re.findall(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", value["format"])


def _environment(
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
        used = _references(value)
        if not used:
            if isinstance(value, Mapping):
                values[key] = value["format"]
                release.pop(key, None)
            continue
        text = value["format"] if "format" in value else f"{{{value['from']}}}"
        known = {**_empty_here(plain), **values, **release}
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
