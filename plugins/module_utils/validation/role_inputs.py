# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of the roles beside the apps: whatever becomes part of a configuration file.

Ansible checks types when a role begins, which is after the roles before it have changed the host, and it does not
look at what a text holds. This is for the preflight, and for a role that is used alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.words import printable
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Scalar,
    Str,
    breaks_line,
    controls,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    HOST_NAME_HINT,
    SIZE,
    URL_PATH,
    URL_PATH_HINT,
    WEB_ADDRESS,
    WEB_ADDRESS_HINT,
    Address,
    Directives,
    tidied,
)

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
NAME_HINT = "use letters, digits, '_', '.' and '-', beginning with a letter or a digit"
# What can stand in a configuration without quotes, and is not made into something else there.
FOLDER = r"(?!.*//)(?!.*/\.{1,2}(/|$))(/[\w@+~.-]+)+"
FOLDER_HINT = "must be an absolute path of letters, digits and ._-@+~"
USER = r"[a-z_][a-z0-9_.-]{0,31}"
PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]"
KEY = r"\s*-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[^\0]*"
KEY_HINT = "must be a private key in PEM"
CERTIFICATES = r"\s*-----BEGIN CERTIFICATE-----[^\0]*-----END CERTIFICATE-----\s*"
BASE64 = r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
TSIG_HASHES = ("sha224", "sha256", "sha384", "sha512", "sha1", "md5")
EMAIL = r"[^@\s,]+@[^@\s,.]+(\.[^@\s,.]+)+"


# A regular expression that nginx reads as it is: some characters end a word, and some escapes stand for others.
UNQUOTED = r"~([^\s;{}\"'#$\\]|\\[^\sntr\"'\\])+\$?"


class ServerName(Str):
    """A name that nginx compares hosts with: a host name, one with a wildcard, or a regular expression."""

    def objection(self, value: str) -> str:
        if value.startswith("~"):
            return (
                ""
                if re.fullmatch(UNQUOTED, value)
                else "has what nginx would not take as it is without quotes"
            )
        if re.fullmatch(rf"_|(\*\.|\.)?{HOST_NAME}(\.\*)?", value):
            return ""
        return HOST_NAME_HINT


class Network(Str):
    """An IP address, or a network by any address in it."""

    def objection(self, value: str) -> str:
        try:
            ipaddress.ip_interface("" if "%" in value else value)
        except ValueError:
            return "must be an IP address, or a network such as 10.0.0.0/8"
        return ""


class IpAddress(Str):
    """An IP address; empty is none."""

    def objection(self, value: str) -> str:
        try:
            # an interface (fe80::1%eth0) has no name on the host
            good = not value or ("%" not in value and bool(ipaddress.ip_address(value)))
        except ValueError:
            good = False
        return "" if good else "must be an IP address"


class Password(Str):
    """A password of PostgreSQL; empty is none."""

    def objection(self, value: str) -> str:
        return (
            "has characters of which PostgreSQL's clients make others; use those of ASCII"
            if tidied(value)
            else ""
        )


class Plain(Scalar):
    """A value on one line, without what would be lost around it."""

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        before = len(problems)
        found = super().check(value, path, problems)
        if len(problems) == before:
            if breaks_line(found):
                problems.add(path, "must be a single line")
            elif controls(found):
                problems.add(path, "contains a control character")
            elif found != found.strip():
                problems.add(path, "begins or ends with a space, which would be lost")
            elif self.objection(found):
                problems.add(path, self.objection(found))
        return found

    def objection(self, value: str) -> str:
        return ""


class ProgramOption(Plain):
    """A value of supervisord's configuration."""

    def objection(self, value: str) -> str:
        if re.search(r"\s[;#]", value):
            return "has a ; or # after a space, where supervisord takes the rest for a comment"
        if "%" in re.sub(r"%%|%\([A-Za-z_]\w*\)[0-9]*[sd]", "", value):
            return "has a % that supervisord would expand; write %%"
        return ""


class RabbitSetting(Plain):
    """A value of rabbitmq.conf."""

    def objection(self, value: str) -> str:
        if "#" in value or value.startswith("'"):
            return "has a # or begins with ', which RabbitMQ's configuration cannot hold"
        return "is empty" if not value else ""


# fmt: off
PROGRAM_OPTIONS = (
    "section", "command", "process_name", "numprocs", "numprocs_start", "priority", "autostart", "startsecs",
    "startretries", "autorestart", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user",
    "redirect_stderr", "environment", "directory", "umask", "serverurl", "socket", "socket_owner", "socket_mode",
    "socket_backlog",
    *(f"{stream}_{option}" for stream in ("stdout", "stderr") for option in (
        "logfile", "logfile_maxbytes", "logfile_backups", "capture_maxbytes", "events_enabled", "syslog")),
)
# fmt: on

FILES = Object(
    {
        "url": Str(pattern=URL_PATH, hint=URL_PATH_HINT, required=True),
        "root": Str(pattern=FOLDER, hint=FOLDER_HINT, required=True),
    },
    may_be_empty=True,
)


def _site_rule(site: dict[str, Any], path: str, problems: Problems) -> None:
    if site.get("redirects") and not site.get("canonical"):
        problems.add(f"{path}.canonical", "is required with redirects: the name that they lead to")
    static, media = (site.get(name) or {} for name in ("static", "media"))
    if media.get("url") and media["url"] == static.get("url"):
        problems.add(f"{path}.media.url", "is that of the static files; give each its own path")
    if site.get("tls_in_front"):
        if not site.get("trusted_proxies"):
            problems.add(f"{path}.trusted_proxies", "is required with tls_in_front: who ends TLS")
        if site.get("tls"):
            problems.add(f"{path}.tls", "is for a site that ends TLS itself; leave it or tls_in_front out")


SITE = Object(
    {
        "server_names": List(ServerName(), least=1, required=True),
        "redirects": List(ServerName()),
        "canonical": Str(pattern=HOST_NAME, hint=HOST_NAME_HINT),
        "upstream": Str(
            pattern=rf"unix:{FOLDER}|(\[[0-9a-fA-F:]+\]|[\w.-]+)(:[0-9]{{1,5}})?",
            hint="must be unix:/PATH or HOST:PORT",
            required=True,
        ),
        "static": FILES,
        "media": FILES,
        "upload_limit": Str(pattern=SIZE, hint="must be a number with k, m or g, such as 20m"),
        "timeout": Int(low=1, high=86400),
        "websocket_timeout": Int(high=604800),
        "trusted_proxies": List(Address(), unique=True),
        "tls_in_front": Bool(),
        "hsts": Int(high=63072000),
        "public_port": Int(high=65535),
        "extra": Directives(),
        "maintenance": Object(
            {
                "folder": Str(pattern=FOLDER, hint=FOLDER_HINT, required=True),
                "allow": List(Address()),
                "open": List(Str(pattern=r"/.*", hint="must start with a slash", most=1000)),
                "below": List(Str(pattern=URL_PATH, hint=URL_PATH_HINT)),
                "retry_after": Int(low=1, high=604800),
            },
            may_be_empty=True,
        ),
        "tls": Object(
            {
                "folder": Str(pattern=FOLDER, hint=FOLDER_HINT, required=True),
                "hsts": Int(high=63072000),
            },
            may_be_empty=True,
        ),
    },
    rule=_site_rule,
)

# Variables of users by name. Lists of instances of Redis and Memcached have a check of their own (instances.py), and
# so have backups (backup_config.py, archive_config.py).
INPUTS: dict[str, Field] = {
    "nginx_sites": Map(SITE, key=NAME, key_hint=NAME_HINT),
    "nginx_worker_connections": Int(low=64, high=1 << 20),
    "nginx_connections_per_client": Int(low=1, high=1 << 20),
    "nginx_client_timeout": Int(low=1, high=3600),
    "nginx_acme_root": Str(pattern=FOLDER, hint=FOLDER_HINT),
    "nginx_http_extra": Directives(),
    "supervisord_programs": Map(
        Object(
            {
                "section": Choice(["program", "fcgi-program"]),
                **{name: ProgramOption() for name in PROGRAM_OPTIONS if name != "section"},
            }
        ),
        key=NAME,
        key_hint=NAME_HINT,
    ),
    "certificates_sites": Map(
        Object(
            {
                "domains": List(
                    Str(pattern=rf"(\*\.)?{HOST_NAME}", hint=HOST_NAME_HINT), least=1, required=True
                ),
                "kind": Choice(["acme", "own", "selfsigned"], required=True),
                "chain": Str(pattern=CERTIFICATES, hint="must be certificates in PEM", multiline=True),
                "challenge": Choice(["http-01", "dns-01"]),
            }
        ),
        key=NAME,
        key_hint=NAME_HINT,
    ),
    "certificates_private_keys": Map(
        Str(pattern=KEY, hint=KEY_HINT, multiline=True), key=NAME, key_hint=NAME_HINT
    ),
    "certificates_email": Str(pattern=rf"({EMAIL})?", hint="must be an address such as admin@example.org"),
    "certificates_authority": Str(pattern=WEB_ADDRESS, hint=WEB_ADDRESS_HINT),
    "certificates_authority_ca": Str(
        pattern=rf"({CERTIFICATES})?", hint="must be certificates in PEM", multiline=True
    ),
    "certificates_profile": Str(pattern=r"[A-Za-z0-9._-]*", hint="must be the name of a profile"),
    "certificates_dns_server": IpAddress(),
    "certificates_dns_port": Int(low=1, high=65535),
    "certificates_dns_key_name": Str(pattern=r"[A-Za-z0-9._-]*", hint="must be the name of a TSIG key"),
    "certificates_dns_key_algorithm": Choice([f"hmac-{name}" for name in TSIG_HASHES]),
    "certificates_dns_key_secret": Str(pattern=BASE64, hint="must be a TSIG key in base64"),
    # certbot is given 15 minutes for all that it does
    "certificates_dns_propagation_seconds": Int(high=600),
    "certificates_dns_auth_hook": Str(pattern=r"(?!-).*", hint="must be a command"),
    "certificates_dns_cleanup_hook": Str(pattern=r"(?!-).*", hint="must be a command"),
    "certificates_reload": List(Str(), least=1),
    "postgres_databases": List(
        Object(
            {
                "name": Str(pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True),
                "owner": Str(pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True),
                "password": Password(),
                "logins": List(
                    Object(
                        {
                            "name": Str(
                                pattern=r".{1,63}", hint="must have from 1 to 63 characters", required=True
                            ),
                            "password": Password(required=True),
                        }
                    )
                ),
                "connection_limit": Int(low=-1, high=10000),
                "extensions": List(Str()),
            }
        )
    ),
    "postgres_extension_packages": Map(
        Str(
            pattern=r"([a-z0-9]|\{version\})([a-z0-9+.-]|\{version\})*",
            hint="must be the name of a Debian package, in which {version} is the version of PostgreSQL",
        ),
        key=r"[a-z][a-z0-9_-]{0,62}",
        key_hint="use the name of an extension",
    ),
    "postgres_clients": List(
        Object(
            {
                # what else may be in a name means something in pg_hba.conf, quotes or not
                "database": Str(pattern=rf"_?{NAME}", hint=NAME_HINT, required=True),
                "user": Str(pattern=rf"_?{NAME}", hint=NAME_HINT, required=True),
                "address": Network(required=True),
            }
        )
    ),
    "postgres_memory_percent": Int(low=1, high=90),
    "postgres_max_connections": Int(low=4, high=100000),
    "postgres_settings": Map(
        Scalar(), key=r"[A-Za-z_][A-Za-z0-9_.]*", key_hint="use the name of a setting of PostgreSQL"
    ),
    "rabbitmq_memory_percent": Int(low=1, high=90),
    "rabbitmq_disk_free_mb": Int(low=1, high=1 << 24),
    "rabbitmq_settings": Map(
        RabbitSetting(), key=r"[A-Za-z0-9_.$@-]+", key_hint="use the name of a setting of RabbitMQ"
    ),
    "python_versions": List(
        Str(pattern=r"3\.[0-9]{1,2}", hint="must be a version such as '3.12', in quotes")
    ),
    "python_mirror": Str(
        pattern=r"(https?://|file:///)[^\s\0]+|",
        hint="must be an address that begins with https://, http:// or file:///",
    ),
    "host_packages": List(
        Str(pattern=rf"{PACKAGE_NAME}(\|{PACKAGE_NAME})*", hint="must be the name of a Debian package")
    ),
    "host_timezone": Str(
        pattern=r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
        hint="must be the name of a time zone, such as Europe/Vienna",
    ),
    "host_locale": Str(pattern=r"[A-Za-z0-9_@.-]+", hint="must be the name of a locale, such as en_US.UTF-8"),
    "host_users": List(
        Object(
            {
                "name": Str(
                    pattern=USER, hint="must be lower-case letters, digits, '_', '.' or '-'", required=True
                ),
                "authorized_keys": List(Str()),
                "groups": List(Str(pattern=USER, hint="must be the name of a group")),
                "shell": Str(pattern=FOLDER, hint=FOLDER_HINT),
                "state": Choice(["present", "absent"]),
            },
            others=True,
        )
    ),
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
