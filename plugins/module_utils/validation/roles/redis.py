# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of Redis and Valkey beside their instances (engines/redis.py)."""

from __future__ import annotations

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import Pem
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import Field

INPUTS: dict[str, Field] = {
    "redis_tls_certificate": Pem("a certificate"),
    "redis_tls_key": Pem("a private key, without a passphrase,"),
}
