# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""How visitors reach an app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import in_url, is_address
from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import public_port
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps, has_certificate


def curl_command(visit: Mapping[str, Any], address: str) -> str:
    """A command that asks a host for an app, whatever the DNS says of its name; none where TLS ends in front, or where
    it has no name but an address."""
    if not visit or (visit["url"].startswith("https:") and not visit["tls"]):
        return ""
    if is_address(urlsplit(visit["url"]).hostname or ""):
        return ""
    # until its name leads to the host, an authority's certificate is not there
    insecure = "--insecure " if visit["tls"] else ""
    return f"curl {insecure}--connect-to ::{in_url(address)}:{visit['port']} {visit['url']}/"


def visits(apps: Apps) -> dict[str, dict[str, Any]]:
    """How each app is asked for its pages as visitors ask; nothing where it is there for its own host alone."""
    found: dict[str, dict[str, Any]] = {}
    for name, app in apps.items():
        tls = app["proxied"] and has_certificate(app)
        port = (443 if tls else 80) if app["proxied"] else public_port(app["web"]["socket"])
        found[name] = (
            {
                "url": app["site_url"],
                "port": port,
                "tls": tls,
                "trusted": bool(app["trusted_networks"]),
                "names": [app["canonical"], *app["redirects"], *app["aliases"]],
                "pages": {"/": [], app["health"]["path"]: app["health"]["status"]},
                "home": app["home"],
                "first": app["health"]["first"],
            }
            if port
            else {}
        )
    return found
