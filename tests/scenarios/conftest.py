"""Scenarios run side by side and apart from pytest, which goes through the other tests meanwhile and then waits for
them; a line for each as soon as it has ended."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.runs import Key, Runs

RUNS = pytest.StashKey[Runs]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # Told to stop, pytest ends its scenarios instead of leaving them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.stash[RUNS] = Runs()
    config.pluginmanager.register(Lines(config), "scenario-lines")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[RUNS].stop()


def pytest_collection_finish(session: pytest.Session) -> None:
    # A worker of pytest-xdist has only some of the tests, and runs each when it is told to.
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        session.config.stash[RUNS].start([key for item in session.items if (key := scenario_of(item))])


def scenario_of(item: pytest.Item) -> Key | None:
    given = getattr(item, "callspec", None)
    return Key(**given.params) if given and {"scenario", "image"} == set(given.params) else None


@pytest.fixture(scope="session")
def status(pytestconfig: pytest.Config) -> Callable[[Key], int]:
    """The exit status of a run, once it has ended."""
    runs = pytestconfig.stash[RUNS]
    lines: Lines = pytestconfig.pluginmanager.get_plugin("scenario-lines")  # type: ignore[assignment]

    def wait(key: Key) -> int:
        if key not in runs.statuses:
            runs.start([key])
        while (found := runs.statuses[key]) is None:
            lines.write(runs.ended(600))
        return found

    return wait


class Lines:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logfinish(self) -> None:
        self.write(self.config.stash[RUNS].ended(0))

    def write(self, lines: list[str]) -> None:
        plugins = self.config.pluginmanager
        terminal: Any = plugins.get_plugin("terminalreporter")
        capture: Any = plugins.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            for line in lines:
                terminal.write_line(f"\n{line}")
