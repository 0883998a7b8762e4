"""Runs of molecule, some of them side by side. The whole output of each is kept in .cache/test-logs.

    python -m tests.scenarios.runs SCENARIO-IMAGE...

A line for each that has ended: which one, its exit status, its seconds. A program of its own, since what pytest does
meanwhile are tests that set aside clocks and calls of the system, for all threads of their process.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "tests.scenarios.runs"]
LOGS = ROOT / ".cache" / "test-logs"
JOBS = int(os.environ.get("JOBS", "3"))
MINUTES = int(os.environ.get("SCENARIO_MINUTES", "60"))
# By how long they take, so that no processor waits for a last one. One of the first keeps the server that others start
# from (testhosts/kept.sh), which they would wait for.
LONGEST_FIRST = (
    "upgrade", "attack", "layouts", "external_services", "faults", "site", "operations", "backup", "deploys",
    "two_workers", "multi_app", "simple", "https", "grow", "typical", "bare",
)  # fmt: skip


class Key(NamedTuple):
    scenario: str
    image: str

    def __str__(self) -> str:
        return f"{self.scenario}-{self.image}"

    @classmethod
    def of(cls, text: str) -> "Key":
        scenario, _, image = text.partition("-")
        return cls(scenario, image)

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
    """What pytest knows of them."""

    def __init__(self) -> None:
        self.statuses: dict[Key, int | None] = {}
        self.programs: list[subprocess.Popen[bytes]] = []

    def start(self, keys: Iterable[Key]) -> None:
        ordered = sorted(keys, key=lambda key: key.place)
        self.statuses |= dict.fromkeys(ordered)
        words = [*PROGRAM, *map(str, ordered)]
        # No buffer, in which select would not see a second line.
        program = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
        )
        self.programs.append(program)

    def ended(self, seconds: float) -> list[str]:
        """A line for each that has ended since the last look, which waits for one as long as this."""
        streams = {program.stdout: program for program in self.programs if program.stdout}
        lines = []
        for stream in select.select(list(streams), [], [], seconds)[0]:
            line = stream.readline().decode()
            if not line:
                self.programs.remove(streams[stream])
                missing = [str(key) for key, status in self.statuses.items() if status is None]
                if not self.programs and missing:
                    raise RuntimeError(f"the scenarios ended without a word of {', '.join(missing)}")
                continue
            name, status, taken = line.split()
            self.statuses[Key.of(name)] = int(status)
            minutes, rest = divmod(int(taken), 60)
            lines.append(
                f"scenario {name}: {'failed' if int(status) else 'passed'} in {minutes} min {rest:02} s"
            )
        return lines

    def stop(self) -> None:
        """Ends all that run, each with its servers, and starts none of the others."""
        for program in self.programs:
            program.terminate()
        for program in self.programs:
            program.wait()


class Pool:
    """The program's own side."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = False

    def all(self, keys: Iterable[Key]) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        with ThreadPoolExecutor(JOBS) as threads:
            for started in [threads.submit(self.run, key) for key in keys]:
                started.result()

    def stop(self, *_signal: object) -> None:
        self.stopping = True
        for process in list(self.processes):
            end(process)

    def run(self, key: Key) -> None:
        if self.stopping:
            return
        started = time.monotonic()
        status = self.molecule(key)
        # in one piece: others print at the same time
        print(f"{key} {status} {round(time.monotonic() - started)}\n", end="", flush=True)

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


if __name__ == "__main__":
    Pool().all(map(Key.of, sys.argv[1:]))
