# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Redis and Valkey: an instance for each app and use."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.authority import AUTHORITY
from ansible_collections.homeport.django.plugins.module_utils.engines import rabbitmq
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import (
    Engine,
    Since,
    Values,
    Wanted,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import parsed
from ansible_collections.homeport.django.plugins.module_utils.validation.roles import instances

# Of the apps' own Redis or Valkey instances: without RabbitMQ's, those of other services that Debian hosts run, and
# those from 600 on, which NFS and RPC take at random.
PORTS = tuple(sorted({*range(200, 600)} - {
    209, 264, 311, 319, 320, 371, 389, 427, 443, 444, 445, 464, 465, 500, 502, 512, 513, 514, 515, 520, 521, 524, 540,
    543, 544, 546, 547, 548, 554, 563, rabbitmq.PORT, 568, 569, 587, 593,
}))  # fmt: skip
SERVERS = instances.SERVERS
# As the URLs of redis-py, Celery and those who build on them say it.
VERIFIED = "ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs="
# Dangerous where many share a server; an instance has one app. Caches (FLUSHDB, KEYS), Celery (INFO), RQ
# (CLIENT LIST, INFO, SORT), django-q2 and Huey (INFO) use them, and clients announce themselves by CLIENT.
ALLOWED = ("client", "flushall", "flushdb", "info", "keys", "role", "sort")
# Knows rules for channels, which let in nobody by default, and addresses that may be missing.
SINCE_6_2 = (6, 2)


def service_place(name: str, service: str) -> tuple[str, int]:
    """Loopback address and port of an app's own instance: the same whatever other apps there are."""
    digest = hashlib.sha256(f"{name}/{service}".encode()).digest()
    address = f"127.{1 + digest[4] % 254}.{digest[5]}.{1 + digest[6] % 254}"
    return address, PORTS[int.from_bytes(digest[:4], "big") % len(PORTS)]


def resolve(wanted: Wanted) -> dict[str, Any]:
    address, port = "127.0.0.1", wanted.given.get("port")
    if not port:
        address, port = service_place(wanted.app, wanted.use)
    host = wanted.host or address
    return {
        "managed": True,
        "tls": bool(wanted.host),
        "authority": AUTHORITY if wanted.host else "",
        "admin_password": wanted.admin_password if wanted.host else "",
        "host": host,
        "port": port,
        "password": wanted.logins[0]["password"],
        # passwords of the default user, who may have several
        "logins": [{**login, "name": ""} for login in wanted.logins],
        "url": wanted.url("rediss" if wanted.host else "redis", host, port, path_of(wanted)),
    }


def path_of(wanted: Wanted) -> str:
    """Readers of CACHE_URL make settings of Django of a query; those trust SSL_CERT_DIR."""
    return f"0?{VERIFIED}{AUTHORITY}" if wanted.host and wanted.use == "broker" else "0"


def environment(service: Values) -> dict[str, str]:
    names = {"REDIS_HOST": "host", "REDIS_PORT": "port", "REDIS_PASSWORD": "password"}
    found = {key: str(service[field]) for key, field in names.items() if service[field]}
    return {"REDIS_URL": verified(service["url"], service["authority"]), **found}


def verified(url: str, authority: str) -> str:
    """The address with the authority that its server is verified by; as it is without one, or where it has one."""
    if not authority or "ssl_ca_certs=" in url:
        return url
    chosen = [pair for pair in urlsplit(url).query.split("&") if pair]
    names = {pair.partition("=")[0] for pair in chosen}
    added = [pair for pair in f"{VERIFIED}{authority}".split("&") if pair.partition("=")[0] not in names]
    return f"{url.partition('?')[0]}?{'&'.join([*chosen, *added])}"


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def access(passwords: list[str], installed: str) -> str:
    """The rules of the default user, the only one that clients know."""
    # no package yet (check mode): the versions that are installed now are new enough
    channels = ["&*"] if not installed or version(installed) >= SINCE_6_2 else []
    words = ["on", *hashes(passwords), "~*", *channels, "+@all", "-@admin", "-@dangerous"]
    return " ".join([*words, *(f"+{name}" for name in ALLOWED)])


def hashes(passwords: list[str]) -> list[str]:
    return [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords]


def reload_passwords(passwords: list[str]) -> list[str]:
    """The passwords by which root reloads an instance's users. They allow nothing else."""
    return [hmac.new(word.encode(), b"homeport/reload", hashlib.sha256).hexdigest() for word in passwords]


def bind(addresses: list[str], installed: str) -> list[str]:
    """The addresses of ``bind``. ::1 is optional, for hosts without IPv6."""
    # before 6.2 every address is optional, and the prefix is unknown
    optional = "-" if not installed or version(installed) >= SINCE_6_2 else ""
    return [f"{optional}::1" if address == "::1" else address for address in addresses]


def redis_instances(declared: list[Any], versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The instances with every default, and hashes in place of the passwords."""
    return [
        redis_instance(given, versions.get(given["server"], ""))
        for given in parsed(declared, "redis_instances")
    ]


def redis_instance(given: Mapping[str, Any], installed: str) -> dict[str, Any]:
    passwords, admin = [given["password"], *given["previous_passwords"]], given["admin_password"]
    return {
        **{key: given[key] for key in ("name", "server", "port", "memory", "policy", "persistent", "tls")},
        "unit": f"{given['server']}-server@{given['name']}.service",
        "bind": bind(given["listen"], installed),
        "access": access(passwords, installed),
        "reload_access": " ".join(["on", *hashes(reload_passwords(passwords)), "-@all", "+acl|load"]),
        "reload_passwords": reload_passwords(passwords),
        "admin_access": " ".join(["on", *hashes([admin]), "-@all", "+config|set"]) if admin else "",
        "admin_password": admin,
    }


REDIS = Engine(
    "redis",
    uses=("cache", "broker"),
    resolve=resolve,
    environment=environment,
    client="redis",
    idle=6,
    own_port=True,
)
VALKEY = replace(
    REDIS,
    name="valkey",
    since=Since({"debian": (13,), "ubuntu": (24, 4)}, "Valkey", instead="redis"),
)
