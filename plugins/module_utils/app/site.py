# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The address at which visitors reach an app, and where its certificate comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.app.setups import Setup


def certificate_kind(app: Mapping[str, Any], shape: Setup, host: Mapping[str, Any]) -> str:
    """Where the app's certificate comes from: acme, own, selfsigned, proxy (what is in front has one) or none."""
    if not shape.proxy:
        return "proxy" if app["tls"].get("certificate") == "proxy" else "none"
    return str(app["tls"].get("certificate") or ("acme" if host.get("acme") else "none"))


def site_url_of(app: dict[str, Any], shape: Setup, host: Mapping[str, Any]) -> str:
    scheme = "http" if certificate_kind(app, shape, host) == "none" else "https"
    usual = 443 if scheme == "https" else 80
    own = usual if shape.proxy or scheme == "https" else app["web"]["port"]
    port = app["proxy"].get("public_port", own)
    return f"{scheme}://{app['domains'][0]}{'' if port == usual else f':{port}'}"
