# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of the roles beside the apps: whatever becomes part of a configuration file.

Ansible checks types when a role begins, which is after the roles before it have changed the host. It does not check
the content of a text. This is for the preflight, and for a role that is used alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.module_utils.validation.roles import (
    backup,
    certificates,
    host,
    nginx,
    postgres,
    python,
    rabbitmq,
    supervisord,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Field, Problems

# Variables of users by name. Instances of Redis and Memcached have a check of their own (engines/instances.py).
INPUTS: dict[str, Field] = {
    **backup.INPUTS,
    **certificates.INPUTS,
    **host.INPUTS,
    **nginx.INPUTS,
    **postgres.INPUTS,
    **python.INPUTS,
    **rabbitmq.INPUTS,
    **supervisord.INPUTS,
}


DNS_NEEDS = (
    "dns-01 needs certificates_dns_server, which takes dynamic updates, or certificates_dns_auth_hook, a command that "
    "sets the TXT record"
)


class InputError(ValueError):
    """An input of a role that cannot work; the message names it."""


def accepted(value: Any, name: str) -> Any:
    """``value``, as it is; raises for what a configuration cannot hold."""
    problems = malformed({name: value})
    if problems:
        raise InputError("\n".join(problems))
    return value


def problems_of(variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with those of the variables that are inputs of roles, each by itself and together."""
    return [*malformed(variables), *proofs_by_dns(variables)]


def malformed(variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with each of the variables, whatever the others are."""
    problems = Problems()
    for name, field in INPUTS.items():
        if name in variables and variables[name] is not None:
            field.check(variables[name], name, problems)
    return problems


def proofs_by_dns(variables: Mapping[str, Any]) -> list[str]:
    """What the challenge dns-01 lacks, or has too much of."""
    found = []
    server, hook = (variables.get(f"certificates_dns_{name}") for name in ("server", "auth_hook"))
    if server and hook:
        found.append(
            "certificates_dns_auth_hook: is not used with certificates_dns_server; set one of the two"
        )
    for name in ("certificates_dns_key_name", "certificates_dns_key_secret") if server else ():
        if not variables.get(name):
            found.append(f"certificates_dns_server: needs {name}, as it takes only what is signed")
    sites = variables.get("certificates_sites")
    for name, site in sites.items() if isinstance(sites, Mapping) else ():
        challenge = site.get("challenge") if isinstance(site, Mapping) else None
        if challenge == "dns-01" and not (server or hook):
            found.append(f"certificates_sites.{printable(name)}.challenge: {DNS_NEEDS}")
    return found
