from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import (
    ALREADY_STARTED,
    NOT_RUNNING,
    Supervisor,
)


class Api:
    """supervisord: how often a process is looked at before it has stopped, by name."""

    def __init__(self, **looks: int) -> None:
        self.looks = looks
        self.states = dict.fromkeys(looks, "RUNNING")
        self.events: list[str] = []

    def stopProcess(self, name: str, wait: bool) -> None:
        assert not wait
        if self.states[name] not in ("RUNNING", "STARTING", "BACKOFF"):
            raise xmlrpc.client.Fault(NOT_RUNNING, "NOT_RUNNING")
        self.events.append(f"stop {name}")
        self.states[name] = "STOPPING"

    def startProcess(self, name: str, wait: bool) -> None:
        assert not wait
        if self.states[name] in ("RUNNING", "STARTING"):
            raise xmlrpc.client.Fault(ALREADY_STARTED, "ALREADY_STARTED")
        self.events.append(f"start {name}")
        self.states[name] = "STARTING"

    def getProcessInfo(self, name: str) -> dict[str, Any]:
        if self.states[name] == "STOPPING":
            self.looks[name] -= 1
            if self.looks[name] < 0:
                self.states[name] = "STOPPED"
                self.events.append(f"stopped {name}")
        return {"statename": self.states[name]}


def client(api: Api) -> Supervisor:
    found = Supervisor("/nonexistent")
    found.api = api
    return found


def test_each_starts_as_soon_as_it_has_stopped() -> None:
    api = Api(slow=5, quick=1)
    client(api).restart(["slow", "quick"], 5)
    assert api.events == [
        "stop slow", "stop quick", "stopped quick", "start quick", "stopped slow", "start slow",
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["STOPPED", "EXITED", "FATAL"])
def test_one_that_does_not_run_is_started(state: str) -> None:
    """A deploy that was killed between the stop and the start left it like this."""
    api = Api(queue=0)
    api.states["queue"] = state
    client(api).restart(["queue"], 5)
    assert api.events == ["start queue"]


def test_one_that_is_being_stopped_already_is_waited_for() -> None:
    api = Api(queue=3)
    api.states["queue"] = "STOPPING"
    client(api).restart(["queue"], 5)
    assert api.events == ["stopped queue", "start queue"]


def test_one_that_ended_and_was_started_again_by_supervisord_is_not_waited_for() -> None:
    class Quick(Api):
        def stopProcess(self, name: str, wait: bool) -> None:
            self.states[name] = "STARTING"
            raise xmlrpc.client.Fault(NOT_RUNNING, "NOT_RUNNING")

    api = Quick(queue=0)
    client(api).restart(["queue"], 5)
    assert api.events == []


def test_the_wait_is_bounded() -> None:
    api = Api(stuck=10**9, quick=0)
    client(api).restart(["stuck", "quick"], 0.2)
    assert api.events == ["stop stuck", "stop quick", "stopped quick", "start quick"]


def test_other_faults_are_not_hidden() -> None:
    class Broken(Api):
        def stopProcess(self, name: str, wait: bool) -> None:
            raise xmlrpc.client.Fault(6, "SHUTDOWN_STATE")

    with pytest.raises(xmlrpc.client.Fault):
        client(Broken(queue=0)).restart(["queue"], 1)
