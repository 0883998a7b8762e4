# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What users may set of RabbitMQ."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.validation.roles.values import (
    IpAddress,
    Pem,
    Plain,
)
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Str,
)


class RabbitSetting(Plain):
    """A value of rabbitmq.conf."""

    def objection(self, value: str) -> str:
        if "#" in value or value.startswith("'"):
            return "has a # or begins with ', which RabbitMQ's configuration cannot hold"
        return "is empty" if not value else ""


class VirtualHosts(List):
    """Virtual hosts that share neither a name nor a user."""

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        found = super().check(value, path, problems)
        taken: dict[tuple[str, str], str] = {}
        for number, vhost in enumerate(found):
            users = [(f"users[{index}].", "user", user) for index, user in enumerate(vhost["users"])]
            for part, kind, entry in [("", "virtual host", vhost), *users]:
                here = f"{path}[{number}].{part}name"
                first = taken.setdefault((kind, str(entry.get("name") or here)), here)
                if first != here:
                    problems.add(here, f"is the name of another {kind} ({first}); give each its own")
        return found


def _vhost_rule(vhost: dict[str, Any], path: str, problems: Problems) -> None:
    if vhost.get("state") == "present" and not vhost["users"]:
        problems.add(f"{path}.users", "must have at least 1 item, unless state is absent")


VHOST = Object(
    {
        "name": Str(
            "name of the virtual host", pattern=r".{1,255}", hint="is empty, or too long", required=True
        ),
        "users": List(
            Object(
                {
                    "name": Str(
                        "name of the user",
                        pattern=r"(?!guest$).{1,255}",
                        hint="must be a name, and not guest, whose password everybody knows",
                        required=True,
                    ),
                    "password": Str("password of the user", pattern=r".+", hint="is empty", required=True),
                }
            ),
            doc="its users, at least one unless it is to be deleted",
            strict=True,
            default=[],
        ),
        "state": Choice(
            ["present", "absent"], doc="absent deletes it with all its messages", default="present"
        ),
    },
    rule=_vhost_rule,
)

INPUTS: dict[str, Field] = {
    "rabbitmq_vhosts": VirtualHosts(VHOST, strict=True),
    "rabbitmq_listen": List(IpAddress(pattern=r".+", hint="must be an IP address"), strict=True),
    "rabbitmq_tls_certificate": Pem("a certificate"),
    "rabbitmq_tls_key": Pem("a private key, without a passphrase,"),
    "rabbitmq_memory_percent": Int(low=1, high=90),
    "rabbitmq_disk_free_mb": Int(low=1, high=1 << 24),
    "rabbitmq_settings": Map(
        RabbitSetting(), key=r"[A-Za-z0-9_.$@-]+", key_hint="use the name of a setting of RabbitMQ"
    ),
}
