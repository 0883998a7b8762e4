# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of nginx."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    FOLDER,
    FOLDER_HINT,
    NAME,
    NAME_HINT,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    HOST_NAME,
    HOST_NAME_HINT,
    SIZE,
    URL_PATH,
    URL_PATH_HINT,
    Address,
    Directives,
)

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


INPUTS: dict[str, Field] = {
    "nginx_sites": Map(SITE, key=NAME, key_hint=NAME_HINT),
    "nginx_worker_connections": Int(low=64, high=1 << 20),
    "nginx_connections_per_client": Int(low=1, high=1 << 20),
    "nginx_client_timeout": Int(low=1, high=3600),
    "nginx_acme_root": Str(pattern=FOLDER, hint=FOLDER_HINT),
    "nginx_http_extra": Directives(),
}
