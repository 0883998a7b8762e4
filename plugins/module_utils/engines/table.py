# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""The databases, caches and brokers that apps can have.

A new one is a file beside this one, a line in the table, what hosts know of it (common/engines.py), and a role
(docs/contributing/broker.md). The first of each use comes first where a setup offers several.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine
from ansible_collections.homeport.django.plugins.module_utils.engines.memcached import MEMCACHED
from ansible_collections.homeport.django.plugins.module_utils.engines.postgres import POSTGRES
from ansible_collections.homeport.django.plugins.module_utils.engines.rabbitmq import RABBITMQ
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import REDIS, VALKEY
from ansible_collections.homeport.django.plugins.module_utils.engines.sqlite import SQLITE

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (POSTGRES, SQLITE, REDIS, VALKEY, MEMCACHED, RABBITMQ)
}


def used_for(use: str) -> tuple[str, ...]:
    """The engines that an app can have as its database, cache or broker."""
    return tuple(name for name, engine in ENGINES.items() if use in engine.uses)


def find(name: Any, use: str) -> Engine | None:
    """The engine of that name, if apps can have it for a use. Users may have written anything for a name."""
    engine = ENGINES.get(name) if isinstance(name, str) else None
    return engine if engine and use in engine.uses else None
