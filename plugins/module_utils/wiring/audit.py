# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the module audit_outside has them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.homeport.django.plugins.module_utils.wiring.exposure import public_port
from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def audit_sites(apps: Apps, own: Any = None, certificates: Any = None) -> dict[str, dict[str, Any]]:
    """The sites of a host as visitors see them: those of the apps, and those of the role nginx's own variable."""
    found = {}
    for name, app in apps.items():
        port = 80 if app["proxied"] else public_port(app["web"]["socket"])
        if port:
            public = urlsplit(app["site_url"])
            found[name] = {
                **({"front_port": public.port or 443} if app["tls"]["certificate"] == "proxy" else {}),
                "names": [app["canonical"], *app["redirects"], *app["aliases"]],
                "canonical": app["canonical"],
                "proxied": app["proxied"],
                "port": port,
                "tls": app["tls"]["certificate"] != "none",
                "kind": app["tls"]["certificate"],
                "hsts": app["tls"]["hsts"],
            }
    for name, site in (own or {}).items():
        listed = [*site.get("server_names", []), *site.get("redirects", [])]
        names = [
            str(each)
            for each in listed
            if re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*", str(each)) and each != "_"
        ]
        if names:
            tls = site.get("tls") or {}
            front = bool(site.get("tls_in_front"))
            kind = str((certificates or {}).get(name, {}).get("kind", "own")) if tls else "none"
            found[str(name)] = {
                **({"front_port": int(site.get("public_port") or 443)} if front else {}),
                "names": names,
                "canonical": next((each for each in names if each[0] != "*"), f"audit.{names[0][2:]}"),
                "proxied": True,
                "port": 80,
                "tls": bool(tls) or front,
                "kind": "proxy" if front else kind,
                "hsts": int(tls.get("hsts", 0) if tls else site.get("hsts", 0)),
            }
    return found
