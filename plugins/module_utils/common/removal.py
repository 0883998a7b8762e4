# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What there is of an app on a host that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_there(found: Mapping[str, Any]) -> bool:
    """Whether anything of the app is on a host that was looked at."""
    keys = ("paths", "files", "programs", "stores", "vhost", "user", "databases", "role")
    return any(found.get(key) for key in keys)
