# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Checks everything that can be known on the controller, before any host is touched."""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentTypeError, ArgumentValueError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.homeport.django.plugins.filter.apps import SERVED, plain
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.services import broker_engine, cache_engine
from ansible_collections.homeport.django.plugins.module_utils.app.setups import SETUPS
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.engines.instances import (
    InstancesError,
    memcached_instances,
    redis_instances,
)
from ansible_collections.homeport.django.plugins.module_utils.validation import sandboxed
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import (
    DNS_NEEDS,
    problems_of,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import unwritable
from ansible_collections.homeport.django.plugins.module_utils.wiring.backup import (
    SHORTEST,
    BackupError,
    checked,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.host import host_problems
from ansible_collections.homeport.django.plugins.module_utils.wiring.pgbackrest import settings_of
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import host_address
from ansible_collections.homeport.django.plugins.plugin_utils.command_line import (
    REMOVED_IN,
    deprecations,
    left_out,
    no_inventory,
    unread,
)
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

try:  # where a value stands: ansible-core 2.19 and later know
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None


class ActionModule(ActionBase):
    """Arguments: setup, base, deploys and several_apps. Everything else is read from the variables of the inventory."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        base = str(self._task.args.get("base") or task_vars.get("inventory_dir") or os.getcwd())
        for message in deprecations(load_extra_vars(self._loader)):
            self._display.deprecated(message, version=REMOVED_IN, collection_name="homeport.django")
        told = unread_variables(task_vars, base)
        if str(task_vars.get("restart", "later")) not in ("now", "later"):
            told.append("restart: is now or later (-e restart=now)")
        told += self._limited(task_vars)
        if boolean(self._task.args.get("definitions", True)):
            told += self._definitions(task_vars, base)
        if told:
            lines = [f"- {problem}" for problem in told]
            count = "1 problem" if len(told) == 1 else f"{len(told)} problems"
            text = "\n".join([f"{count} found before anything was changed on any host:", *lines])
            result.update(failed=True, msg=text)
        return result

    def _limited(self, task_vars: dict[str, Any]) -> list[str]:
        """Refuses what --limit would make a run do nothing of; of a run that does a part the rest is named."""
        if not context.CLIARGS.get("subset") or boolean(self._task.args.get("reads", False)):
            return []
        groups, hosts = task_vars.get("groups") or {}, task_vars.get("ansible_play_hosts_all") or []
        needs = self._task.args.get("needs") or []
        if needs:
            found = left_out(groups, hosts, needs)
            return [f"--limit: leaves out {name}, without which there is nothing to do" for name in found]
        for name in left_out(groups, hosts, SERVED):
            what = (
                "no app is deployed, and none is asked for its pages"
                if "app_servers" in name
                else ("what the apps need there is as it was")
            )
            self._display.warning(f"--limit leaves out {name}: {what}")
        return []

    def _definitions(self, task_vars: dict[str, Any], base: str) -> list[str]:
        """What is wrong with the apps and what they need, with the place."""
        setup = str(self._task.args.get("setup", "site"))
        reads = boolean(self._task.args.get("reads", False))
        values = {
            name: plain(self._templar.template(task_vars[name])) if name in task_vars else None
            for name in ("django_apps", "vault_django_apps", "homeport_secret", "homeport_secret_previous")
        }
        problems: list[str] = []
        told: list[str] = []  # with the place
        if values["django_apps"] is None:
            nowhere = no_inventory(task_vars.get("groups") or {}, "app_servers")
            if nowhere:
                return [nowhere]
            values["django_apps"] = {}
            problems.append(
                "django_apps: is not set; describe your apps in group_vars/all/apps.yml beside the inventory"
            )
        apps, vault, secret = (
            values["django_apps"],
            values["vault_django_apps"] or {},
            values["homeport_secret"],
        )
        previous = () if values["homeport_secret_previous"] is None else values["homeport_secret_previous"]
        # whatever the servers have, on the operator's machine it is SQLite and runserver
        problems += check(apps, vault, secret, "site" if setup == "local" else setup, previous)
        if setup != "local" and not reads:
            groups = task_vars.get("groups", {})
            problems += topology(apps, vault, groups, setup)
            problems += exposed(groups, task_vars.get("hostvars", {}))
            problems += nameless(groups, task_vars.get("hostvars", {}))
            settings = {
                name: str(plain(self._templar.template(task_vars.get(name, ""))) or "")
                for name in ("certificates_email", "certificates_dns_server", "certificates_dns_auth_hook")
            }
            problems += certificates(apps, settings, groups, setup)
            told += inputs(task_vars, self._templar, apps)
        deploys = boolean(self._task.args.get("deploys", True)) and not reads
        if deploys:
            problems += local_sources(apps, base)
            problems += shell_syntax(apps)
            problems += own_certificates(apps, vault, base)
        if deploys or reads:
            chosen = plain(self._templar.template(task_vars.get("app")))
            problems += unknown_apps(chosen, apps, boolean(self._task.args.get("several_apps", False)))
        for path in exposed_secrets(task_vars):
            self._display.warning(
                f"{path} holds secrets in plain text, and git would take it: ansible-vault encrypt {path}"
            )
        return [f"{problem}{place(problem, task_vars)}" for problem in problems] + told


# What runs on a host that the inventory names for it.
ENGINES = ("postgres", "redis", "valkey", "memcached", "rabbitmq")


def topology(apps: Any, vault: Any, groups: Mapping[str, Any], setup: str) -> list[str]:
    """What the apps need that the inventory has no host for."""
    problems = []
    if not groups.get("app_servers"):
        problems.append(
            "inventory: the group app_servers has no host; name there the hosts that run the apps"
        )
    if setup not in SETUPS or not isinstance(apps, Mapping):
        return problems
    shape = SETUPS[setup]
    for name, app in apps.items():
        if not isinstance(app, Mapping):
            continue
        secrets = vault.get(name) if isinstance(vault, Mapping) else None
        plain_app = {key: _long(app.get(key)) for key in ("database", "cache", "broker", "media")}
        processes = app.get("processes")
        plain_app["processes"] = processes if isinstance(processes, Mapping) else {}
        known = secrets if isinstance(secrets, Mapping) else {}
        database = plain_app["database"].get("engine", shape.databases[0])
        elsewhere = "url" in plain_app["database"] or "database_url" in known
        wanted = {
            "database": ("database_servers", "" if elsewhere or database != "postgres" else database),
            "cache": ("cache_servers", cache_engine(plain_app, known, shape)),
            "broker": ("broker_servers", broker_engine(plain_app, known, shape)),
        }
        sqlite = database == "sqlite" and not elsewhere
        problems += divided(name, len(groups.get("app_servers") or []), plain_app["media"], sqlite)
        for service, (group, engine) in wanted.items():
            if "url" in plain_app[service] or f"{service}_url" in known or engine not in ENGINES:
                continue
            if not groups.get(group):
                problems.append(
                    f"django_apps.{name}.{service}: is {engine}, but the inventory's group {group} has no host; "
                    f"name one there (it may be the app's own), or set the app's {service}.url"
                )
            elif engine == "memcached" and groups.get("app_servers") != groups[group][:1]:
                problems.append(
                    f"django_apps.{name}.cache: memcached is reached through a socket on the host that the app runs "
                    "on, so that app_servers and cache_servers must be one and the same host; use redis or valkey"
                )
    return problems


def divided(name: Any, servers: int, media: Mapping[str, Any], sqlite: bool) -> list[str]:
    """What each of several app servers would keep for itself."""
    problems = []
    if servers > 1 and media.get("kind", "local") == "local" and media.get("shared") is not True:
        problems.append(
            f"django_apps.{name}.media: is local, so that an upload is on one of the {servers} app servers alone; keep "
            "uploads in object storage and set media: none, or mount one network file system at "
            f"/srv/{name}/shared/media on all of them and set media.shared: true"
        )
    if servers > 1 and sqlite:
        problems.append(
            f"django_apps.{name}.database: is sqlite, so that each of the {servers} app servers has a database of its "
            "own; use postgres, or one app server"
        )
    return problems


def inputs(variables: Mapping[str, Any], templar: Any = None, apps: Any = None) -> list[str]:
    """What is wrong with the variables of the roles on any of the hosts of the play, and with the apps by these; each
    problem once."""
    hosts: Any = variables.get("hostvars") or {}
    found: dict[str, None] = {}
    for host in variables.get("ansible_play_hosts_all") or []:
        known = {name: known_value(hosts[host], name) for name in hosts[host] if name.startswith(ROLES)}
        left = [
            name for name, value in known.items() if templar and (value is None or templar.is_template(value))
        ]
        if left:  # made from other hosts' variables: before ansible-core 2.19 they are still templates
            whole = {**hosts.raw_get(host), "hostvars": hosts}
            known.update({name: known_value(Templated(templar, whole), name) for name in left})
        problems = [*problems_of(known), *host_problems(known), *instances(known), *archives(known)]
        problems += sandboxed.problems(apps, known)
        told = {re.split(r"[.:\[]", problem, maxsplit=1)[0] for problem in problems}
        problems += other_types({name: value for name, value in known.items() if name not in told})
        for problem in problems:
            found[f"{problem}{place(problem, hosts[host])}"] = None
    return list(found)


TYPES = {
    "bool": "true or false",
    "dict": "a dictionary",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "a text",
}


def other_types(known: Mapping[str, Any]) -> list[str]:
    """Inputs of roles that are of other types than their argument specs say. A role looks at them itself only where it
    is used alone."""
    problems = []
    for role in sorted(path.parents[1].name for path in ROLES_FOLDER.glob("*/meta/argument_specs.yml")):
        given = [name for name in known if name.startswith(f"{role}_") and known[name] is not None]
        spec = argument_spec(role) if given else {}
        for name in given:
            problems += other_type(name, spec[name], known[name], role) if name in spec else []
    return problems


def other_type(name: str, spec: dict[str, Any], value: Any, role: str) -> list[str]:
    """What Ansible has against a value, without the value."""
    told = []
    for error in ArgumentSpecValidator({name: spec}).validate({name: value}).errors.errors:
        if isinstance(error, ArgumentTypeError):
            told.append(f"{name}: must be {TYPES[spec.get('type', 'str')]}")
        elif isinstance(error, ArgumentValueError) and "choices" in spec:
            told.append(f"{name}: must be one of {', '.join(map(str, spec['choices']))}")
        else:
            told.append(f"{name}: has an entry that is not as roles/{role}/README.md describes it")
    return told[:1]


def argument_spec(role: str) -> dict[str, Any]:
    text = (ROLES_FOLDER / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    spec: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"].get("options", {})
    return spec


ROLES_FOLDER = Path(__file__).parents[2] / "roles"
ROLES = tuple(f"{path.name}_" for path in sorted(ROLES_FOLDER.iterdir()) if path.is_dir())


class Templated(dict[str, Any]):
    """The variables of one host, who knows all others."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        super().__init__(variables)
        self.templar = templar.copy_with_new_env(available_variables=dict(variables))

    def __getitem__(self, name: str) -> Any:
        return self.templar.template(super().__getitem__(name))


def known_value(variables: Mapping[str, Any], name: str) -> Any:
    """A variable of a host; nothing where it is made from what is known only later, such as facts."""
    try:
        return plain(variables[name])
    except AnsibleError:
        return None


def instances(known: Mapping[str, Any]) -> list[str]:
    """What is wrong with instances of Redis, Valkey and Memcached beside those of the apps."""
    problems = []
    for name, check_instances in (
        ("redis_instances", lambda declared: redis_instances(declared, {})),
        ("memcached_instances", memcached_instances),
    ):
        declared = known.get(name)
        if not isinstance(declared, list) or not all(isinstance(one, dict) for one in declared):
            problems += [f"{name}: must be a list of dictionaries"] if declared is not None else []
            continue
        try:
            check_instances(declared)
        except InstancesError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
    return problems


def archives(known: Mapping[str, Any]) -> list[str]:
    """What is wrong with where backups go, where there are any."""
    problems: list[str] = []
    for role, names, check_values in (
        ("backup", {"drill_percent": "drill_percent"}, checked),
        ("pgbackrest", {"timeout": "archive_timeout"}, settings_of),
    ):
        if not known.get(f"{role}_repository"):
            continue
        values = {name: known.get(f"{role}_{name}", value) for name, value in defaults(role).items()}
        values.update({name: values[long] for name, long in names.items()})
        # the one that is used then is derived
        values["password"] = values["password"] or "x" * SHORTEST
        values["passwords"] = [values["password"], *values.get("previous_passwords", [])]
        try:
            check_values(values)
        except BackupError as error:
            problems.append(str(error))
        except (TypeError, ValueError, AttributeError):
            own = {name: value for name, value in known.items() if name.startswith(f"{role}_")}
            problems += other_types(own) or [
                f"{role}_repository: its variables are of other types than the role {role} takes"
            ]
    return problems


def defaults(role: str) -> dict[str, Any]:
    """The defaults of a role, by names without the role's."""
    found = yaml.safe_load((ROLES_FOLDER / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    return {name[len(role) + 1 :]: value for name, value in found.items()}


def certificates(apps: Any, settings: Mapping[str, str], groups: Mapping[str, Any], setup: str) -> list[str]:
    """What stands in the way of certificates from an authority."""
    problems: list[str] = []
    email = settings["certificates_email"]
    if setup not in SETUPS or not isinstance(apps, Mapping):
        return problems
    if not SETUPS[setup].proxy:
        if email:
            problems.append(
                "certificates_email: the simple setup has no nginx and no HTTPS; run typical.yml, or leave this out "
                "and let something in front of the host speak HTTPS (tls: proxy)"
            )
        return problems
    for name, app in apps.items():
        given = app.get("tls", {}) if isinstance(app, Mapping) else {}
        tls = given if isinstance(given, Mapping) else {"certificate": given}
        if tls.get("certificate", "acme" if email else "none") != "acme":
            continue
        path = f"django_apps.{name}.tls"
        if not email:
            problems.append(
                f"{path}: an authority wants to know whom to tell when something is wrong; set certificates_email"
            )
        if tls.get("challenge") == "dns-01":
            if not (settings["certificates_dns_server"] or settings["certificates_dns_auth_hook"]):
                problems.append(f"{path}.challenge: {DNS_NEEDS}")
        elif len(groups.get("app_servers") or []) > 1:
            problems.append(
                f"{path}: the authority would ask any one of the {len(groups['app_servers'])} app servers for the "
                "proof that another one has; use challenge: dns-01 or an own certificate, or tls: proxy where what "
                "is in front of them speaks HTTPS"
            )
    return problems


def own_certificates(apps: Any, vault: Any, base: str) -> list[str]:
    """Own certificates that cannot be read, that do not fit, or that are over."""
    problems = []
    for name, app in apps.items() if isinstance(apps, Mapping) else []:
        tls = app.get("tls") if isinstance(app, Mapping) else None
        chain = tls.get("chain") if isinstance(tls, Mapping) else None
        secrets = vault.get(name) if isinstance(vault, Mapping) else None
        key = secrets.get("tls_key") if isinstance(secrets, Mapping) else None
        if not isinstance(chain, str):
            continue
        path = f"django_apps.{name}.tls.chain"
        try:
            with open(absolute(base, chain), "rb") as stream:
                text = stream.read()
        except OSError as error:
            reason = "there is no file" if isinstance(error, FileNotFoundError) else "cannot be read:"
            problems.append(f"{path}: {reason} {shown(chain)} (relative to {base})")
            continue
        except ValueError:  # no path; the schema has said so
            continue
        domains = [*_texts(app.get("domains")), *_texts(app.get("aliases"))]
        problems += unfit(path, f"vault_django_apps.{name}.tls_key", text, key, domains)
    return problems


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [str(item) for item in values if isinstance(item, str)]


def unfit(path: str, key_path: str, chain: bytes, key: Any, domains: list[str]) -> list[str]:
    """What is wrong with a certificate (PEM, its chain after it) for some domains, and with its private key."""
    try:
        found = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        return [f"{path}: is not a certificate in PEM"]
    problems = []
    if found.not_valid_after_utc < datetime.datetime.now(datetime.timezone.utc):
        problems.append(f"{path}: the certificate is over since {found.not_valid_after_utc:%Y-%m-%d}")
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = set(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        known = set()
    missing = [
        domain for domain in domains if domain not in known and f"*.{domain.partition('.')[2]}" not in known
    ]
    if missing:
        problems.append(f"{path}: the certificate is not for {', '.join(missing)}")
    if isinstance(key, str):
        try:
            private = serialization.load_pem_private_key(key.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return [*problems, f"{key_path}: is not a private key in PEM, without a passphrase"]
        shape = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        if private.public_key().public_bytes(*shape) != found.public_key().public_bytes(*shape):
            problems.append(f"{key_path}: is not the private key of the certificate in {path}")
    return problems


def exposed(groups: Mapping[str, Any], hosts: Mapping[str, Any]) -> list[str]:
    """Caches and brokers that other hosts reach under a public address: what passes there is not encrypted."""
    problems = []
    for group in ("cache_servers", "broker_servers"):
        for host in list(groups.get(group) or [])[:1]:
            address = host_address(hosts.get(host) or {"inventory_hostname": host})
            if [other for other in groups.get("app_servers") or [] if other != host] and _is_public(address):
                problems.append(
                    f"inventory: {host} of the group {group} is known to the app servers by a public address; set "
                    "its homeport_address to one in a private network, or put it on the apps' own host"
                )
    return problems


def nameless(groups: Mapping[str, Any], hosts: Mapping[str, Any]) -> list[str]:
    """Hosts that others reach by a name: PostgreSQL, Redis and RabbitMQ are told addresses."""
    servers = list(groups.get("app_servers") or [])
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
        if not _is_address(host_address(hosts.get(host) or {"inventory_hostname": host}))
    ]


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _long(value: Any) -> Mapping[str, Any]:
    """A service that may be given by its engine alone, or media by their kind."""
    return (
        value
        if isinstance(value, Mapping)
        else {"engine": value, "kind": value}
        if isinstance(value, str)
        else {}
    )


def absolute(base: str, path: str) -> str:
    # what cannot be a path leads nowhere, wherever it would be looked for
    return os.path.normpath(os.path.join(base, path if unwritable(path) else os.path.expanduser(path)))


def local_sources(apps: Any, base: str) -> list[str]:
    """Sources and templates on the controller that are not there."""
    problems = []
    for name, app in apps.items() if isinstance(apps, Mapping) else []:
        source = app.get("source") if isinstance(app, Mapping) else None
        files = app.get("files") if isinstance(app, Mapping) else None
        if isinstance(source, Mapping):
            path = source.get("path")
            if isinstance(path, str) and not os.path.isdir(absolute(base, path)):
                problems.append(
                    f"django_apps.{name}.source.path: there is no folder {shown(path)} (relative to {base})"
                )
            archive = source.get("archive")
            remote = isinstance(archive, str) and archive.startswith(("http://", "https://"))
            if isinstance(archive, str) and not remote and not os.path.isfile(absolute(base, archive)):
                problems.append(
                    f"django_apps.{name}.source.archive: there is no file {shown(archive)} (relative to {base})"
                )
        for target, file in files.items() if isinstance(files, Mapping) else []:
            template = file.get("template") if isinstance(file, Mapping) else None
            if isinstance(template, str) and not os.path.isfile(absolute(base, template)):
                problems.append(
                    f"django_apps.{name}.files.{target}: there is no template {shown(template)} (relative to {base})"
                )
        problems += maintenance_page(name, app, base) if isinstance(app, Mapping) else []
    return problems


def maintenance_page(name: Any, app: Mapping[Any, Any], base: str) -> list[str]:
    """A page for visitors of a closed app that cannot be read."""
    given = app.get("maintenance")
    page = given.get("page") if isinstance(given, Mapping) else given
    if not isinstance(page, str):
        return []
    path = f"django_apps.{name}.maintenance.page"
    try:
        with open(absolute(base, page), encoding="utf-8") as stream:
            return [] if stream.read().strip() else [f"{path}: the file {shown(page)} is empty"]
    except (FileNotFoundError, NotADirectoryError):
        return [f"{path}: there is no file {shown(page)} (relative to {base})"]
    except OSError as error:
        return [f"{path}: {shown(page)} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return [f"{path}: {shown(page)} is not text in UTF-8"]
    except ValueError:  # no path; the schema has said so
        return []


def shown(path: str) -> str:
    """A path of the controller as it may stand in a message."""
    text = "".join(char if char.isprintable() else "?" for char in path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"


def shell_commands(app: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """The commands of an app, each with the field that it stands in."""

    def within(value: Any) -> list[tuple[Any, Any]]:
        return list(value.items()) if isinstance(value, Mapping) else []

    found = [
        ("build", app.get("build")),
        *((f"hooks.{key}", value) for key, value in within(app.get("hooks"))),
    ]
    for field in ("processes", "schedules"):
        for key, value in within(app.get(field)):
            command = value.get("command") if isinstance(value, Mapping) else value
            found.append((f"{field}.{key}{'.command' if isinstance(value, Mapping) else ''}", command))
    notify = app.get("notify")
    found.append(("notify.command", notify.get("command") if isinstance(notify, Mapping) else notify))
    commands = []
    for path, value in found:
        many = isinstance(value, (list, tuple))
        for number, command in enumerate(value if many else [value]):
            if isinstance(command, str) and not unwritable(command):
                commands.append((f"{path}[{number}]" if many else path, command))
    return commands


def shell_syntax(apps: Any) -> list[str]:
    """Commands that a shell gives up on before it has run anything."""
    problems = []
    for name, app in apps.items() if isinstance(apps, Mapping) else []:
        for path, command in shell_commands(app) if isinstance(app, Mapping) else []:
            # what it says of the error may quote the command
            if subprocess.run(
                ["sh", "-n"], input=command.encode(), capture_output=True, check=False
            ).returncode:
                problems.append(
                    f"django_apps.{name}.{path}: is nothing that a shell can read: a quote or a bracket is missing, or "
                    "is one too many (sh -n)"
                )
    return problems


def unread_variables(variables: Mapping[str, Any], base: str) -> list[str]:
    """Variables that were typed after -e and do nothing."""
    hosts: Any = variables.get("hostvars") or {}
    known = [hosts.raw_get(host) for host in hosts]
    return unread(known, [str(variables.get("inventory_dir") or base), base], ROLES)


def unknown_apps(chosen: Any, apps: Any, several: bool) -> list[str]:
    """What is wrong with the apps that `-e app=` names."""
    if chosen is None or not isinstance(apps, Mapping):
        return []
    known = [str(name) for name in apps]
    if not several:
        names = [chosen]
    elif isinstance(chosen, str):
        names = [] if chosen == "all" else [name.strip() for name in chosen.split(",")]
    elif isinstance(chosen, (list, tuple)) and chosen:
        names = list(chosen)
    else:
        return ["app: must be the name of an app, several with commas between them, or all"]
    return [
        f"app: there is no {printable(name)} in django_apps{closest(str(name), known)}"
        for name in names
        if name not in known
    ]


def exposed_secrets(variables: Mapping[str, Any]) -> list[str]:
    """Files with secrets in plain text that are in git, or would be with the next `git add .`."""
    if Origin is None:
        return []
    found = []
    for name in ("homeport_secret", "homeport_secret_previous", "vault_django_apps"):
        value = variables.get(name)
        origin = Origin.get_tag(value)
        # one that is encrypted by itself is no string yet, and one that is a template stands somewhere else
        plain_text = (isinstance(value, str) and "{{" not in value) or (
            isinstance(value, (Mapping, list)) and value
        )
        if plain_text and origin and origin.path and origin.path not in found and is_for_git(origin.path):
            found.append(origin.path)
    return found


def is_for_git(path: str) -> bool:
    """Whether a file is not encrypted, in a work tree of git, and not ignored there."""
    try:
        with open(path, "rb") as stream:
            if stream.read(14) == b"$ANSIBLE_VAULT":
                return False
        words = ["git", "-C", os.path.dirname(path), "check-ignore", "--quiet", path]
        return subprocess.run(words, capture_output=True, check=False).returncode == 1
    except OSError:  # no such file, or no git
        return False


def place(problem: str, variables: Mapping[str, Any]) -> str:
    """Where the value that a problem names stands in the user's files, as far as that is known."""
    if Origin is None:
        return ""
    path = problem.split(": ", 1)[0]
    found = None
    value: Any = variables
    for word in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(word)] if isinstance(value, (list, tuple)) else value[word]
        except (KeyError, IndexError, TypeError, ValueError):
            for key in value if isinstance(value, Mapping) else []:
                if str(key) == word.strip("'"):
                    found = Origin.get_tag(key) or found
            break
        found = Origin.get_tag(value) or found
    if not found or not found.path:
        return ""
    line = f", line {found.line_num}" if found.line_num else ""
    return f"\n  in {found.path}{line}"
