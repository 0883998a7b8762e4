# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""RabbitMQ: one server for all apps, each of which has a virtual host of its own."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.common.derive import logins
from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Values, Wanted

# Below 1024: an app cannot bind it while the service restarts (docs/decisions/0024).
PORT = 567


def resolve(wanted: Wanted) -> dict[str, Any]:
    """A virtual host cannot be renamed, and has messages: it keeps the first name of an app, and so do its users."""
    host, vhost = wanted.host or "127.0.0.1", wanted.first_name
    users = logins(vhost, [login["password"] for login in wanted.logins])
    user, password = users[0].values()
    return {
        "managed": True,
        "tls": bool(wanted.host),
        "host": host,
        "port": PORT,
        "user": user,
        "password": password,
        "logins": users,
        "vhost": vhost,
        "url": wanted.url("amqps" if wanted.host else "amqp", host, PORT, vhost, user),
    }


def environment(broker: Values) -> dict[str, str]:
    return {"AMQP_URL": broker["url"], "RABBITMQ_URL": broker["url"]}


RABBITMQ = Engine("rabbitmq", uses=("broker",), resolve=resolve, environment=environment, idle=130)
