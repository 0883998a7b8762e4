"""A line for each scenario as soon as it has ended: minutes of dots tell nothing."""

import signal
from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # Told to stop, a worker ends its scenario instead of leaving it behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Lines(config), "scenario-lines")


class Lines:
    def __init__(self, config: pytest.Config) -> None:
        self.terminal: Any = config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or "test_scenario[" not in report.nodeid or hasattr(report, "context"):
            return
        name = report.nodeid.partition("[")[2].removesuffix("]")
        minutes, seconds = divmod(round(report.duration), 60)
        self.terminal.write_line(f"\nscenario {name}: {report.outcome} in {minutes} min {seconds:02} s")
