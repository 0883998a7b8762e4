"""RabbitMQ's files: what is closed, what is bounded, and that what a user sets wins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.templates.conftest import Files, Render

CONF = "/etc/rabbitmq/conf.d/homeport.conf"
LISTEN = "/etc/rabbitmq/conf.d/homeport-listen.conf"


def settings(files: Files) -> dict[str, str]:
    texts = files[CONF].splitlines() + files[LISTEN].splitlines()
    lines = [line for line in texts if line and not line.startswith("#")]
    pairs = [line.split(" = ", 1) for line in lines]
    assert len({name for name, _value in pairs}) == len(pairs)
    return {pair[0]: pair[1] for pair in pairs}


def test_it_is_closed_by_default(render: Render) -> None:
    files = render("rabbitmq")
    found = settings(files)
    assert {name: value for name, value in found.items() if name.startswith("listeners")} == {
        "listeners.tcp.1": "127.0.0.1:567"
    }
    assert {value for name, value in found.items() if name.startswith("auth_mechanisms")} == {
        "PLAIN",
        "AMQPLAIN",
    }
    assert found["default_user_tags.administrator"] == "false"
    assert found["default_permissions.read"] == "^$"
    assert files["/etc/rabbitmq/enabled_plugins"] == "[].\n"
    environment = files["/etc/rabbitmq/rabbitmq-env.conf"]
    assert "inet_dist_use_interface {127,0,0,1}" in environment
    assert "-start_epmd false -erl_epmd_port 568 -epmd_port 569" in environment


def test_addresses_of_both_kinds(render: Render) -> None:
    found = settings(render("rabbitmq", rabbitmq_listen=["127.0.0.1", "fd00::3"]))
    assert found["listeners.tcp.1"] == "127.0.0.1:567"
    assert found["listeners.tcp.2"] == "[fd00::3]:567"


def test_where_it_listens_is_all_that_does_not_wait_for_a_restart(render: Render) -> None:
    given = {"listeners.ssl.1": "10.0.0.1:1", "consumer_timeout": 1}
    before = render("rabbitmq", {"memory_mb": 4000}, rabbitmq_settings=given)
    assert "listeners" not in before[CONF]
    assert "listeners.ssl.1 = 10.0.0.1:1" in before[LISTEN]
    after = render("rabbitmq", {"memory_mb": 8000}, rabbitmq_settings={**given, "consumer_timeout": 2})
    assert before[CONF] != after[CONF]
    assert before[LISTEN] == after[LISTEN]


@pytest.mark.parametrize(("memory", "mark"), [(512, "256MiB"), (4000, "1000MiB"), (1_000_000, "4096MiB")])
def test_memory_stays_within_reason(render: Render, memory: int, mark: str) -> None:
    found = settings(render("rabbitmq", {"memory_mb": memory}))
    assert found["vm_memory_high_watermark.absolute"] == mark


def test_the_users_settings_win(render: Render) -> None:
    given: dict[str, Any] = {"consumer_timeout": 60000, "disk_free_limit.absolute": "2GB", "mirroring": True}
    found = settings(render("rabbitmq", rabbitmq_settings=given))
    assert found["consumer_timeout"] == "60000"
    assert found["disk_free_limit.absolute"] == "2GB"
    assert found["mirroring"] == "true"
