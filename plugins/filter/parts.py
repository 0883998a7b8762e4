# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the services of a host are given for each app, and which of it stays as it is in a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.homeport.django.plugins.filter.apps import failed_apps, plain
from ansible_collections.homeport.django.plugins.module_utils.app.database import direct_field, variable
from ansible_collections.homeport.django.plugins.module_utils.app.media import media_environment
from ansible_collections.homeport.django.plugins.module_utils.common import parts as differences
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import address_of, proxies_of
from ansible_collections.homeport.django.plugins.module_utils.common.derive import SITE, derive
from ansible_collections.homeport.django.plugins.module_utils.common.digests import Parts
from ansible_collections.homeport.django.plugins.module_utils.common.rotation import (
    ADDRESSES,
    bucket_digest,
    used_logins,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.others import objections
from ansible_collections.homeport.django.plugins.module_utils.wiring import moves, parts
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import (
    is_dumped,
    system_packages,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import postgres_databases
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import host_address

# What the host needs to know of a bucket.
BUCKET = ("base", "region", "prefix", "public", "s3_access_key", "s3_secret_key")
# What a deploy brings itself.
DEPLOYED = (differences.NGINX,)


def wanted_parts(apps: Any, database_apps: Any, served: Any) -> dict[str, Parts]:
    """Digests of what each component of a host is to be given, by component, app and field."""
    return parts.wanted(apps, database_apps, served)


def undelivered(apps: Any, wanted: Any, facts: Any, host: Any, names: Any = ()) -> list[str]:
    """What releases of the apps (all without ``names``) need of a host and was not given to it: a line for each."""
    found = differing_here(wanted, facts)
    told = [
        f"{host} does not have {', '.join(missing)} for {name}"
        for name, app in sorted(apps.items())
        if (not names or name in names) and facts["packages"]
        if (missing := absent(system_packages({name: app}), facts["packages"]))
    ]
    return told + [
        differences.sentence(app, component, fields, str(host))
        for app, components in sorted(found.items())
        for component, fields in sorted(components.items())
        if component not in DEPLOYED and (not names or app in names)
    ]


def absent(names: Any, installed: Any) -> list[str]:
    """The packages that are not installed, whatever architecture or version they are asked for in."""
    have = set(installed)
    return [name for name in names if re.split("[:=/]", name, maxsplit=1)[0] not in have]


def kept_apps(wanted: Any, apps: Any, facts: Any, failed: Any, names: Any = ()) -> list[str]:
    """The apps whose sites stay as they are: those whose release failed, those whose sites would change although the
    run is not about them (``names``), and those that would get a domain which such a site still has."""
    kept = kept_alone(wanted, facts, failed, names)
    return sorted({*kept, *blocked_by(apps, facts, kept)})


def kept_alone(wanted: Any, facts: Any, failed: Any, names: Any) -> set[str]:
    return {*failed, *(app for app in differing_here(wanted, facts) if names and app not in names)}


def blocked_by(apps: Any, facts: Any, kept: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The apps that would get a domain of a site which stays as it is, each with that domain and the other app."""
    found: dict[str, tuple[str, str]] = {}
    stay = set(kept)
    while more := {
        name: (domain, other)
        for name, app in apps.items()
        if name not in stay
        for other in sorted(stay)
        for domain in domains_of(app)
        if domain in facts["served"].get(other, [])
    }:
        found.update(more)
        stay.update(more)
    return found


def blocked_apps(wanted: Any, apps: Any, facts: Any, failed: Any, names: Any = ()) -> dict[str, str]:
    """A message for each app whose site stays because that of another has its domain."""
    blocked = blocked_by(apps, facts, kept_alone(wanted, facts, failed, names))
    return {
        name: f"{domain} is still served by {other}, whose site stays as it is. The site of {name} stays, too, until "
        f"{other} is deployed without this domain"
        for name, (domain, other) in sorted(blocked.items())
    }


def domains_of(app: Any) -> list[str]:
    return [app["canonical"], *app["redirects"], *app["aliases"]]


def other_certificates(wanted: Any, given: Any) -> list[str]:
    """Sites that a host has not been given a certificate of that kind for, or has one for that is not wanted."""
    return sorted(
        name
        for name in {*wanted, *given}
        if wanted.get(name, {}).get("kind") != given.get(name, {}).get("kind")
    )


def kept_sites(sites: Any, kept: Any, given: Any) -> dict[str, Any]:
    """The certificates' sites, of the kept ones as they were given."""
    others = {name: site for name, site in sites.items() if name not in kept}
    return others | {name: given[name] for name in kept if name in given}


def without_new_tls(sites: Any, kept: Any, given: Any) -> dict[str, Any]:
    """The sites of nginx; a kept one has no certificate yet that it was not given before."""
    return {
        name: {**site, "tls": {}} if name in kept and name not in given else site
        for name, site in sites.items()
    }


def taken_domains(apps: Any, facts: Any, host: Any, names: Any = ()) -> list[str]:
    """Domains of apps that others still serve: a line for each. These are on the host and not declared, or the run
    (about the apps ``names``, or all) leaves their sites as they are. One that is renamed serves its own."""
    staying = {name: app for name, app in apps.items() if names and name not in names}
    return [
        f"django_apps.{name}.domains: {domain} is still served by the app {other} on {host}, and this run does not "
        f"change the site of {other}. Deploy all apps (without -e app={name}), or {other} first (-e app={other})"
        for other in sorted(staying)
        for name, app in sorted(apps.items())
        if name in names
        for domain in domains_of(app)
        if domain in facts["served"].get(other, [])
    ] + [
        f"django_apps.{name}.domains: {domain} is still served by the app {other} on {host}, which is not declared any "
        f"more. A new name makes a new app, with a database of its own: rename {other} with its data (was: {other}), "
        f"keep the name, or remove {other} first (remove_app.yml -e app={other})"
        for other, domains in sorted(facts["domains"].items())
        if other not in apps
        for name, app in sorted(apps.items())
        for domain in domains_of(app)
        if domain in domains and other not in app.get("was", [])
    ]


def unfetched(apps: Any, facts: Any, names: Any = ()) -> dict[str, Any]:
    """The apps (all without ``names``) whose code the host fetches from where its live release does not come from."""
    return {
        name: app
        for name, app in apps.items()
        if (not names or name in names)
        if (address := address_of(app["source"])) and facts["sources"].get(name) != address
    }


def unproven(apps: Any, facts: Any, names: Any = ()) -> dict[str, Any]:
    """Services of the apps (all without ``names``) that somebody else runs, and that no live release logs in to: by
    their place in the definitions, the url, the file of the authority, and what is to be done there."""
    found = {}
    for name, app in apps.items():
        known = facts["logins"].get(name, {})
        services = [(use, place, app[use]) for use, place in ADDRESSES.items()]
        services += [(f"databases.{alias}", variable(alias), it) for alias, it in app["databases"].items()]
        for use, place, service in services if not names or name in names else ():
            parts = urlsplit(service["url"])
            away = parts.hostname and not unquote(parts.hostname).startswith("/") and not service["managed"]
            # the file of an authority may be another one than before, and so may what the release does not log in to
            again = service.get("ca") or service.get("extensions") or service.get("direct")
            login = used_logins({place: service["url"]})
            if away and (again or known.get(use) != login.get(use)):
                found[f"django_apps.{name}.{use}"] = asked_of(name, app, use, service)
    return found


def asked_of(name: str, app: Any, use: str, service: Any) -> dict[str, Any]:
    """What a host has to know to ask for a service."""
    asked: dict[str, Any] = {"url": service["url"], "ca": service.get("ca", "")}
    if "extensions" not in service:
        return asked
    direct = {"direct": service["direct"]} if service.get("direct") else {}
    return {
        **asked,
        **direct,
        "home": app["home"],
        "migrate": app["migrate"]["run"] and service.get("migrate", True),
        "dumped": is_dumped(app, service),
        "extensions": service["extensions"],
        "direct_field": f"vault_django_apps.{name}.{direct_field(use)}",
    }


def untried_buckets(apps: Any, facts: Any, names: Any = ()) -> dict[str, Any]:
    """The buckets of the apps (all without ``names``) that no live release uses with the same keys."""
    return {
        name: {
            **{key: app["bucket"][key] for key in BUCKET},
            "proxies": proxies_of(app["environment"], app["bucket"]["base"]),
        }
        for name, app in apps.items()
        if (not names or name in names) and app["bucket"]
        if facts["buckets"].get(name) != bucket_digest(media_environment(app["bucket"]))
    }


def unserved(apps: Any, wanted: Any, facts: Any, names: Any = ()) -> dict[str, Any]:
    """Domains of the apps (all without ``names``) that the host has not served as they are, by app, and whether an
    authority will ask for them. Behind a proxy they lead to that."""
    had, wants = facts["parts"].get(differences.NGINX, {}), wanted.get(differences.NGINX, {})
    return {
        name: {
            "domains": domains_of(app),
            "acme": app["tls"]["certificate"] == "acme" and app["tls"]["challenge"] == "http-01",
        }
        for name, app in apps.items()
        if (not names or name in names) and not app["trusted_networks"]
        if (
            wants[name]["domains"] != had.get(name, {}).get("domains")
            if name in wants
            else name not in facts["domains"]
        )
    }


def taken_over(apps: Any, database_apps: Any, facts: Any, words: Any, host: Any, here: Any) -> list[str]:
    """What others have on the host that would be taken over: a line for each."""
    databases = {name: postgres_databases({name: app}) for name, app in database_apps.items()}
    sandboxes = {name: boolean(here[name], strict=False) for name in ("nginx_sandbox", "supervisord_sandbox")}
    rules = plain(here["rules"]) if boolean(here["firewall"], strict=False) else None
    return objections(apps, databases, facts, listed(words), str(host), {**here, **sandboxes, "rules": rules})


def unmoved(apps: Any, facts: Any, server: Any, host: Any, address: Any) -> list[str]:
    """Apps whose PostgreSQL is declared on a host that does not have their rows."""
    return moves.unmoved(plain(apps), plain(facts), plain(server), str(host), str(address))


def moved_from(hosts: Any, hostvars: Any, recorded: Any) -> dict[str, Any]:
    """The host that PostgreSQL moves from, and the apps whose databases are there."""
    servers: dict[str, str] = {}
    for host in hosts:
        known = hostvars[host]
        facts = (known.get("ansible_facts") or {}).get("homeport")
        if facts and "homeport_apps" in known:
            servers.update(moves.elsewhere(plain(known["homeport_apps"]), plain(facts), host_address(known)))
    try:
        addresses = {host: host_address(hostvars[host]) for host in hostvars}
        return {"host": moves.origin(servers, addresses, str(recorded)), "apps": sorted(servers)}
    except moves.MoveError as error:
        raise AnsibleFilterError(str(error)) from error


def move_failures(hosts: Any, hostvars: Any) -> dict[str, str]:
    """Apps that cannot go along with a move of PostgreSQL, with the reason: a move brings no other code."""
    found = failed_apps(hosts, hostvars)
    for host in hosts:
        releases = (hostvars[host].get("__django_app_built") or {}).get("releases") or {}
        for name, release in releases.items():
            if release.get("live") and release.get("revision") != release["live"]:
                found.setdefault(
                    str(name),
                    f"{name}: its code has changed since the last deploy. Deploy before PostgreSQL moves",
                )
    return found


def taken_databases(words: Any) -> list[str]:
    """The databases among what ``take_over`` names."""
    return [word.partition(":")[2] for word in listed(words) if word.startswith("database:")]


def listed(words: Any) -> list[str]:
    found = words if isinstance(words, (list, tuple)) else str(words or "").split(",")
    return [str(word).strip() for word in found]


def differing_here(wanted: Any, facts: Any) -> dict[str, dict[str, list[str]]]:
    return differences.differing(plain(wanted), plain(facts["parts"]), plain(facts["sets"]))


class FilterModule:
    """What the services of a host are given for each app."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "wanted_parts": wanted_parts,
            "undelivered": undelivered,
            "taken_domains": taken_domains,
            "unfetched": unfetched,
            "unproven": unproven,
            "untried_buckets": untried_buckets,
            "unserved": unserved,
            "taken_over": taken_over,
            "unmoved": unmoved,
            "moved_from": moved_from,
            "move_failures": move_failures,
            "move_password": lambda secret: derive(str(secret), SITE, "move_password"),
            "kept_apps": kept_apps,
            "blocked_apps": blocked_apps,
            "kept_sites": kept_sites,
            "other_certificates": other_certificates,
            "taken_databases": taken_databases,
            "without_new_tls": without_new_tls,
        }
