# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The reverse proxy and TLS."""

from __future__ import annotations

import ipaddress
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.trusted_proxies import PROVIDERS
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Int,
    List,
    Object,
    Problems,
    Str,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.values import (
    SIZE,
    Address,
    Directives,
)


class TrustedProxy(Address):
    """An address, a network, or a provider whose networks are known."""

    def objection(self, value: str) -> str:
        if value in PROVIDERS:
            return ""
        told = super().objection(value)
        if told.startswith("must be"):
            return f"{told}, or one of {', '.join(PROVIDERS)}{closest(value, list(PROVIDERS))}"
        if not told and not ipaddress.ip_network(value).prefixlen:
            return "is everybody, whose headers would all be trusted; name what stands in front of the hosts"
        return told


def _tls_rule(tls: dict[str, Any], path: str, problems: Problems) -> None:
    kind = tls.get("certificate")
    if kind == "own" and "chain" not in tls:
        problems.add(f"{path}.chain", "is required with an own certificate: its PEM file on the controller")
    if "chain" in tls and kind != "own":
        problems.add(f"{path}.chain", "goes with certificate: own only")
    if tls.get("challenge") == "dns-01" and kind not in ("acme", None):
        problems.add(f"{path}.challenge", "goes with certificate: acme only")


PROXY = Object(
    {
        "upload_limit": Str(
            "largest request body, such as 20m",
            pattern=SIZE,
            hint="must be a number with k, m or g, such as 20m",
            default="20m",
        ),
        "timeout": Int("seconds that nginx waits for the app", low=1, high=3600, default=60),
        "websocket_timeout": Int(
            "seconds that a websocket of an ASGI app may be idle", low=1, high=604800, default=3600
        ),
        "trusted_proxies": List(
            TrustedProxy("an address, a network or a provider"),
            doc="addresses and networks of what stands in front of the hosts (balancer, CDN, tunnel), or the provider "
            f"({', '.join(PROVIDERS)}): what they say in X-Forwarded-For and X-Forwarded-Proto counts, and what "
            "anybody else claims does not",
            unique=True,
            default=[],
        ),
        "public_port": Int(
            "port at which visitors reach the site, where something in front makes it another one (default: 443 with "
            "HTTPS, else 80, or web.port in the setup simple)",
            low=1,
            high=65535,
        ),
        "extra": Directives("further nginx directives for the app's server block", default=""),
    },
    doc="how nginx stands in front of the app, and what stands in front of that",
    default={},
)

TLS = Object(
    {
        "certificate": Choice(
            ["acme", "own", "selfsigned", "proxy", "none"],
            doc="acme: from Let's Encrypt or another ACME authority; own: from tls.chain and the vault's tls_key; "
            "proxy: TLS ends at proxy.trusted_proxies (default: acme where certificates_email is set, else none)",
        ),
        "chain": Str(
            "PEM file on the controller, relative to the inventory: an own certificate, followed by those between "
            "it and the root"
        ),
        "challenge": Choice(
            ["http-01", "dns-01"], doc="how the authority is shown whose names these are", default="http-01"
        ),
        "hsts": Int(
            "seconds for which browsers are to refuse plain HTTP; 0 leaves that to the app",
            high=63072000,
            default=86400,
        ),
    },
    short="certificate",
    doc="HTTPS, where nginx stands in front or something in front of the host speaks it",
    rule=_tls_rule,
    default={},
)
