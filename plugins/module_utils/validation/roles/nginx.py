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


def _files(doc: str, **more: Field) -> Object:
    return Object(
        {
            "url": Str(
                "path under which they are served", pattern=URL_PATH, hint=URL_PATH_HINT, required=True
            ),
            "root": Str("folder that holds them", pattern=FOLDER, hint=FOLDER_HINT, required=True),
            **more,
        },
        doc=doc,
        may_be_empty=True,
        default={},
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


MAINTENANCE = Object(
    {
        "folder": Str(
            "holds page.html, which visitors get while a file `on` is in it",
            pattern=FOLDER,
            hint=FOLDER_HINT,
            required=True,
        ),
        "allow": List(Address(), doc="addresses and networks that reach the site all the same", default=[]),
        "open": List(
            Str(pattern=r"/.*", hint="must start with a slash", most=1000),
            doc="paths that stay reachable",
            default=[],
        ),
        "below": List(
            Str(pattern=URL_PATH, hint=URL_PATH_HINT),
            doc="paths that stay reachable with all below them",
            default=[],
        ),
        "retry_after": Int(
            "seconds in the header Retry-After, for programs", low=1, high=604800, default=300
        ),
    },
    doc="closes the site to its visitors",
    may_be_empty=True,
    default={},
)

SITE = Object(
    {
        "server_names": List(
            ServerName(),
            doc="host names of the site, with wildcards or as regular expressions after ~",
            least=1,
            required=True,
        ),
        "redirects": List(ServerName(), doc="host names that redirect to `canonical`", default=[]),
        "canonical": Str("host name that the others redirect to", pattern=HOST_NAME, hint=HOST_NAME_HINT),
        "upstream": Str(
            "where the app listens, such as unix:/run/homeport/blog.sock or 127.0.0.1:8000",
            pattern=rf"unix:{FOLDER}|(\[[0-9a-fA-F:]+\]|[\w.-]+)(:[0-9]{{1,5}})?",
            hint="must be unix:/PATH or HOST:PORT",
            required=True,
        ),
        "static": _files(
            "static files, or empty",
            cross_origin=Bool(
                "send Access-Control-Allow-Origin: *, as fonts need that come from a CDN", default=False
            ),
        ),
        "media": _files("uploaded files, or empty"),
        "upload_limit": Str(
            "largest request body, such as 20m",
            pattern=SIZE,
            hint="must be a number with k, m or g, such as 20m",
            default="20m",
        ),
        "timeout": Int("seconds that nginx waits for the upstream", low=1, high=86400, default=60),
        "websocket_timeout": Int(
            "seconds that a websocket may be idle; 0 treats it as any request", high=604800, default=0
        ),
        "trusted_proxies": List(
            Address(),
            doc="addresses and networks whose X-Forwarded-For and X-Forwarded-Proto count",
            unique=True,
            default=[],
        ),
        "tls_in_front": Bool("whether TLS ends at the trusted proxies", default=False),
        "hsts": Int(
            "with `tls_in_front`, seconds for which browsers refuse plain HTTP", high=63072000, default=0
        ),
        "public_port": Int(
            "port at which visitors reach the site, where it is not 443 or 80", high=65535, default=0
        ),
        "extra": Directives("further directives for the server block", default=""),
        "maintenance": MAINTENANCE,
        "tls": Object(
            {
                "folder": Str(
                    "holds fullchain.pem and privkey.pem", pattern=FOLDER, hint=FOLDER_HINT, required=True
                ),
                "hsts": Int("seconds for which browsers refuse plain HTTP", high=63072000, default=0),
            },
            doc="serves the site over HTTPS; plain HTTP redirects there",
            may_be_empty=True,
            default={},
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
