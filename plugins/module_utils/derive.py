# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Secrets derived from the one secret that a site keeps.

``derive(homeport_secret, app, purpose)`` is HMAC-SHA256 over ``homeport/v1/<app>/<purpose>``,
written in URL-safe base64 without padding (43 characters). ``SECRET_KEY``, which Django wants to be
longer than that, is the one for ``secret_key`` followed by the one for ``secret_key/2``. The same inputs
always give the same secret, nothing is stored, and one app's secret tells nothing about another's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

SHORTEST_SECRET = 32


def derive(homeport_secret: str, app: str, purpose: str) -> str:
    """The secret of ``app`` for ``purpose`` (``secret_key``, ``database_password``...)."""
    message = f"homeport/v1/{app}/{purpose}".encode()
    digest = hmac.new(homeport_secret.encode(), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def derive_long(homeport_secret: str, app: str, purpose: str) -> str:
    """The same with twice the length: two derived secrets, one after the other."""
    return derive(homeport_secret, app, purpose) + derive(homeport_secret, app, f"{purpose}/2")


def digests(values: Mapping[str, str]) -> dict[str, str]:
    """What tells whether values are the same, where they themselves must not be seen."""
    return {
        name: hmac.new(name.encode(), str(value).encode(), hashlib.sha256).hexdigest()
        for name, value in values.items()
    }
