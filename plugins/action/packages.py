# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Debian packages, which are asked for only where they may be missing."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.plugin_utils.component import ComponentAction


class ActionModule(ComponentAction):
    MODULE = "packages"
    UNCHANGED: dict[str, Any] = {"missing": [], "unavailable": {}}
