# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Looks for the apps' domains in the DNS, has the host ask for their code, and names the fields that are wrong."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.plugin_utils.origin import place

CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
# Of a service: what leads to it.
ADDRESSES = ("url", "direct")
SECONDS = 5  # for all names together
# Names that nobody can have (RFC 2606, RFC 6761).
RESERVED = ("example", "test", "invalid", "localhost")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        known = Lookups([*arguments.get("addresses", []), *wanted(arguments.get("names", {}))])
        answer = self._execute_module(
            module_name="homeport.django.reachability",
            module_args={
                **{key: arguments[key] for key in ("apps", "secrets") if key in arguments},
                **divided(arguments.get("buckets", {})),
                **with_authorities(arguments.get("services", {}), str(arguments.get("base", ""))),
            },
            task_vars=task_vars,
        )
        if answer.get("failed") or answer.get("unreachable"):
            return {**result, **answer}
        result["changed"] = False
        host = task_vars["inventory_hostname"]
        known.wait(SECONDS)
        ours = {*answer["addresses"], *known.of(arguments.get("addresses", []))}
        warnings = [
            f"{problem}{place(problem, task_vars)}"
            for name, asked in sorted(arguments.get("names", {}).items())
            for problem in name_problems(name, asked, known, ours, host)
        ]
        if warnings:
            result["warnings"] = warnings
        problems = [f"django_apps.{name}.{told}" for name, told in sorted(answer["problems"].items())]
        problems += [
            f"{field}: {told}" for field, lines in sorted(answer["unreached"].items()) for told in lines
        ]
        problems += [told for _name, told in sorted(answer["unusable"].items())]
        if problems:
            lines = [f"- {problem}{place(problem, task_vars)}" for problem in problems]
            text = "\n".join([f"{host} cannot reach what the apps need; nothing was changed:", *lines])
            result.update(failed=True, msg=text)
        return result


def divided(buckets: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The buckets, and by themselves what is secret of them: no other value of theirs is to be masked in messages."""
    secret = ("s3_access_key", "s3_secret_key", "proxies")
    return {
        "buckets": {
            name: {key: value for key, value in bucket.items() if key not in secret}
            for name, bucket in buckets.items()
        },
        "bucket_secrets": {name: {key: bucket[key] for key in secret} for name, bucket in buckets.items()},
    }


def with_authorities(services: Mapping[str, Any], base: str) -> dict[str, dict[str, Any]]:
    """The services, each with the certificates of its authority, where a file of the controller has them; and by
    themselves their addresses, which may have a password."""
    found = {}
    for field, service in services.items():
        found[field] = {key: value for key, value in service.items() if key not in ADDRESSES}
        if service["ca"]:
            with open(os.path.join(base, os.path.expanduser(service["ca"])), "rb") as stream:
                # without the comments of bundles
                found[field]["ca"] = b"\n".join(CERTIFICATE.findall(stream.read())).decode()
    secrets = {
        field: {key: str(service[key]) for key in ADDRESSES if key in service}
        for field, service in services.items()
    }
    return {"services": found, "service_secrets": secrets}


class Lookups:
    """The addresses of names, all asked for at the same time. One that nobody answers for in time has none."""

    def __init__(self, names: Iterable[str]) -> None:
        self.found: dict[str, set[str]] = {}
        self.threads = [threading.Thread(target=self._ask, args=[name], daemon=True) for name in {*names}]
        for thread in self.threads:
            thread.start()

    def _ask(self, name: str) -> None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            self.found[name] = {str(answer[4][0]) for answer in answers}
        except socket.gaierror as error:
            # an answer that there is none; other errors tell nothing
            if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
                self.found[name] = set()
        except (OSError, UnicodeError):
            return

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, end - time.monotonic()))

    def of(self, names: Iterable[str]) -> set[str]:
        return {address for name in names for address in self.found.get(name, set())}


def wanted(names: Mapping[str, Any]) -> list[str]:
    return [
        domain
        for asked in names.values()
        for domain in asked["domains"]
        if "*" not in domain and domain.rpartition(".")[2] not in RESERVED
    ]


def name_problems(app: str, asked: Mapping[str, Any], known: Lookups, ours: set[str], host: str) -> list[str]:
    """Domains of an app that do not lead to its host, in one sentence for each kind."""
    field = f"django_apps.{app}.domains"
    ends = (
        "; the authority would look for its challenge there, so that they have no certificate until they do"
        if asked["acme"]
        else ""
    )
    here = ", ".join(sorted(ours))
    missing = [name for name in wanted({app: asked}) if known.found.get(name) == set()]
    elsewhere = {
        name: found
        for name in wanted({app: asked})
        if (found := known.found.get(name)) and not found & ours and comparable(found, ours)
    }
    told = []
    if missing:
        told.append(f"{field}: {', '.join(missing)} has no address in the DNS; {host} has {here}{ends}")
    if elsewhere:
        seen = ", ".join(f"{name} leads to {', '.join(sorted(found))}" for name, found in elsewhere.items())
        told.append(f"{field}: {seen} in the DNS, and {host} has {here}{ends}")
    return told


def comparable(found: set[str], ours: set[str]) -> bool:
    """Whether addresses say anything: a host behind a router does not know the public one."""
    return any(map(is_global, ours)) or not any(map(is_global, found))


def is_global(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_global
    except ValueError:
        return False
