# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of the roles beside the apps: whatever becomes part of a configuration file.

Ansible checks types when a role begins, which is after the roles before it have changed the host. It does not check
the content of a text. This is for the preflight, and for a role that is used alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.module_utils.validation.roles import (
    apps,
    backup,
    certificates,
    host,
    instances,
    nginx,
    postgres,
    python,
    rabbitmq,
    redis,
    supervisord,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Field, Problems

# Variables of users by name.
INPUTS: dict[str, Field] = {
    **backup.INPUTS,
    **certificates.INPUTS,
    **host.INPUTS,
    **instances.INPUTS,
    **nginx.INPUTS,
    **postgres.INPUTS,
    **python.INPUTS,
    **rabbitmq.INPUTS,
    **redis.INPUTS,
    **supervisord.INPUTS,
}
# The same that the playbooks set, and users of a role alone.
WIRED: dict[str, Field] = apps.INPUTS

DNS_NEEDS = (
    "dns-01 needs certificates_dns_server, which takes dynamic updates, or certificates_dns_auth_hook, a command that "
    "sets the TXT record"
)


class InputError(ValueError):
    """Inputs of a role that cannot work; each problem names its variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parsed(value: Any, name: str) -> Any:
    """``value`` with its defaults and in its types; raises for what a configuration cannot hold."""
    problems = Problems()
    found = {**INPUTS, **WIRED}[name].check(value, name, problems)
    if problems:
        raise InputError(problems)
    return found


def parsed_role(role: str, values: Mapping[str, Any], required: Collection[str] = ()) -> dict[str, Any]:
    """The inputs of a role, by names without the role's, in their types; raises for all that cannot work."""
    given = {f"{role}_{name}": value for name, value in values.items()}
    problems = problems_of(given)
    problems += [
        f"{role}_{name}: is required: {INPUTS[f'{role}_{name}'].doc}" for name in required if not values[name]
    ]
    if problems:
        raise InputError(problems)
    return {name: INPUTS[f"{role}_{name}"].check(value, name, Problems()) for name, value in values.items()}


def accepted(value: Any, name: str) -> Any:
    """``value``, as it is; raises for what a configuration cannot hold."""
    parsed(value, name)
    return value


def problems_of(variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with those of the variables that are inputs of roles, each by itself and together."""
    return [
        *malformed(variables),
        *proofs_by_dns(variables),
        *keys_of_certificates(variables),
        *backup.missing_keys(variables),
    ]


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


def keys_of_certificates(variables: Mapping[str, Any]) -> list[str]:
    """Certificates of one's own whose private key is nowhere."""
    sites, keys = (variables.get(f"certificates_{name}") or {} for name in ("sites", "private_keys"))
    if not (isinstance(sites, Mapping) and isinstance(keys, Mapping)):
        return []
    return [
        f"certificates_private_keys: has no key for the certificate of certificates_sites.{printable(name)}"
        for name, site in sites.items()
        if isinstance(site, Mapping) and site.get("kind") == "own" and name not in keys
    ]
