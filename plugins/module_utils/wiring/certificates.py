# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role certificates has them."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps, has_certificate


def certificate_sites(apps: Apps, base: str = "") -> dict[str, dict[str, Any]]:
    """The certificate of each app that has one: of all its names. ``base`` is what files are relative to."""
    found = {}
    for name, app in apps.items():
        tls = app["tls"]
        if not has_certificate(app):
            continue
        found[name] = {
            "kind": tls["certificate"],
            "domains": [app["canonical"], *app["redirects"], *app["aliases"]],
            "challenge": tls["challenge"],
        }
        if "chain" in tls and tls["certificate"] == "own":
            path = os.path.join(base, os.path.expanduser(tls["chain"]))
            # who only looks may not have it; preflight refuses to go on without
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as stream:
                    found[name]["chain"] = stream.read()
    return found


def certificate_keys(apps: Apps) -> dict[str, str]:
    """The private keys of the apps' own certificates."""
    return {name: app["tls_key"] for name, app in apps.items() if app["tls"]["certificate"] == "own"}
