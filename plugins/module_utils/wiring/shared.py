# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What several roles' wiring has in common."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

Apps = Mapping[str, Mapping[str, Any]]


def has_certificate(app: Mapping[str, Any]) -> bool:
    """Whether TLS ends on the host itself."""
    return app["proxied"] and app["tls"]["certificate"] not in ("none", "proxy")


def maintenance_folder(app: Mapping[str, Any]) -> str:
    """What closes an app to its visitors lives outside of its configuration, so that it makes no release."""
    return f"{app['home']}/maintenance"


def allowed_networks(app: Mapping[str, Any]) -> list[str]:
    """Networks that reach a closed app, each once."""
    networks = {ipaddress.ip_network(address) for address in app["maintenance"]["allow"]}
    return [str(network) for network in sorted(networks, key=lambda found: (found.version, found))]


def health_pages(app: Mapping[str, Any]) -> list[str]:
    """Paths that monitoring still reaches. The home page is what visitors are to be kept from."""
    path = unquote(urlsplit(app["health"]["path"]).path)
    return [] if path == "/" else [path]


def chosen_apps(apps: Apps, names: Any) -> dict[str, Mapping[str, Any]]:
    """The apps that a command names: one, several (a list, or with commas between them), or all."""
    listed = names.split(",") if isinstance(names, str) else list(names)
    wanted = {str(name).strip() for name in listed}
    return {name: app for name, app in apps.items() if name in wanted or wanted == {"all"}}


def host_address(variables: Mapping[str, Any]) -> str:
    """The address under which other hosts reach a host."""
    return str(
        variables.get("homeport_address") or variables.get("ansible_host") or variables["inventory_hostname"]
    )
