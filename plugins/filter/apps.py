# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The filters that the playbooks wire the roles with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.module_utils.app import connections
from ansible_collections.homeport.django.plugins.module_utils.app.check import AppsError
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve as resolve_apps
from ansible_collections.homeport.django.plugins.module_utils.app.services import (
    unavailable as unavailable_services,
)
from ansible_collections.homeport.django.plugins.module_utils.common import rotation
from ansible_collections.homeport.django.plugins.module_utils.common.names import nginx_name
from ansible_collections.homeport.django.plugins.module_utils.common.undeclared import undeclared_lines
from ansible_collections.homeport.django.plugins.module_utils.validation import role_inputs
from ansible_collections.homeport.django.plugins.module_utils.wiring import audit as audit_wiring
from ansible_collections.homeport.django.plugins.module_utils.wiring import declared as declarations
from ansible_collections.homeport.django.plugins.module_utils.wiring.budget import budget
from ansible_collections.homeport.django.plugins.module_utils.wiring.certificates import (
    certificate_keys,
    certificate_sites,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import (
    app_accounts,
    app_files,
    maintenance_files,
    schedule_units,
    system_packages,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.extension_packages import (
    extension_packages,
    extension_problems,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import (
    gunicorn_apps,
    python_literal,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.local import local_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.memcached import memcached_app_instances
from ansible_collections.homeport.django.plugins.module_utils.wiring.nginx import nginx_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_clients,
    postgres_databases,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.python import python_versions
from ansible_collections.homeport.django.plugins.module_utils.wiring.queues import queue_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.rabbitmq import rabbitmq_app_vhosts
from ansible_collections.homeport.django.plugins.module_utils.wiring.redis import redis_app_instances
from ansible_collections.homeport.django.plugins.module_utils.wiring.release import (
    notifications,
    release_secrets,
    release_specs,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import chosen_apps, host_address
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import supervisord_programs
from ansible_collections.homeport.django.plugins.module_utils.wiring.visits import visits
from ansible_collections.homeport.django.plugins.module_utils.wiring.whitenoise import whitenoise_apps
from ansible_collections.homeport.django.plugins.plugin_utils.command_line import left_by_limit, no_inventory


def plain(value: Any) -> Any:
    """Ansible's lazy containers and texts, as ordinary ones."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    # a value that is encrypted by itself, before ansible-core 2.19
    return str(value) if getattr(value, "__ENCRYPTED__", False) else value


def resolve(
    apps: Any,
    vault: Any = None,
    secret: Any = "",
    setup: str = "site",
    host: Any = None,
    previous: Any = (),
) -> dict[str, Any]:
    """Every app with every default filled in."""
    try:
        return resolve_apps(
            plain(apps), plain(vault or {}), secret, setup, plain(host or {}), plain(previous)
        )
    except AppsError as error:
        raise AnsibleFilterError(
            "django_apps is invalid:\n" + "\n".join(f"- {line}" for line in error.problems)
        ) from error


def without(mapping: Any, *keys: str) -> dict[str, Any]:
    """A dictionary without some of its keys."""
    return {key: value for key, value in mapping.items() if key not in keys}


def memory_budget(apps: Any, memory_mb: Any, services: Any) -> dict[str, Any]:
    """Whether what a host is to run has room in its memory: verdict (ok, tight or over) and a table."""
    found = budget(apps, int(memory_mb), services)
    return {"verdict": found.verdict, "table": found.table()}


def connection_problems(
    apps: Any, everywhere: Any, hosts: Any, worker_hosts: Any, most: Any, running: Any = 0
) -> list[str]:
    """Limits of PostgreSQL's connections that are too small for what the apps can open."""
    numbers = [int(number) for number in (hosts, worker_hosts, most, running)]
    return connections.connection_problems(apps, everywhere, *numbers)


def unavailable(apps: Any, services: Any, facts: Any) -> list[str]:
    """What a host is to serve that its distribution does not have."""
    return unavailable_services(apps, services, facts)


def audit_sites(apps: Any, own: Any = None, certificates: Any = None) -> dict[str, dict[str, Any]]:
    """What an audit asks from outside: the sites of the apps, and those of the roles' own variables."""
    return audit_wiring.audit_sites(apps, plain(own or {}), plain(certificates or {}))


def declared(apps: Any, host: Any) -> dict[str, Any]:
    """What is declared of all that a host may have."""
    return declarations.declared(plain(apps), plain(host))


def undeclared(facts: Any, wanted: Any, setup: Any) -> list[str]:
    """What a host has that is not declared any more, and what a run makes of it: a line for each."""
    return [line["text"] for line in undeclared_lines(plain(facts), plain(wanted), "this run", str(setup))]


def failed_apps(hosts: Any, hostvars: Any) -> dict[str, str]:
    """Apps that failed on any of the hosts of a deploy, with the reason: they go live on none of them. On a host that
    is lost meanwhile all of them have failed that were waiting there."""
    steps = ("__django_app_built", "__django_app_migrated", "__django_app_live")
    known = {host: hostvars[host] for host in hosts}
    answers = {host: [here[step] for step in steps if step in here] for host, here in known.items()}
    handled = {name for each in answers.values() for answer in each for name in waiting(answer)}
    found: dict[str, str] = {}
    for host, each in answers.items():
        for answer in each:
            failed = dict(answer.get("failed_apps") or {})
            if not failed and (answer.get("unreachable") or answer.get("failed")):
                reason = "was unreachable" if answer.get("unreachable") else answer.get("msg", "failed")
                failed = dict.fromkeys(sorted(waiting(each[0]) if "pending" in each[0] else handled), reason)
            for name, message in failed.items():
                found.setdefault(str(name), f"{host}: {message}" if len(hosts) > 1 else str(message))
    return found


def waiting(answer: Any) -> list[str]:
    """Apps that a step of a host's deploy goes on with, or has ended with."""
    return [str(name) for name in [*(answer.get("pending") or []), *(answer.get("outcomes") or {})]]


def withdrawn_apps(live: Any, failed: Any) -> list[str]:
    """Apps that have gone live on a host in this run and failed on another, where there is a way back."""
    return [
        str(name)
        for name, found in (live.get("outcomes") or {}).items()
        if name in failed and found["outcome"] == "live" and found["before"] not in ("", found["release"])
    ]


def accepted(value: Any, name: str) -> Any:
    """The value of a role's input, which is refused where a configuration file could not hold it."""
    try:
        return role_inputs.accepted(plain(value), name)
    except role_inputs.InputError as error:
        raise AnsibleFilterError(str(error)) from error


def parsed(value: Any, name: str) -> Any:
    """The same with its defaults, and in the types of its fields."""
    try:
        return role_inputs.parsed(plain(value), name)
    except role_inputs.InputError as error:
        raise AnsibleFilterError(str(error)) from error


def postgres_value(value: Any) -> str:
    """A value as postgresql.conf has it, in quotes."""
    text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
    for char, written in (("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, written)
    return f"'{text}'"


def renamed_apps(apps: Any) -> list[dict[str, Any]]:
    """Each earlier name of the apps, with their databases on the database server, and what these were called."""
    found = []
    for name, app in apps.items():
        names = [database["name"] for database in postgres_databases({name: app})]
        own, further = next(iter(names), ""), names[1:]
        for was in app["was"]:
            before = was if own == name else own
            called = {
                each: before + each[len(own) :] if each.startswith(f"{own}_") else each for each in further
            }
            found.append({"name": name, "was": was, "database": own, "further": called})
    return found


SERVED = ("app_servers", "worker_servers", "database_servers", "cache_servers", "broker_servers")


def hosts_of(groups: Any, *names: str, optional: bool = False) -> str:
    """The pattern of the hosts of those groups that the inventory has, by default of all that Homeport knows. The first
    must have a host, and --limit must leave one of them, unless the play is ``optional``.

    A play's hosts are found in Ansible's first process: what this imports there, no task imports anew. Ansible itself
    ends with status 0 where there are none.
    """
    wanted = names or SERVED
    problem = no_inventory(groups, wanted[0])
    if problem:
        raise AnsibleFilterError(problem)
    found = [name for name in wanted if name in groups]
    problem = "" if optional or not found else left_by_limit(groups, found)
    if problem:
        raise AnsibleFilterError(problem)
    return ":".join(found) or wanted[0]


class FilterModule:
    """Projections of resolved apps onto what each role understands."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "resolve": resolve,
            "postgres_databases": postgres_databases,
            "postgres_clients": postgres_clients,
            "redis_app_instances": redis_app_instances,
            "memcached_app_instances": memcached_app_instances,
            "rabbitmq_app_vhosts": rabbitmq_app_vhosts,
            "queue_apps": queue_apps,
            "python_literal": python_literal,
            "gunicorn_apps": gunicorn_apps,
            "whitenoise_apps": whitenoise_apps,
            "supervisord_programs": supervisord_programs,
            "nginx_sites": nginx_sites,
            "nginx_name": nginx_name,
            "certificate_sites": certificate_sites,
            "certificate_keys": certificate_keys,
            "without": without,
            "accepted": accepted,
            "parsed": parsed,
            "postgres_value": postgres_value,
            "failed_apps": failed_apps,
            "withdrawn_apps": withdrawn_apps,
            "declared": declared,
            "undeclared": undeclared,
            "revoked_passwords": rotation.revoked_passwords,
            "unavailable": unavailable,
            "extension_packages": extension_packages,
            "extension_problems": extension_problems,
            "memory_budget": memory_budget,
            "connection_problems": connection_problems,
            "notifications": notifications,
            "local_apps": local_apps,
            "release_specs": release_specs,
            "renamed_apps": renamed_apps,
            "release_secrets": release_secrets,
            "schedule_units": schedule_units,
            "status_apps": status_apps,
            "visits": visits,
            "audit_sites": audit_sites,
            "system_packages": system_packages,
            "python_versions": python_versions,
            "app_accounts": app_accounts,
            "app_files": app_files,
            "maintenance_files": maintenance_files,
            "chosen_apps": chosen_apps,
            "host_address": host_address,
            "hosts_of": hosts_of,
        }
