# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Secrets derived from the one secret that a site keeps.

``derive(homeport_secret, app, purpose)`` is HMAC-SHA256 over ``homeport/v1/<app>/<purpose>``,
written in URL-safe base64 without padding (43 characters). ``SECRET_KEY``, which Django wants to be
longer than that, is the one for ``secret_key`` followed by the one for ``secret_key/2``. The same inputs
always give the same secret, nothing is stored, and one app's secret tells nothing about another's. A later
generation of a secret is derived for ``<purpose>@<number>``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

SHORTEST_SECRET = 32
SITE = "@site"  # in the place of an app, for what is the whole site's
# What can be rotated of an app; each is also what the vault may give instead.
PURPOSES = ("secret_key", "database_password", "cache_password", "broker_password")


def derive(homeport_secret: str, app: str, purpose: str, generation: int = 1) -> str:
    """The secret of ``app`` for ``purpose`` (``secret_key``, ``database_password``...)."""
    suffix = f"@{generation}" if generation > 1 else ""
    message = f"homeport/v1/{app}/{purpose}{suffix}".encode()
    digest = hmac.new(homeport_secret.encode(), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def derive_long(homeport_secret: str, app: str, purpose: str, generation: int = 1) -> str:
    """The same with twice the length: two derived secrets, one after the other."""
    parts = (purpose, f"{purpose}/2")
    return "".join(derive(homeport_secret, app, part, generation) for part in parts)


def accepted(
    homeport_secrets: Iterable[str],
    app: str,
    purpose: str,
    given: Iterable[str] = (),
    generations: Iterable[int] = (),
) -> list[str]:
    """Every secret of an app that is good for ``purpose``: the first is used, the others are still let in.

    What the vault gives comes first. What can be derived follows where it gives nothing, or where generations
    are named.
    """
    make = derive_long if purpose == "secret_key" else derive
    given = list(given)
    numbers = list(generations) or ([] if given else [1])
    derived = [make(secret, app, purpose, number) for secret in homeport_secrets for number in numbers]
    return list(dict.fromkeys([*given, *derived]))


def fingerprint(secret: str) -> str:
    """What tells a secret from others without telling it: it must be too long to be guessed."""
    return hmac.new(b"homeport/fingerprint", secret.encode(), hashlib.sha256).hexdigest()[:8]


def logins(app: str, passwords: Iterable[str]) -> list[dict[str, Any]]:
    """A user for each password, where a service knows one password for each user."""
    return [{"name": f"{app}.{fingerprint(password)}", "password": password} for password in passwords]


def is_login(name: str, owner: str) -> bool:
    """Whether a user was made for a password of ``owner``. No app has a dot in its name."""
    return re.fullmatch(re.escape(owner) + r"\.[0-9a-f]{8}", name) is not None


def digests(values: Mapping[str, str]) -> dict[str, str]:
    """What tells whether values are the same, where they themselves must not be seen."""
    return {
        name: hmac.new(name.encode(), str(value).encode(), hashlib.sha256).hexdigest()
        for name, value in values.items()
    }
