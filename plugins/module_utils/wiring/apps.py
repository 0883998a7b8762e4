# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""From resolved apps to the vocabulary of each role: small pure functions, one for each."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.app.environment import RELEASE_ENVIRONMENT
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import in_url
from ansible_collections.homeport.django.plugins.module_utils.common.derive import digests
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS
from ansible_collections.homeport.django.plugins.module_utils.common.names import SERVICES
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import is_geographic
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import SERVERS
from ansible_collections.homeport.django.plugins.module_utils.queues.queue import INSTANCE
from ansible_collections.homeport.django.plugins.module_utils.queues.table import kinds_of, needs_broker
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import public_port

Apps = Mapping[str, Mapping[str, Any]]

LIBRARY = "/usr/local/lib/homeport"
CERTIFICATES = "/etc/homeport/certificates"
# What supervisord calls the number of an instance: the name of a process of a program.
SUPERVISORD_INSTANCE = "${SUPERVISOR_PROCESS_NAME:-0}"
# Longer than gunicorn's own graceful_timeout may be, and the same for every app: a changed setting must
# not change supervisord's configuration, which would restart the app.
STOP_WEB = 95


def shell_exports(environment: Mapping[str, str]) -> str:
    """Environment variables as a file that sh reads; every value arrives exactly as written."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))


def postgres_databases(apps: Apps) -> list[dict[str, Any]]:
    """What the postgres role creates: a database and its owner for each app that has one here."""
    return [
        {
            "name": app["database"]["name"],
            "owner": app["database"]["owner"],
            "logins": app["database"]["logins"],
            "extensions": app["database"]["extensions"],
            "connection_limit": app["limits"]["database_connections"],
        }
        for app in apps.values()
        if app["database"]["engine"] == "postgres" and app["database"]["managed"]
    ]


def postgres_clients(apps: Apps, addresses: Iterable[str]) -> list[dict[str, Any]]:
    """Who may reach which database over the network: each app from its own servers, over TLS."""
    return database_clients(postgres_databases(apps), addresses)


def redis_app_instances(apps: Apps, services: Iterable[str], listen: Iterable[str]) -> list[dict[str, Any]]:
    """One instance for each app and use, on the host that serves them: a cache may forget, a broker must not."""
    return [
        {
            "name": f"{name}-{service}",
            "server": app[service]["engine"],
            "port": app[service]["port"],
            # an address of its own instead of the loopback address that all share
            "listen": [app[service]["host"], *(address for address in listen if address != "127.0.0.1")],
            "password": app[service]["password"],
            "previous_passwords": [login["password"] for login in app[service]["logins"][1:]],
            "memory": app[service]["memory"],
            "policy": "allkeys-lru" if service == "cache" else "noeviction",
            "persistent": service == "broker",
        }
        for name, app in apps.items()
        for service in SERVICES
        if service in services and app[service]["managed"] and app[service]["engine"] in SERVERS
    ]


def memcached_app_instances(apps: Apps) -> list[dict[str, Any]]:
    """One instance for each app, which its group alone can reach."""
    return [
        {"name": name, "group": app["group"], "memory": app["cache"]["memory"]}
        for name, app in apps.items()
        if app["cache"]["managed"] and app["cache"]["engine"] == "memcached"
    ]


def rabbitmq_app_vhosts(apps: Apps) -> list[dict[str, Any]]:
    """A virtual host for each app, and users who can do nothing outside of it."""
    return [
        {"name": app["broker"]["vhost"], "users": app["broker"]["logins"]}
        for app in apps.values()
        if app["broker"]["managed"] and app["broker"]["engine"] == "rabbitmq"
    ]


def queue_apps(apps: Apps, kind: str) -> dict[str, dict[str, Any]]:
    """The apps with a queue of some kind whose settings Homeport supplies."""
    return {
        name: {
            "directory": f"{app['home']}/config/overlay.d",
            "group": app["group"],
            "broker": app["broker"]["engine"] if needs_broker(kind) else "database",
            "queues": sorted(
                {
                    queue
                    for process in app["processes"].values()
                    if process.get("kind") == kind
                    for queue in process.get("queues", [])
                }
            ),
        }
        for name, app in apps.items()
        if app["overlay"] and kind in kinds_of(app["processes"])
    }


def gunicorn_apps(apps: Apps) -> dict[str, dict[str, Any]]:
    """The settings of each app's gunicorn."""
    result = {}
    for name, app in apps.items():
        web = app["web"]
        settings: dict[str, Any] = {
            "workers": web["workers"],
            "threads": web["threads"],
            "worker_class": "gthread" if web["server"] == "wsgi" else "asgi",
            "timeout": web["timeout"],
            "graceful_timeout": web["graceful_timeout"],
            "max_requests": web["max_requests"],
            "max_requests_jitter": web["max_requests"] // 10,
            "proc_name": f"{name}.web",
            # where nginx stands in front it is the only one that reaches the socket
            "forwarded_allow_ips": "*" if app["proxied"] else "127.0.0.1",
            "accesslog": None if app["proxied"] else "-",
        }
        settings.update({key: scalar(value) for key, value in web["gunicorn"].items()})
        result[name] = {
            "directory": f"{app['home']}/config",
            "group": app["group"],
            "server": web["server"],
            "settings": settings,
            "memory": web.get("memory", 0),
            # not among gunicorn's own settings, which took no networks before gunicorn 25
            "trusted_proxies": [] if app["proxied"] else app["trusted_networks"],
            "published": app["static"]["root"] if app["static"]["server"] == "whitenoise" else "",
            # behind nginx it is nginx that keeps visitors out, whether the app runs or not
            "maintenance": "" if app["proxied"] else maintenance_folder(app),
        }
    return result


def scalar(text: str) -> Any:
    """The Python value that a setting written in YAML stands for."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    if re.fullmatch(r"-?(0|[1-9][0-9]*)", text):  # 007 is a text: gunicorn reads it as it likes
        return int(text)
    return float(text) if re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]+", text) else text


def python_literal(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, str):
        return repr(str(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(python_literal(item) for item in value)}]"
    return repr(value)


def whitenoise_apps(apps: Apps) -> dict[str, dict[str, Any]]:
    """The apps whose static files whitenoise serves and whose settings Homeport supplies."""
    return {
        name: {"directory": f"{app['home']}/config/overlay.d", "group": app["group"]}
        for name, app in apps.items()
        if app["overlay"] and app["static"]["server"] == "whitenoise"
    }


def supervisord_programs(apps: Apps) -> dict[str, dict[str, Any]]:
    """The processes of all apps, in supervisord's own options."""
    result: dict[str, dict[str, Any]] = {}
    for name, app in apps.items():
        common = {
            "user": app["user"],
            "redirect_stderr": True,
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 5,
        }
        socket = app["web"]["socket"]
        web = {
            "section": "fcgi-program",
            "command": f"{LIBRARY}/gunicorn-slot {name} %(process_num)d",
            "socket": socket,
            "socket_backlog": 2048,
            "process_name": "%(process_num)d",
            "numprocs": 2,
            "startsecs": 1,
            "startretries": 1000,
            "stopwaitsecs": STOP_WEB,
            "killasgroup": True,
            "stdout_logfile": f"{app['logs']}/web-%(process_num)d.log",
            **common,
        }
        if socket.startswith("unix:"):
            web.update(socket_owner=f"{app['user']}:www-data", socket_mode="0660")
        result[f"{name}.web"] = web
        for process_name, process in app["processes"].items():
            if not process["count"]:
                continue
            result[f"{name}.{process_name}"] = {
                "command": f"{LIBRARY}/process {name} {process_name}",
                "process_name": "%(process_num)d",
                "numprocs": process["count"],
                "startsecs": process["start_seconds"],
                "startretries": 1000,
                "autorestart": True,
                "stopsignal": process["stop_signal"],
                "stopwaitsecs": process["stop_timeout"],
                "killasgroup": True,
                "stdout_logfile": f"{app['logs']}/{process_name}-%(process_num)d.log",
                **common,
            }
    return result


def nginx_sites(apps: Apps) -> dict[str, dict[str, Any]]:
    """The sites that nginx serves."""
    return {
        name: {
            "server_names": [app["canonical"], *app["aliases"]],
            "redirects": app["redirects"],
            "canonical": app["canonical"],
            "upstream": app["web"]["socket"].replace("unix://", "unix:"),
            "static": {"url": app["static"]["url"], "root": app["static"]["root"]}
            if app["static"]["server"] == "nginx"
            else {},
            "media": {"url": app["media"]["url"], "root": app["media"]["root"]}
            if app["media"]["kind"] == "local"
            else {},
            "maintenance": {
                "folder": maintenance_folder(app),
                "allow": _allowed(app),
                "open": _health_pages(app),
                "below": [app["static"]["url"]] if app["static"]["server"] != "none" else [],
                "retry_after": app["maintenance"]["retry_after"],
            },
            "upload_limit": app["proxy"]["upload_limit"],
            "timeout": app["proxy"]["timeout"],
            "websocket_timeout": app["proxy"]["websocket_timeout"] if app["web"]["server"] == "asgi" else 0,
            "trusted_proxies": app["trusted_networks"],
            "tls_in_front": app["tls"]["certificate"] == "proxy",
            "hsts": app["tls"]["hsts"] if app["tls"]["certificate"] == "proxy" else 0,
            "public_port": urlsplit(app["site_url"]).port or 0,
            "extra": app["proxy"]["extra"],
            "tls": {"folder": f"{CERTIFICATES}/{name}/live", "hsts": app["tls"]["hsts"]}
            if has_certificate(app)
            else {},
        }
        for name, app in apps.items()
    }


def has_certificate(app: Mapping[str, Any]) -> bool:
    """Whether TLS ends on the host itself."""
    return app["tls"]["certificate"] not in ("none", "proxy")


def certificate_sites(apps: Apps, base: str = "") -> dict[str, dict[str, Any]]:
    """The certificate of each app that has one: of all its names. ``base`` is what files are relative to."""
    found = {}
    for name, app in apps.items():
        tls = app["tls"]
        if not has_certificate(app):
            continue
        found[name] = {
            "kind": tls["certificate"],
            "domains": [app["canonical"], *app["redirects"], *app["aliases"]],
            "challenge": tls["challenge"],
        }
        if "chain" in tls and tls["certificate"] == "own":
            path = os.path.join(base, os.path.expanduser(tls["chain"]))
            # who only looks may not have it; preflight refuses to go on without
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as stream:
                    found[name]["chain"] = stream.read()
    return found


def certificate_keys(apps: Apps) -> dict[str, str]:
    """The private keys of the apps' own certificates."""
    return {name: app["tls_key"] for name, app in apps.items() if app["tls"]["certificate"] == "own"}


def nginx_name(name: str) -> str:
    """A site's name as part of the name of a variable of nginx; no two sites have the same."""
    return re.sub("[^a-z0-9]", lambda found: "__" if found[0] == "_" else f"_{ord(found[0]):x}_", name)


def release_specs(apps: Apps) -> list[dict[str, Any]]:
    """What the release module needs to know of each app."""
    keys = (
        "name", "user", "home", "source", "manage", "settings", "overlay", "python", "node", "requirements", "build",
        "migrate", "static", "media", "shared", "health", "site_url", "server_packages",
        "keep_releases", "hooks",
    )  # fmt: skip
    return [
        {
            **{key: app[key] for key in keys if key in app},
            "release_environment": own_and_conventional(app)[1],
            "visit": visits({app["name"]: app})[app["name"]],
            "application": app["web"].get("application", ""),
            "server": app["web"]["server"],
            "socket": app["web"]["socket"],
            "workers": app["web"]["workers"],
            "file_paths": list(app["files"]),
            "most_processes": app["limits"]["processes"],
            "stop_timeout": max(
                [process["stop_timeout"] for process in app["processes"].values()], default=10
            ),
        }
        for app in apps.values()
    ]


def own_and_conventional(app: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What a release adds to its environment: what the app asks for, which may hold secrets, and what all have."""
    own: dict[str, str] = {}
    conventional: dict[str, str] = {}
    for key, value in app["release_environment"].items():
        (conventional if RELEASE_ENVIRONMENT.get(key) == value else own)[key] = value
    return own, conventional


def release_secrets(apps: Apps, planning: bool = False) -> dict[str, dict[str, Any]]:
    """What the release module must not log: keys and addresses that lead to private code, what releases add to
    their environment, and for a plan digests of what the app's environment and processes are to be."""
    found: dict[str, dict[str, Any]] = {name: dict(app["source_secrets"]) for name, app in apps.items()}
    for name, app in apps.items():
        own = own_and_conventional(app)[0]
        if own:
            found[name]["release_environment"] = own
    if planning:
        for name, app in apps.items():
            found[name]["environment"] = digests(app["environment"])
            found[name]["processes"] = digests(process_scripts(app))
    return {name: values for name, values in found.items() if values}


def notifications(apps: Apps) -> dict[str, dict[str, str]]:
    """Whom to tell how a deploy ended, by app."""
    return {name: app["notify"] for name, app in apps.items() if app["notify"]}


def trial(visit: Mapping[str, Any], address: str) -> str:
    """A command that asks a host for an app, whatever the DNS says of its name; none where TLS ends in front."""
    if not visit or (visit["url"].startswith("https:") and not visit["tls"]):
        return ""
    # until its name leads to the host, an authority's certificate is not there
    insecure = "--insecure " if visit["tls"] else ""
    return f"curl {insecure}--connect-to ::{in_url(address)}:{visit['port']} {visit['url']}/"


def status_apps(apps: Apps, address: str = "") -> list[dict[str, Any]]:
    """What status and logs need to know of each app: nothing that is secret. ``address`` is the host's."""
    return [
        {
            **{key: app[key] for key in ("name", "user", "home", "logs", "site_url", "proxied", "health")},
            "domains": [app["canonical"], *app["redirects"], *app["aliases"]],
            "certificate": app["tls"]["certificate"] if has_certificate(app) else "none",
            "try": trial(visits({name: app})[name], address) if address else "",
            "version": app["source"].get("version", ""),
            "python": app.get("python") or "",
            "socket": app["web"]["socket"],
            "visit": visits({name: app})[name],
            "static": app["static"]["server"],
            "media": app["media"]["root"] if app["media"]["kind"] == "local" else "",
            "database": {key: app["database"].get(key, "") for key in ("engine", "name", "host", "managed")},
            "processes": {name: process["count"] for name, process in app["processes"].items()},
            "kinds": {name: process.get("kind", "") for name, process in app["processes"].items()},
            **{service: status_service(name, service, app[service]) for service in SERVICES},
            "schedules": {name: schedule["calendar"] for name, schedule in app["schedules"].items()},
        }
        for name, app in apps.items()
    ]


def visits(apps: Apps) -> dict[str, dict[str, Any]]:
    """How each app is asked for its pages as visitors ask; nothing where it is there for its own host alone."""
    found: dict[str, dict[str, Any]] = {}
    for name, app in apps.items():
        tls = app["proxied"] and has_certificate(app)
        port = (443 if tls else 80) if app["proxied"] else public_port(app["web"]["socket"])
        found[name] = (
            {
                "url": app["site_url"],
                "port": port,
                "tls": tls,
                "pages": {"/": [], app["health"]["path"]: app["health"]["status"]},
                "home": app["home"],
                "first": app["health"]["first"],
            }
            if port
            else {}
        )
    return found


def audit_sites(apps: Apps, own: Any = None, certificates: Any = None) -> dict[str, dict[str, Any]]:
    """The sites of a host as visitors see them: those of the apps, and those of the role nginx's own variable."""
    found = {}
    for name, app in apps.items():
        port = 80 if app["proxied"] else public_port(app["web"]["socket"])
        if port:
            public = urlsplit(app["site_url"])
            found[name] = {
                **({"front_port": public.port or 443} if app["tls"]["certificate"] == "proxy" else {}),
                "names": [app["canonical"], *app["redirects"], *app["aliases"]],
                "canonical": app["canonical"],
                "proxied": app["proxied"],
                "port": port,
                "tls": app["tls"]["certificate"] != "none",
                "kind": app["tls"]["certificate"],
                "hsts": app["tls"]["hsts"],
            }
    for name, site in (own or {}).items():
        listed = [*site.get("server_names", []), *site.get("redirects", [])]
        names = [
            str(each)
            for each in listed
            if re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*", str(each)) and each != "_"
        ]
        if names:
            tls = site.get("tls") or {}
            front = bool(site.get("tls_in_front"))
            kind = str((certificates or {}).get(name, {}).get("kind", "own")) if tls else "none"
            found[str(name)] = {
                **({"front_port": int(site.get("public_port") or 443)} if front else {}),
                "names": names,
                "canonical": next((each for each in names if each[0] != "*"), f"audit.{names[0][2:]}"),
                "proxied": True,
                "port": 80,
                "tls": bool(tls) or front,
                "kind": "proxy" if front else kind,
                "hsts": int(tls.get("hsts", 0) if tls else site.get("hsts", 0)),
            }
    return found


def status_service(name: str, service: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """An app's cache or broker for status: which it is, and by which unit it runs where it is Homeport's."""
    return {
        "engine": found["engine"],
        "managed": found["managed"],
        "host": "" if found["managed"] else found["host"],
        "unit": FACTS[found["engine"]].unit.format(app=name, use=service) if found["managed"] else "",
    }


def backup_apps(apps: Apps) -> list[dict[str, Any]]:
    """What the backups need to know of each app: nothing that is secret."""
    result = []
    for name, app in apps.items():
        database = app["database"]
        local = database["engine"] == "postgres" and database["managed"] and database["host"].startswith("/")
        inside = database["engine"] == "sqlite" and database["name"].startswith(f"{app['home']}/")
        remote = database["engine"] == "postgres" and database["managed"] and not local
        result.append(
            {
                **{key: app[key] for key in ("name", "user", "home")},
                "sqlite": database["name"] if inside else "",
                # that of a server on the same host, whose superuser can make another one for a drill
                "database": database["name"] if local else "",
                "extensions": database["extensions"],
                "scratch": scratch_database(name) if remote else "",
            }
        )
    return result


def scratch_database(name: str) -> str:
    """Where a drill restores to on a database server that is another host."""
    return f"homeport_drill_{name}"


def backup_scratch_databases(apps: Apps) -> list[dict[str, Any]]:
    """Empty databases beside those of the apps, for the drills of hosts that cannot make one there."""
    return [
        {**database, "name": scratch_database(database["owner"])} for database in postgres_databases(apps)
    ]


def database_clients(
    databases: Iterable[Mapping[str, Any]], addresses: Iterable[str]
) -> list[dict[str, Any]]:
    """Each login reaches its databases from the given addresses."""
    return [
        {"database": database["name"], "user": login["name"], "address": address}
        for database in databases
        for login in database["logins"]
        for address in addresses
    ]


LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def local_apps(apps: Apps, folder: str, first_port: int = 8000) -> list[dict[str, Any]]:
    """The apps as they run on the operator's own machine: SQLite, DEBUG on, one port for each."""
    result = []
    for number, (name, app) in enumerate(apps.items()):
        home, port = f"{folder}/{name}", first_port + number
        kept = {
            key: value
            for key, value in app["environment"].items()
            if not key.startswith("PG") and key != "HOME"
        }
        origins = ",".join(f"http://{host}:{port}" for host in LOCAL_NAMES[:2])
        environment = {
            **kept,
            **dict.fromkeys(("DEBUG", "DJANGO_DEBUG", "SERVE_MEDIA"), "1"),
            **dict.fromkeys(("ALLOWED_HOSTS", "DJANGO_ALLOWED_HOSTS"), ",".join(LOCAL_NAMES)),
            **dict.fromkeys(("CSRF_TRUSTED_ORIGINS", "DJANGO_CSRF_TRUSTED_ORIGINS"), origins),
            **dict.fromkeys(("STATIC_ROOT", "DJANGO_STATIC_ROOT"), f"{home}/static"),
            **dict.fromkeys(("MEDIA_ROOT", "DJANGO_MEDIA_ROOT"), f"{home}/media"),
            "SITE_URL": f"http://localhost:{port}",
            "DATABASE_URL": f"{'spatialite' if geographic(app) else 'sqlite'}:///{home}/db.sqlite3",
            "SQLITE_PATH": f"{home}/db.sqlite3",
            "CONN_MAX_AGE": "0",
        }
        spec = next(spec for spec in release_specs({name: app}))
        result.append(
            {
                **spec,
                "home": home,
                "port": port,
                "server_packages": [],
                "server": "wsgi",
                "environment": environment,
            }
        )
    return result


def schedule_units(apps: Apps) -> list[str]:
    """The systemd timers of all schedules."""
    return [f"{name}.{schedule}.timer" for name, app in apps.items() for schedule in app["schedules"]]


# What GeoDjango loads (GDAL, and with it GEOS and PROJ), by the scheme of DATABASE_URL.
GEOGRAPHIC = {"postgis": ("gdal-bin",), "spatialite": ("gdal-bin", "libsqlite3-mod-spatialite")}


def geographic(app: Mapping[str, Any]) -> tuple[str, ...]:
    """What an app needs beside its database's server, where its extensions or its scheme say that it is geographic."""
    scheme = app["database"]["url"].partition("://")[0].partition("+")[0]
    brought = GEOGRAPHIC["postgis"] if is_geographic(app["database"]["extensions"]) else ()
    return GEOGRAPHIC.get(scheme, brought)


def declared(apps: Apps, host: Mapping[str, Any]) -> dict[str, Any]:
    """What is declared of all that a host may have (common/undeclared.py). ``host`` has C(here) (whether it runs
    the apps), C(services) (whether a run looks after its caches and brokers), C(databases), C(redis), C(memcached),
    C(vhosts) (all that its roles are given), C(backup), C(archive)."""
    instances = [f"{each.get('server', 'redis')}-server@{each['name']}.service" for each in host["redis"]]
    instances += [f"memcached@{each['name']}.service" for each in host["memcached"]]
    return {
        "apps": sorted(apps),
        "process": sorted(supervisord_programs(apps)),
        "schedule": [unit[: -len(".timer")] for unit in schedule_units(apps)],
        "units": sorted(instances),
        "databases": sorted(
            {
                *(each["name"] for each in host["databases"]),
                # one that was given by its address may be in the very cluster
                *(app["database"]["name"] for app in apps.values() if not app["database"]["managed"]),
            }
        ),
        "vhosts": sorted(each["name"] for each in host["vhosts"]),
        **{key: bool(host[key]) for key in ("here", "services", "backup", "archive")},
    }


def system_packages(apps: Apps) -> list[str]:
    """Debian packages that the apps ask for, or that fetching their code needs."""
    packages = {package for app in apps.values() for package in app["system_packages"]}
    if any("git" in app["source"] for app in apps.values()):
        packages |= {"git", "openssh-client"}
    if any(app["database"]["engine"] == "postgres" for app in apps.values()):
        packages.add("postgresql-client")  # a database is dumped before it is migrated
    for app in apps.values():
        packages.update(geographic(app))
    return sorted(packages)


def python_versions(apps: Apps) -> list[str]:
    """Python versions that apps name."""
    return sorted({app["python"] for app in apps.values() if app.get("python")})


def app_accounts(apps: Apps) -> list[dict[str, Any]]:
    """The OS user of each app."""
    return [{"name": app["user"], "home": f"{app['home']}/home"} for app in apps.values()]


def app_files(apps: Apps, base: str = "", sandbox: bool = True) -> list[dict[str, Any]]:
    """Folders and configuration of each app. A change of these makes a new release; it reloads nothing.

    ``base`` is the controller's folder that templates are relative to; ``sandbox`` is for what is scheduled.
    """
    entries = []
    for app in apps.values():
        entries += _folders(app)
        entries += _configuration(app, base)
        entries += _maintenance(app, base)
        entries += _schedules(app, sandbox)
    return entries


def _folders(app: Mapping[str, Any]) -> list[dict[str, Any]]:
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
    if app["files"]:
        folders[f"{home}/config/files"] = {**root, "mode": "0750"}
    return [
        {"path": path, "state": "directory", "on_change": "none", **options}
        for path, options in folders.items()
    ]


def _configuration(app: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    config = f"{app['home']}/config"
    common = {"group": app["group"], "mode": "0640", "on_change": "none"}
    entries: list[dict[str, Any]] = [
        {"path": f"{config}/env", "content": shell_exports(app["environment"]), "secret": True, **common},
        {"path": f"{config}/limits", "content": limits(app["limits"]), **common},
    ]
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
        if app["tls"]["certificate"] != "none" and not (app["tls"]["hsts"] and app["proxied"]):
            # no nginx sets the header
            hsts = f"SECURE_HSTS_SECONDS = {app['tls']['hsts']}\n" if app["tls"]["hsts"] else ""
            text = f'SILENCED_SYSTEM_CHECKS.remove("security.W004")\n{hsts}'
            entries.append({"path": f"{config}/overlay.d/10_hsts.py", "content": text, **common})
    if app["overlay_settings"]:
        lines = "".join(f"{name} = {value.strip()}\n" for name, value in app["overlay_settings"].items())
        entries.append(
            {"path": f"{config}/overlay.d/90_settings.py", "content": lines, "secret": True, **common}
        )
    return entries


def process_scripts(app: Mapping[str, Any]) -> dict[str, str]:
    """What sh reads to become each process; of the web process, only what it has in its environment alone."""
    scripts = {"web": own_variables(app["web"]["env"])} if app["web"]["env"] else {}
    for name, process in app["processes"].items():
        command = process["command"].replace(INSTANCE, SUPERVISORD_INSTANCE)
        scripts[name] = f"{own_variables(process['env'])}exec {command}\n"
    for name, schedule in app["schedules"].items():
        scripts[name] = f"{own_variables(schedule['env'])}{schedule['command']}\n"
    return scripts


def own_variables(env: Mapping[str, Any]) -> str:
    """Variables of one process for sh, which has those of the app and of the release: references are to these."""
    lines, values = [], []
    for number, (name, value) in enumerate(env.items()):
        if value is None:
            lines.append(f"unset {name}\n")
        elif isinstance(value, str):
            lines.append(f"export {name}={shlex.quote(value)}\n")
        else:
            lines.append(f'export {name}="$homeport_{number}"\n')
            values.append(f"homeport_{number}={expanded(value)}\n")
    return "".join([*values, *lines])


def expanded(value: Mapping[str, str]) -> str:
    """A value that is built from others, as a word of sh."""
    text = value["format"] if "format" in value else f"{{{value['from']}}}"
    parts = re.split(r"\{([A-Za-z_][A-Za-z0-9_]*)\}", text)
    return "".join(
        f'"${{{part}-}}"' if number % 2 else shlex.quote(part) for number, part in enumerate(parts) if part
    )


def limits(given: Mapping[str, Any]) -> str:
    """What a process of the app may take, for dash to read. Where the host allows less, that is the limit."""
    lines = ["# Written by Homeport (role django_app).", f"ulimit -p {given['processes']} 2>/dev/null || :"]
    if "memory" in given:
        lines.append(f"ulimit -d {given['memory'] << 10} 2>/dev/null || :")
    return "".join(f"{line}\n" for line in lines)


# What no scheduled command needs: the same as the programs of supervisord (role supervisord), which says what is left
# out and why. It begins as the app's user, and so has no use for any capability.
SANDBOX = """\
NoNewPrivileges=true
ProtectSystem=full
ProtectHome=true
ProtectProc=invisible
PrivateDevices=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
LockPersonality=true
RestrictRealtime=true
RestrictNamespaces=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
CapabilityBoundingSet=
"""


def _schedules(app: Mapping[str, Any], sandbox: bool) -> list[dict[str, Any]]:
    entries = []
    for name, schedule in app["schedules"].items():
        unit = f"/etc/systemd/system/{app['name']}.{name}"
        service = (
            f"# Written by Homeport (role django_app).\n[Unit]\nDescription={name} of {app['name']}\n\n"
            f"[Service]\nType=oneshot\nUser={app['user']}\nGroup={app['group']}\n"
            f"ExecStart={LIBRARY}/process {app['name']} {name}\nTimeoutStartSec={schedule['timeout']}\n"
            f"StandardOutput=append:{app['logs']}/{name}.log\nStandardError=inherit\n"
            f"{SANDBOX if sandbox else ''}"
        )
        timer = (
            f"# Written by Homeport (role django_app).\n[Unit]\nDescription={name} of {app['name']}\n\n"
            f"[Timer]\nOnCalendar={schedule['calendar']}\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
        )
        entries += [
            {"path": f"{unit}.service", "content": service},
            {"path": f"{unit}.timer", "content": timer},
        ]
    return entries


def maintenance_folder(app: Mapping[str, Any]) -> str:
    """What closes an app to its visitors lives outside of its configuration, so that it makes no release."""
    return f"{app['home']}/maintenance"


def _allowed(app: Mapping[str, Any]) -> list[str]:
    """Networks that reach a closed app, each once."""
    networks = {ipaddress.ip_network(address) for address in app["maintenance"]["allow"]}
    return [str(network) for network in sorted(networks, key=lambda found: (found.version, found))]


def _health_pages(app: Mapping[str, Any]) -> list[str]:
    """Paths that monitoring still reaches. The home page is what visitors are to be kept from."""
    path = unquote(urlsplit(app["health"]["path"]).path)
    return [] if path == "/" else [path]


def _maintenance(app: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
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
        "allow": _allowed(app),
        "open": _health_pages(app),
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
        flag = {"path": f"{maintenance_folder(app)}/on", "mode": "0644", "on_change": "none"}
        entries += [
            *_maintenance(app, base),
            {**flag, "content": "Visitors get page.html while this file is here.\n"}
            if state == "on"
            else {**flag, "state": "absent"},
        ]
    return entries


def chosen_apps(apps: Apps, names: Any) -> dict[str, Mapping[str, Any]]:
    """The apps that a command names: one, several (a list, or with commas between them), or all."""
    listed = names.split(",") if isinstance(names, str) else list(names)
    wanted = {str(name).strip() for name in listed}
    return {name: app for name, app in apps.items() if name in wanted or wanted == {"all"}}


def host_address(variables: Mapping[str, Any]) -> str:
    """The address under which other hosts reach a host."""
    return str(
        variables.get("homeport_address") or variables.get("ansible_host") or variables["inventory_hostname"]
    )
