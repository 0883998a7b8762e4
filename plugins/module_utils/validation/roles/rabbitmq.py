# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of RabbitMQ."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    Pem,
    Plain,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Field,
    Int,
    Map,
)


class RabbitSetting(Plain):
    """A value of rabbitmq.conf."""

    def objection(self, value: str) -> str:
        if "#" in value or value.startswith("'"):
            return "has a # or begins with ', which RabbitMQ's configuration cannot hold"
        return "is empty" if not value else ""


INPUTS: dict[str, Field] = {
    "rabbitmq_tls_certificate": Pem("a certificate"),
    "rabbitmq_tls_key": Pem("a private key, without a passphrase,"),
    "rabbitmq_memory_percent": Int(low=1, high=90),
    "rabbitmq_disk_free_mb": Int(low=1, high=1 << 24),
    "rabbitmq_settings": Map(
        RabbitSetting(), key=r"[A-Za-z0-9_.$@-]+", key_hint="use the name of a setting of RabbitMQ"
    ),
}
