# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What each setup of the article has."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Setup:
    """What a setup has; the first of each is what an app gets when it does not say."""

    proxy: bool
    databases: tuple[str, ...]
    static: tuple[str, ...]
    caches: tuple[str, ...] = ("none",)
    # the first that the app's queues can use; an app without queues has none
    brokers: tuple[str, ...] = ("database", "none")


_TYPICAL = Setup(proxy=True, databases=("postgres", "sqlite", "none"), static=("nginx", "whitenoise", "none"))
_ALL = replace(
    _TYPICAL,
    caches=("none", "redis", "valkey", "memcached"),
    brokers=("redis", "valkey", "rabbitmq", "database", "none"),
)
SETUPS = {
    "simple": Setup(proxy=False, databases=("sqlite", "none"), static=("whitenoise", "none")),
    "typical": _TYPICAL,
    "multi_app": _ALL,
    "worker": _ALL,
    "cache": replace(_ALL, caches=("redis", "valkey", "memcached", "none")),
    "site": _ALL,
}
