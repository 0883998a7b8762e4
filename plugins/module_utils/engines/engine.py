# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is to say of a database, cache or broker."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import in_url
from ansible_collections.homeport.django.plugins.module_utils.common.engines import FACTS, Facts

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Since:
    """The first version of each distribution that has something, and what to use on older ones."""

    versions: Mapping[str, tuple[int, ...]]
    what: str
    instead: str

    def missing(self, host: Values) -> bool:
        """Whether a host (its facts) is older."""
        version = tuple(int(part) for part in re.findall(r"\d+", str(host.get("version", ""))))
        return version < self.versions.get(str(host.get("distribution", "")), (0,))


@dataclass(frozen=True)
class Wanted:
    """What an app is to get of an engine."""

    app: str
    # the name that the app had first, for what cannot be renamed
    first_name: str
    use: str
    home: str
    # what the app says of it
    given: Values
    # the address of its server as the app sees it; empty where that is the app's own host
    host: str
    # all users with their passwords that are accepted, the one to use first
    logins: list[dict[str, Any]]
    # of the service's administrator, where it has one
    admin_password: str = ""

    def url(self, scheme: str, host: str, port: int, path: str, user: str = "") -> str:
        """The address with the password that is used."""
        password = quote(self.logins[0]["password"], safe="")
        return f"{scheme}://{user}:{password}@{in_url(host)}:{port}/{path}"


@dataclass(frozen=True)
class Engine:
    """What the controller knows of an engine; C(facts) is what hosts know of it, too."""

    name: str
    # what apps use it for: database, cache, broker
    uses: tuple[str, ...]
    # what an app's cache or broker is, as the app sees it (app/services.py)
    resolve: Callable[[Wanted], dict[str, Any]]
    # the conventional variables of those that have one, by what it is resolved to
    environment: Callable[[Values], dict[str, str]] = lambda _found: {}
    # what the settings that Homeport supplies need to talk to it
    client: str = ""
    # MiB of one that holds nothing
    idle: int = 0
    # whether the app may choose the port
    own_port: bool = False
    # the distributions that have it, where not all do
    since: Since | None = None

    @property
    def facts(self) -> Facts:
        return FACTS[self.name]

    def label(self, app: str, use: str) -> str:
        """What it is called where its port is open."""
        title = self.facts.title.lower()
        return f"{title} ({app}-{use})" if self.facts.instances else title
