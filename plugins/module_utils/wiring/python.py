# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Resolved apps as the role python has them."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.wiring.shared import Apps


def python_versions(apps: Apps) -> list[str]:
    """Python versions that apps name."""
    return sorted({app["python"] for app in apps.values() if app.get("python")})
