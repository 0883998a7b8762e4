"""Ports of a neighbour's services, which are free for a moment when these restart."""

from typing import Any

import pytest

from tests.acceptance import services
from tests.acceptance.attacker import Evil


def test_users_do_not_bind_ports_below_1024(host: Any) -> None:
    assert host.check_output("cat /proc/sys/net/ipv4/ip_unprivileged_port_start") == "1024"


@pytest.mark.parametrize("use", ["cache", "broker"])
def test_a_neighbours_redis_restarts(evil: Evil, host: Any, use: str) -> None:
    """Whoever has the port gets the password from the victim's next connection, and Redis stays down."""
    url = services.url_of(host, "victim", use)
    place = f"{url.hostname}:{url.port}"
    services.check_ports_are_kept(host, f"redis-server@victim-{use}.service", "evil", place)
    assert services.ask(host, place, str(url.password), "PING") == "PONG"
    # nor does the address lead to anybody else's
    assert url.netloc != services.url_of(host, "evil", use).netloc
