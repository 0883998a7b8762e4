# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What the role P(homeport.django.host#role) and the playbooks need to know of hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.exposure import exposure, firewall_rules
from ansible_collections.homeport.django.plugins.module_utils.host_settings import swap_size


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "exposure": exposure,
            "firewall_rules": firewall_rules,
            "swap_size": swap_size,
        }
