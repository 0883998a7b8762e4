# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What differs between what the services of a host are to be given and what they were given last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.digests import Parts
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS

NGINX = "service_config.nginx"
POSTGRES = FACTS["postgres"].component
CERTIFICATES = "service_config.certificates"
FIREWALL = "service_config.firewall"
NAMES = {
    NGINX: "nginx",
    CERTIFICATES: "the certificate renewal",
    FIREWALL: "the firewall",
    **{
        component: " or ".join(facts.title for facts in FACTS.values() if facts.component == component)
        for component in {facts.component for facts in FACTS.values()} - {""}
    },
}

# Fields that records of earlier versions do not have, which say nothing of them.
LATER = {POSTGRES: {"limits.database_connections"}}
# The user's fields behind the certificate of a site.
CERTIFICATE = {"kind": "tls", "domains": "domains", "challenge": "tls.challenge", "chain": "tls.chain"}


def differing(
    wanted_here: Mapping[str, Parts], given: Mapping[str, Parts], sets: Iterable[str]
) -> dict[str, dict[str, list[str]]]:
    """The fields that differ from what was given, by app and component; none where the app was given nothing.

    Nothing is said of a component that a version has set up (``sets``) which did not write down what it gave.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for component, parts in wanted_here.items():
        if component not in given and component.partition(".")[2] in sets:
            continue
        before = given.get(component, {})
        for app, fields in parts.items():
            had = before.get(app, {})
            unknown = LATER.get(component, set()) - set(had)
            names = sorted(name for name in {*fields, *had} - unknown if fields.get(name) != had.get(name))
            if names or (not had and fields != before.get(app)):
                found.setdefault(app, {})[component] = names if had else []
    return found


def differing_certificates(
    wanted_here: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
    """The fields by which certificates differ from those that were given, by app; none where it was given none."""
    found = {}
    for app, site in wanted_here.items():
        had = given.get(app)
        names = [CERTIFICATE[key] for key, value in site.items() if had and had.get(key) != value]
        if names or not had:
            found[app] = names
    return found


def sentence(app: str, component: str, fields: Sequence[str], host: str) -> str:
    """What differs, as a sentence."""
    name = f"{NAMES[component]} on {host}"
    if not fields:
        return f"{name} has nothing for {app} yet"
    names = ", ".join(f"{app}.{field}" for field in fields)
    return f"{names} differ{'s' if len(fields) == 1 else ''} from what {name} was given"
