# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role nginx has them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import (
    Apps,
    allowed_networks,
    has_certificate,
    health_pages,
    maintenance_folder,
)

CERTIFICATES = "/etc/homeport/certificates"


def nginx_sites(apps: Apps) -> dict[str, dict[str, Any]]:
    """The sites that nginx serves."""
    return {
        name: {
            "server_names": [app["canonical"], *app["aliases"]],
            "redirects": app["redirects"],
            "canonical": app["canonical"],
            "upstream": app["web"]["socket"].replace("unix://", "unix:"),
            "static": {
                "url": app["static"]["url"],
                "root": app["static"]["root"],
                "cross_origin": "cdn" in app["static"],
            }
            if app["static"]["server"] == "nginx"
            else {},
            "media": {"url": app["media"]["url"], "root": app["media"]["root"]}
            if app["media"]["kind"] == "local"
            else {},
            "maintenance": {
                "folder": maintenance_folder(app),
                "allow": allowed_networks(app),
                "open": health_pages(app),
                "below": [app["static"]["url"]] if app["static"]["server"] != "none" else [],
                "retry_after": app["maintenance"]["retry_after"],
            },
            "upload_limit": app["proxy"]["upload_limit"],
            "timeout": app["proxy"]["timeout"],
            "websocket_timeout": app["proxy"]["websocket_timeout"] if app["web"]["server"] == "asgi" else 0,
            "trusted_proxies": app["trusted_networks"],
            "tls_in_front": app["tls"]["certificate"] == "proxy",
            "hsts": app["tls"]["hsts"] if app["tls"]["certificate"] == "proxy" else 0,
            "public_port": urlsplit(app["site_url"]).port or 0,
            "extra": app["proxy"]["extra"],
            "tls": {"folder": f"{CERTIFICATES}/{name}/live", "hsts": app["tls"]["hsts"]}
            if has_certificate(app)
            else {},
        }
        for name, app in apps.items()
    }
