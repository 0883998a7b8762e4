"""How the plays of move_postgresql hang together: what a host that fails or is lost leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tests.unit.rendered import TRUSTED

PLAYBOOK = Path(__file__).parents[2] / "playbooks/move_postgresql.yml"
PLAYS: Any = DataLoader().load_from_file(str(PLAYBOOK), **TRUSTED)
NAMES = [play["name"] for play in PLAYS]
BOTH = "database_servers[0]:homeport_move_source"


def play(name: str) -> Any:
    [found] = [each for each in PLAYS if each["name"] == name]
    return found


def task(tasks: Any, name: str) -> Any:
    """The task of that name, also in a block."""
    every = list(tasks)
    for each in every:
        every += each.get("block", []) + each.get("rescue", [])
    return next(each for each in every if each["name"] == name and "block" not in each)


def answer(expression: str, variables: dict[str, Any]) -> Any:
    return Templar(DataLoader(), variables=variables).template(expression)


@pytest.mark.parametrize(
    ("closed", "open_still"),
    [
        ({"web1": {"homeport_move_not_closed": ""}, "web2": {"homeport_move_not_closed": ""}}, []),
        (
            {"web1": {"homeport_move_not_closed": ""}, "web2": {}},
            ["web2: has failed before, or is unreachable"],
        ),
        (
            {"web1": {"homeport_move_not_closed": "no"}, "web2": {"homeport_move_not_closed": ""}},
            ["web1: no"],
        ),
    ],
)
def test_postgresql_stops_once_every_host_has_said_that_its_apps_are_closed(
    closed: Any, open_still: list[str]
) -> None:
    check = task(play("Stop PostgreSQL where it is")["tasks"], "Check that the apps are closed")
    variables = {"homeport_app_hosts": ["web1", "web2"], "hostvars": closed}
    reasons = answer(check["vars"]["__reasons"], variables)
    assert answer(check["vars"]["__open"], {**variables, "__reasons": reasons}) == open_still
    closing = play("Close the apps")["tasks"][0]
    assert closing["block"][-1]["ansible.builtin.set_fact"] == {"homeport_move_not_closed": ""}
    assert "when" not in closing["block"][-1]


@pytest.mark.parametrize(
    "name", ["Copy PostgreSQL", "Write a checkpoint", "Stop PostgreSQL where it is", "Serve from the copy"]
)
def test_the_run_goes_on_where_one_of_both_hosts_is_lost(name: str) -> None:
    """Ansible ends with the last host of a play; an unreachable one is not rescued."""
    found = play(name)
    assert found["hosts"] == BOTH
    assert "any_errors_fatal" not in found
    assert all("homeport_database_hosts[0]" in each["when"] for each in found["tasks"])


def test_nobody_is_closed_for_a_server_that_cannot_be_stopped() -> None:
    check = task(play("Close the apps")["tasks"], "Check that the previous server can be stopped")
    server = {"homeport_move": {"host": "web1"}}
    for known, expected in (
        ({"homeport_move_not_settled": ""}, ""),
        ({"homeport_move_not_settled": "no"}, "no"),
        ({}, "web1 has failed before, or is unreachable"),
    ):
        variables = {"__server": server, "hostvars": {"web1": known}}
        assert answer(check["vars"]["__not_settled"], variables) == expected


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def test_a_message_has_its_lines() -> None:
    """Ansible takes a newline of a folded text for two characters."""
    for path in PLAYBOOK.parent.rglob("*.yml"):
        assert not [text for text in texts(yaml.safe_load(path.read_text())) if r"join('\n')" in text], path


def test_what_was_stopped_is_started_before_the_apps_open() -> None:
    order = [
        "Serve from the copy",
        "Start the previous server again after a failure",
        "Run PostgreSQL",  # and restarts for the archive
        "Put the releases live",
        "Report the failure",
        "Keep the previous cluster",
    ]
    assert [name for name in NAMES if name in order] == order
    assert "homeport_move_serves is defined" in play("Keep the previous cluster")["tasks"][0]["when"]


def test_no_login_of_a_live_release_goes_before_the_move() -> None:
    create = task(play("Let the new host copy")["tasks"], "Create the databases' logins")
    assert create["homeport.django.postgres_databases"]["drop"] is False
    assert "homeport_remote_app_hosts" in create["when"]


def test_a_move_renames_no_app() -> None:
    """Before anything is refused, it would be done."""
    path = PLAYBOOK.parent / "vars/objections.yml"
    found: Any = DataLoader().load_from_file(str(path), **TRUSTED)
    names = re.findall(r"\b(?:__|homeport_)\w+", found["homeport_objections"])
    variables = {**{name: [] for name in names}, "__unrenamed": ["old"], "homeport_moves_postgresql": False}
    assert answer(found["homeport_objections"], variables) == []
    assert answer(found["homeport_objections"], {**variables, "homeport_moves_postgresql": True}) == ["old"]
    assert PLAYS[0]["vars"]["homeport_moves_postgresql"] is True


def test_an_open_door_and_a_stopped_server_are_undone() -> None:
    for name, expected in (
        ("Inspect the database server", ["open", "stopped"]),  # named again
        ("Inspect the host that PostgreSQL moves from", ["open", "stopped"]),
    ):
        again = task(play(name)["tasks"], "Start what an interrupted run has stopped")
        assert str(expected) in again["when"]
