"""Runs of molecule, some of them side by side. The whole output of each is kept in .cache/test-logs."""

import contextlib
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LOGS = ROOT / ".cache" / "test-logs"
JOBS = int(os.environ.get("JOBS", "3"))
MINUTES = int(os.environ.get("SCENARIO_MINUTES", "30"))
# By how long they take, so that no processor waits for a last one. One of the first keeps the server that others start
# from (testhosts/kept.sh), which they would wait for.
LONGEST_FIRST = (
    "attack", "faults", "layouts", "two_workers", "site", "backup", "operations", "deploys", "simple", "https",
    "multi_app", "two_servers", "bare", "typical",
)  # fmt: skip


class Key(NamedTuple):
    scenario: str
    image: str

    def __str__(self) -> str:
        return f"{self.scenario}-{self.image}"

    @property
    def name(self) -> str:
        return str(self).replace(":", "-").replace("/", "-")

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def checks(self) -> Path:
        """What each check of the servers came to, as JUnit's XML."""
        return self.log.with_suffix(".xml")

    @property
    def place(self) -> int:
        """New ones first."""
        return LONGEST_FIRST.index(self.scenario) if self.scenario in LONGEST_FIRST else -1


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


class Runs:
    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(JOBS)
        self.statuses: dict[Key, Future[int]] = {}
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = False
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.while_waiting: Callable[[], None] = lambda: None

    def start(self, keys: Iterable[Key]) -> None:
        for key in sorted(keys, key=lambda key: key.place):
            self.statuses[key] = self.pool.submit(self.run, key)

    def status(self, key: Key) -> int:
        """The exit status of a run, once it has ended."""
        if key not in self.statuses:
            self.start([key])
        while True:
            try:
                return self.statuses[key].result(timeout=1)
            except StillRunning:
                self.while_waiting()

    def stop(self) -> None:
        """Ends all that run, each with its servers, and starts none of the others."""
        self.stopping = True
        for process in list(self.processes):
            end(process)
        self.pool.shutdown(cancel_futures=True)

    def run(self, key: Key) -> int:
        started = time.monotonic()
        status = self.molecule(key)
        minutes, seconds = divmod(round(time.monotonic() - started), 60)
        outcome = "failed" if status else "passed"
        self.ended.put(f"scenario {key}: {outcome} in {minutes} min {seconds:02} s")
        return status

    def molecule(self, key: Key) -> int:
        LOGS.mkdir(parents=True, exist_ok=True)
        key.checks.unlink(missing_ok=True)
        # The pytest inside is one of its own.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment |= {
            "IMAGE": key.image,
            "MOLECULE_EPHEMERAL_DIRECTORY": str(ROOT / ".cache" / "molecule" / key.name),
            "MOLECULE_COMMAND_BORDERS": "false",
            "NO_COLOR": "1",
            "PYTEST_ADDOPTS": f"--junit-xml={key.checks} --color=no --durations=15",
        }
        with key.log.open("w") as stream:
            process = subprocess.Popen(
                [str(ROOT / "bin" / "molecule"), "test", "--scenario-name", key.scenario],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes.add(process)
            try:
                if self.stopping:
                    end(process)
                return process.wait(timeout=MINUTES * 60)
            except subprocess.TimeoutExpired:
                end(process)
                process.wait()
                stream.write(f"\nStopped: it took longer than {MINUTES} minutes (SCENARIO_MINUTES).\n")
                return 124
            finally:
                self.processes.discard(process)
