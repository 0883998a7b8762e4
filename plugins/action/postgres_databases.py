# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Databases and their owners, which PostgreSQL is asked for only where they may have changed."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.plugin_utils.component import ComponentAction


class ActionModule(ComponentAction):
    MODULE = "postgres_databases"
    UNCHANGED: dict[str, Any] = {"changes": []}
