# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Every default of an app, filled in once: no role and no template has to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.check import AppsError, parse
from ansible_collections.homeport.django.plugins.module_utils.app.connections import most_connections
from ansible_collections.homeport.django.plugins.module_utils.app.database import database_of, databases_of
from ansible_collections.homeport.django.plugins.module_utils.app.environment import (
    base_environment,
    environment_of,
)
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.media import bucket_of
from ansible_collections.homeport.django.plugins.module_utils.app.processes import resolve_process
from ansible_collections.homeport.django.plugins.module_utils.app.services import resolve_services
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS, Setup
from ansible_collections.homeport.django.plugins.module_utils.app.site import certificate_kind, site_url_of
from ansible_collections.homeport.django.plugins.module_utils.app.trusted_proxies import networks
from ansible_collections.homeport.django.plugins.module_utils.common.paths import APPS_HOME, LOGS, RUNTIME
from ansible_collections.homeport.django.plugins.module_utils.engines.table import find
from ansible_collections.homeport.django.plugins.module_utils.queues.table import (
    QUEUES,
    kinds_of,
    needs_broker,
)

# Databases that a lease can be in: those that several hosts share, and whose clock the launcher can ask.
LEASING = ("postgres", "mysql", "mysql2", "mysqlgis")
# Web workers of an app that does not say how many.
MOST_WORKERS = 2


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
    ``cache_host`` and ``broker_host`` (each empty when that runs beside the apps), ``web`` and ``workers``
    (whether it serves visitors, and whether it runs the processes), ``scheduler`` (whether it is the one of several
    that starts what is scheduled, where their database can have no lease), ``app_hosts`` and ``worker_hosts`` (how many
    serve visitors, and how many run the processes) and ``acme`` (whether apps that do not say get a certificate from
    an ACME authority). Raises
    ``AppsError``.
    """
    parsed = parse(apps, secrets, homeport_secret, setup, previous)
    if parsed.problems:
        raise AppsError(parsed.problems)
    facts = {"cores": 1, "memory_mb": 1024, "scheduler": True, "web": True, "workers": True, **(host or {})}
    return {
        name: _resolve_one(
            name, app, parsed.secrets.get(name, SECRETS.blank()), [homeport_secret, *previous], setup, facts
        )
        for name, app in sorted(parsed.apps.items())
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
    plain = base_environment(name, app, secrets, homeport_secrets, setup, host)
    environment, release_environment = environment_of(plain, app["env"], secrets.get("env", {}))
    database = database_of(name, app, secrets, homeport_secrets, shape, host)
    databases = databases_of(name, app, secrets, homeport_secrets, shape, host)
    services = resolve_services(name, app, secrets, homeport_secrets, shape, host)
    # where nothing is migrated, the role may lack the right to create the table of the leases
    creates = database.get("managed", False) or app["migrate"]["run"]
    leased = int(host.get("worker_hosts", 1)) > 1 and database["engine"] in LEASING and creates
    processes = {
        process: resolve_process(process, options, home, host["scheduler"], leased)
        for process, options in app["processes"].items()
    }
    schedules = {key: {**schedule, "alone": leased} for key, schedule in app["schedules"].items()}
    # whatever this host has cores for: the database server, which is told the limit, does not know
    widest = {
        **app,
        "web": {"workers": MOST_WORKERS, **app["web"]},
        "processes": processes,
        "schedules": schedules,
        "databases": databases,
    }
    hosts = int(host.get("app_hosts", 1))
    connections = max(100, most_connections(widest, hosts, int(host.get("worker_hosts", hosts))))
    if not host["workers"]:
        processes = {process: {**options, "count": 0} for process, options in processes.items()}
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
        "site_url": site_url_of(app, shape, host),
        "tls": {**app["tls"], "certificate": certificate_kind(app, shape, host)},
        "proxied": shape.proxy and bool(host["web"]),
        "limits": {"database_connections": connections, **app["limits"]},
        "trusted_networks": networks(app["proxy"]["trusted_proxies"]),
        "database": database,
        "databases": databases,
        **services,
        "processes": processes,
        "schedules": schedules if host["scheduler"] or (leased and host["workers"]) else {},
        "static": {**static, "root": f"{home}/static"},
        "media": {key: app["media"][key] for key in ("kind", "url")} | {"root": f"{home}/shared/media"},
        "bucket": bucket_of(app, secrets),
        # empty where only workers run
        "web": {**web, "socket": _web_socket(name, app, shape) if host["web"] else ""},
        "server_packages": _server_packages(app, static, [database, *databases.values()], services),
        "environment": environment,
        "release_environment": release_environment,
        "notify": {**app["notify"], **({"url": secrets["notify_url"]} if "notify_url" in secrets else {})},
        "source_secrets": {key: secrets[key] for key in ("deploy_key", "git") if key in secrets},
        "secret_names": sorted(secrets.get("env", {})),
        "tls_key": secrets.get("tls_key", ""),
    }


def _workers(host: Mapping[str, Any]) -> int:
    """Two workers where there are two cores and memory for them, else one: threads do the waiting.

    By the host alone: an app more or less on it may not restart the others.
    """
    return MOST_WORKERS if int(host.get("cores", 1)) >= 2 and int(host.get("memory_mb", 1024)) >= 1900 else 1


def _web_socket(name: str, app: dict[str, Any], shape: Setup) -> str:
    return f"unix://{RUNTIME}/{name}.sock" if shape.proxy else f"tcp://0.0.0.0:{app['web']['port']}"


def _server_packages(
    app: dict[str, Any],
    static: dict[str, Any],
    databases: list[dict[str, Any]],
    services: dict[str, dict[str, Any]],
) -> list[str]:
    """What Homeport needs in the virtual environment; a version that the project brings is kept."""
    packages = ["gunicorn"]
    engines = [find(database["engine"], "database") for database in databases]
    clients = [engine.client for engine in engines if engine and engine.client]
    packages += dict.fromkeys(clients) if app["overlay"] else ()
    if app["overlay"] and app["media"]["kind"] == "s3":
        packages.append("django-storages[s3]")
    if static["server"] == "whitenoise":
        # also where the project brings other means: for the files of its other releases
        packages.append("whitenoise")
    if app["overlay"]:
        cache = find(services["cache"]["engine"], "cache")
        packages += [cache.client] if cache else []
        for kind in kinds_of(app["processes"]):
            broker = services["broker"]["engine"] if needs_broker(kind) else "database"
            packages += [QUEUES[kind].packages[broker]] if broker in QUEUES[kind].packages else []
    return packages
