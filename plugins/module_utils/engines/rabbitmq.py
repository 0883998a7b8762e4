# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""RabbitMQ: one server for all apps, each of which has a virtual host of its own."""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.engines.engine import Engine, Values, Wanted

# Below 1024: an app cannot bind it while the service restarts (docs/decisions/0024).
PORT = 567


def resolve(wanted: Wanted) -> dict[str, Any]:
    host = wanted.host or "127.0.0.1"
    user, password = wanted.logins[0].values()
    return {
        "managed": True,
        "tls": bool(wanted.host),
        "host": host,
        "port": PORT,
        "user": user,
        "password": password,
        "logins": wanted.logins,
        "vhost": wanted.app,
        "url": wanted.url("amqps" if wanted.host else "amqp", host, PORT, wanted.app, user),
    }


def environment(broker: Values) -> dict[str, str]:
    return {"AMQP_URL": broker["url"], "RABBITMQ_URL": broker["url"]}


RABBITMQ = Engine("rabbitmq", uses=("broker",), resolve=resolve, environment=environment, idle=130)
