# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the apps need of the inventory: hosts in its groups, addresses, and what an ACME authority needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.check import Parsed
from ansible_collections.homeport.django.plugins.module_utils.app.fields.secrets import SECRETS
from ansible_collections.homeport.django.plugins.module_utils.app.services import broker_engine, cache_engine
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.app.site import certificate_kind
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import is_address
from ansible_collections.homeport.django.plugins.module_utils.common.engines import engine_of
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine
from ansible_collections.homeport.django.plugins.module_utils.engines.table import ENGINES, find
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import DNS_NEEDS
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import host_address

Groups = Mapping[str, Any]
READ_ONLY = ", or migrate: false where the app only reads it"


def app_hosts(groups: Groups) -> list[str]:
    """The hosts that have the apps' releases: they serve visitors, run workers, or both."""
    return list(dict.fromkeys([*(groups.get("app_servers") or []), *(groups.get("worker_servers") or [])]))


def topology(parsed: Parsed, groups: Groups, setup: str) -> list[str]:
    """What the apps need that the inventory has no host for."""
    problems = []
    if not groups.get("app_servers"):
        problems.append(
            "inventory: the group app_servers has no host; name there the hosts that run the apps"
        )
    for name, app in parsed.apps.items():
        secrets = parsed.secrets.get(name, SECRETS.blank())
        shape = SETUPS[setup]
        database = app["database"].get("engine", shape.databases[0])
        problems += _divided(name, app, groups)
        problems += _divided_databases(name, app, secrets, groups, database)
        wanted = {
            "database": database,
            "cache": cache_engine(app, secrets, shape),
            "broker": broker_engine(app, secrets, shape),
        }
        for service, wanted_engine in wanted.items():
            engine = find(wanted_engine, service)
            if engine and engine.facts.unit and "url" not in app[service] and f"{service}_url" not in secrets:
                problems += _without_host(name, service, engine, groups)
    return problems


def _without_host(name: str, service: str, engine: Engine, groups: Groups) -> list[str]:
    group = f"{service}_servers"
    if not groups.get(group):
        return [
            f"django_apps.{name}.{service}: is {engine.name}, but the inventory's group {group} has no host; "
            f"name one there (it may be the app's own), or set the app's {service}.url"
        ]
    if engine.facts.local and app_hosts(groups) != groups[group][:1]:
        others = [other.name for other in ENGINES.values() if service in other.uses and not other.facts.local]
        return [
            f"django_apps.{name}.{service}: {engine.name} is reached through a socket on the host that the app runs "
            f"on, so that app_servers and {group} must be one and the same host; use {' or '.join(others)}"
        ]
    return []


def _divided(name: str, app: Mapping[str, Any], groups: Groups) -> list[str]:
    """What each of several app servers would keep for itself, of files."""
    servers, problems = len(app_hosts(groups)), []
    if servers > 1 and app["media"].get("kind") == "local" and app["media"].get("shared") is not True:
        problems.append(
            f"django_apps.{name}.media: is local, so that an upload is on one of the {servers} {_which(groups)} alone; "
            "keep uploads in object storage (media.s3, or media: none where the project does that by itself), or mount "
            f"one network file system at /srv/{name}/shared/media on all of them and set media.shared: true"
        )
    return problems


def _divided_databases(
    name: str, app: Mapping[str, Any], secrets: Mapping[str, Any], groups: Groups, engine: str
) -> list[str]:
    """Databases that each of several app servers would have for itself. An address of loopback is none: a pooler or
    proxy on each host may lead to one server."""
    servers = len(app_hosts(groups))
    if servers < 2:
        return []
    further = secrets.get("database_urls") or {}
    urls = {"database": secrets.get("database_url") or app["database"].get("url") or f"{engine}:"}
    for alias, database in app["databases"].items():
        if database["migrate"]:  # else its data comes from elsewhere, and may be a copy on each
            urls[f"databases.{alias}"] = further.get(alias) or database.get("url") or ""
    problems = []
    for place, url in urls.items():
        kind = engine_of(str(url)) or str(url).partition(":")[0]
        if kind == "sqlite":
            problems.append(
                f"django_apps.{name}.{place}: is sqlite, so that each of the {servers} {_which(groups)} has a database "
                f"of its own; use postgres, or one app server{'' if place == 'database' else READ_ONLY}"
            )
    return problems


def _which(groups: Groups) -> str:
    return "app and worker servers" if groups.get("worker_servers") else "app servers"


def certificates(parsed: Parsed, settings: Mapping[str, str], groups: Groups, setup: str) -> list[str]:
    """What stands in the way of certificates from an authority."""
    problems: list[str] = []
    email = settings["certificates_email"]
    if setup in SETUPS and not SETUPS[setup].proxy:
        if email:
            problems.append(
                "certificates_email: the simple setup has no nginx and no HTTPS; run typical.yml, or leave this out "
                "and let something in front of the host speak HTTPS (tls: proxy)"
            )
        return problems
    servers = len(groups.get("app_servers") or [])
    for name, app in parsed.apps.items():
        if certificate_kind(app, SETUPS[setup], {"acme": bool(email)}) != "acme":
            continue
        path = f"django_apps.{name}.tls"
        if not email:
            problems.append(f"{path}: An ACME authority needs a contact address; set certificates_email")
        if app["tls"].get("challenge") == "dns-01":
            if not (settings["certificates_dns_server"] or settings["certificates_dns_auth_hook"]):
                problems.append(f"{path}.challenge: {DNS_NEEDS}")
        elif servers > 1:
            problems.append(
                f"{path}: The authority sends the challenge http-01 to any one of the {servers} app servers; use "
                "challenge: dns-01 or an own certificate, or tls: proxy where what is in front of them speaks HTTPS"
            )
    return problems


def nameless(groups: Mapping[str, Any], hosts: Mapping[str, Any]) -> list[str]:
    """Hosts that others reach by a name: PostgreSQL, Redis and RabbitMQ are told addresses."""
    servers = app_hosts(groups)
    wanted = [
        host for host in servers if groups.get("database_servers") and host not in groups["database_servers"]
    ]
    for group in ("cache_servers", "broker_servers"):
        for host in list(groups.get(group) or [])[:1]:
            others = [server for server in servers if server != host]
            # each lets the other's firewall know who it is
            wanted += [host, *others] if others else []
    return [
        f"inventory: {host} is known to other hosts by a name; set its homeport_address to its IP address"
        for host in dict.fromkeys(wanted)
        if not is_address(host_address(hosts.get(host) or {"inventory_hostname": host}))
    ]
