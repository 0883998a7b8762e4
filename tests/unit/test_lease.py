"""The launcher of what runs on one of several hosts at a time: processes that are killed, cut off and stopped."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/django_app/files/usr/local/lib/homeport/lease.py"

# A host: the program with shorter times, and a database that several processes share and can lose.
HOST = f"""
import importlib.util, os, sqlite3, sys, time
spec = importlib.util.spec_from_file_location("lease", {str(PROGRAM)!r})
lease = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lease)
lease.LEASE, lease.SURE, lease.RENEW, lease.UNANSWERED = 9, 6, 0.2, 2
lease.CONNECT, lease.ENDING = 3, 2
os.chdir(sys.argv[1])
me = sys.argv[2]
right = time.time
time.time = lambda: right() + float(os.environ.get("HOST_CLOCK_AHEAD", 0))

class Cursor(sqlite3.Cursor):
    def execute(self, statement, values=()):
        if os.path.exists(f"cut-{{me}}"):
            raise OSError("no route to host")
        while os.path.exists(f"silent-{{me}}"):
            time.sleep(0.1)
        return super().execute(statement.replace("%s", "?"), values)
    def __enter__(self):
        return self
    def __exit__(self, *_error):
        self.close()

class Connection(sqlite3.Connection):
    vendor = "sqlite"
    def cursor(self):
        return super().cursor(Cursor)
    def set_autocommit(self, _on):
        self.isolation_level = None
    @property
    def introspection(self):
        return self
    def table_names(self):
        return [name for (name,) in self.execute("SELECT name FROM sqlite_master")]

store = lease.Store(lambda: sqlite3.connect("database", factory=Connection))
words = sys.argv[4:]
if sys.argv[3] == "once":
    lease.started = lambda: int(float(os.environ["STARTED"]))
    sys.exit(lease.once(store, "blog.digest", words[0], words[1:]))
sys.exit(lease.hold(store, "blog.beat", me, lease.signal.SIGTERM, 5, words[2:], *words[:2]))
"""
RUNS = "echo $0 $1 >>ran; trap 'echo $0 ended >>ran; exit 0' TERM; while :; do sleep 0.05; done"


class Hosts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "host.py"
        self.program.write_text(HOST)
        self.running: list[subprocess.Popen[str]] = []

    def start(self, me: str, *words: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(self.program), str(self.folder), me, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **env},
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def hold(self, me: str, state: str = "", standby: str = "") -> subprocess.Popen[str]:
        return self.start(me, "hold", state, standby, "sh", "-c", RUNS, me)

    def once(self, me: str, seconds: float, command: str = "echo $0 >>ran") -> subprocess.Popen[str]:
        """A run of a schedule that is due every minute, ``seconds`` after some full hour."""
        words = ("once", "*:*", "sh", "-c", command, me)
        return self.start(me, *words, STARTED=f"{HOUR + seconds}")

    def ran(self) -> list[str]:
        file = self.folder / "ran"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def kill(self, process: subprocess.Popen[str]) -> None:
        """As a power cut does."""
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


HOUR = 1_764_000_000  # seconds since 1970, at 16:00 UTC
AHEAD = "HOST_CLOCK_AHEAD"  # seconds


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    found = Hosts(tmp_path)
    yield found
    for process in found.running:
        if process.poll() is None:
            found.kill(process)


def within(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_of_three_hosts_runs_it_and_another_takes_over_when_it_is_lost(hosts: Hosts) -> None:
    running = {me: hosts.hold(me) for me in ("a", "b", "c")}
    within(lambda: len(hosts.ran()) > 0)
    time.sleep(1)
    [line] = hosts.ran()
    hosts.kill(running.pop(line))
    lost = time.monotonic()
    within(lambda: len(hosts.ran()) > 1)
    # the lease that was renewed last has expired
    assert time.monotonic() - lost > 6
    assert hosts.ran()[1] in running
    assert len(hosts.ran()) == 2


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_a_holder_that_is_cut_off_has_stopped_before_another_starts(how: str, hosts: Hosts) -> None:
    first = hosts.hold("a")
    within(lambda: hosts.ran() == ["a"])
    hosts.hold("b")
    time.sleep(0.5)
    (hosts.folder / f"{how}-a").touch()
    assert "The lease was lost" in first.communicate(timeout=60)[0]
    assert first.returncode == 75
    within(lambda: len(hosts.ran()) > 2)
    assert hosts.ran() == ["a", "a ended", "b"]


def test_a_process_that_starts_again_takes_its_lease_up_at_once_with_its_state(hosts: Hosts) -> None:
    state = hosts.folder / "state"
    first = hosts.hold("a", "state")
    within(lambda: hosts.ran() == ["a"])
    state.touch()
    hosts.hold("b", "state")
    first.terminate()
    assert first.wait(60) == 0
    hosts.hold("a", "state")
    within(lambda: hosts.ran() == ["a", "a ended", "a"], 8)
    assert state.exists()


def test_what_another_host_has_scheduled_since_makes_a_state_out_of_date(hosts: Hosts) -> None:
    first = hosts.hold("a", "state")
    within(lambda: hosts.ran() == ["a"])
    hosts.kill(first)
    # by the library that shelve uses
    for suffix in ("", ".db", ".bak", ".dir", ".dat"):
        (hosts.folder / f"state{suffix}").touch()
    hosts.hold("b", "state")
    within(lambda: hosts.ran() == ["a", "b"])
    assert list(hosts.folder.glob("state*")) == []


def test_the_first_lease_of_all_leaves_the_state_of_the_only_scheduler(hosts: Hosts) -> None:
    (hosts.folder / "state.db").touch()
    hosts.hold("a", "state")
    within(lambda: hosts.ran() == ["a"])
    assert (hosts.folder / "state.db").exists()


def test_a_process_that_cannot_have_a_lease_fails_and_prints_the_reason(hosts: Hosts) -> None:
    (hosts.folder / "cut-a").touch()
    process = hosts.hold("a")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 75
    assert (
        "The lease could not be taken for 3 s: OSError: no route to host. The command was not started."
        in output
    )
    assert hosts.ran() == []


def test_one_that_waits_fails_once_it_cannot_see_the_lease_any_more(hosts: Hosts) -> None:
    hosts.hold("a")
    within(lambda: hosts.ran() == ["a"])
    second = hosts.hold("b")
    time.sleep(0.5)
    (hosts.folder / "silent-b").touch()
    output = second.communicate(timeout=60)[0]
    assert second.returncode == 75
    assert "Another host runs it." in output and "The lease could not be taken for 3 s" in output
    assert hosts.ran() == ["a"]


def test_one_that_works_on_standby_ends_its_work_and_is_started_again_with_the_lease(hosts: Hosts) -> None:
    first = hosts.hold("a", "", "standby")
    within(lambda: hosts.ran() == ["a"])
    second = hosts.hold("b", "", "standby")
    within(lambda: hosts.ran() == ["a", "b standby"])
    hosts.kill(first)
    assert second.wait(60) == 0
    assert hosts.ran()[2:] == ["b ended"]
    hosts.hold("b", "", "standby")
    within(lambda: hosts.ran()[3:] == ["b"], 8)


def test_one_that_works_on_standby_does_so_without_a_database(hosts: Hosts) -> None:
    (hosts.folder / "cut-a").touch()
    process = hosts.hold("a", "", "standby")
    within(lambda: hosts.ran() == ["a standby"])
    assert process.stdout is not None
    assert "no route to host. Periodic tasks do not run here." in process.stdout.readline()
    assert process.poll() is None


def test_a_stop_reaches_one_that_waits(hosts: Hosts) -> None:
    hosts.hold("a")
    within(lambda: hosts.ran() == ["a"])
    second = hosts.hold("b")
    time.sleep(0.5)
    second.terminate()
    assert second.wait(60) == 128 + signal.SIGTERM


def test_each_time_of_a_schedule_once_on_hosts_that_start_it_together(hosts: Hosts) -> None:
    for minute in range(3):
        running = [hosts.once(me, minute * 60 + 0.4) for me in ("a", "b", "c", "d")]
        assert [process.wait(60) for process in running] == [0] * 4
        assert len(hosts.ran()) == minute + 1


def test_a_host_whose_clock_is_fast_runs_no_time_twice(hosts: Hosts) -> None:
    """a is 70 s ahead of b, each by its own clock: b never finds a time that has not been run, until a is lost."""
    for minute in range(3):
        assert hosts.once("a", minute * 60 + 70).wait(60) == 0
        assert hosts.once("b", minute * 60 + 10).wait(60) == 0
    assert hosts.ran() == ["a", "a", "a"]
    for minute in range(3, 6):
        assert hosts.once("b", minute * 60 + 10).wait(60) == 0
    assert hosts.ran() == ["a", "a", "a", "b", "b"]


def test_a_host_with_a_wrong_clock_leaves_it_to_the_others(hosts: Hosts) -> None:
    process = hosts.start("a", "once", "*:*", "sh", "-c", "echo a >>ran", **{AHEAD: "3600", "STARTED": "0"})
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 75
    assert "The clock of this host is 3600 s fast" in output
    assert hosts.ran() == []


def test_a_run_that_has_not_ended_keeps_the_next_from_another_host(hosts: Hosts) -> None:
    hosts.once("a", 0, "echo $0 >>ran; exec sleep 60")
    within(lambda: hosts.ran() == ["a"])
    second = hosts.once("b", 60)
    assert "has not ended on another host" in second.communicate(timeout=60)[0]
    assert second.returncode == 0
    assert hosts.ran() == ["a"]


def test_a_run_whose_host_is_lost_frees_the_next(hosts: Hosts) -> None:
    first = hosts.once("a", 0, "echo $0 >>ran; exec sleep 60")
    within(lambda: hosts.ran() == ["a"])
    hosts.kill(first)
    # the same time is not run again
    assert hosts.once("b", 30).wait(60) == 0
    assert hosts.once("b", 60).wait(60) == 0
    assert hosts.ran() == ["a", "b"]


def test_a_run_that_is_cut_off_ends(hosts: Hosts) -> None:
    first = hosts.once("a", 0, "echo $0 >>ran; exec sleep 60")
    within(lambda: hosts.ran() == ["a"])
    (hosts.folder / "cut-a").touch()
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 75
    assert "The lease was lost" in output and "no route to host" in output


def test_without_a_database_nothing_runs_and_the_reason_is_printed(hosts: Hosts) -> None:
    (hosts.folder / "cut-a").touch()
    process = hosts.once("a", 0)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 75
    assert (
        "The lease could not be taken for 3 s: OSError: no route to host. The command was not run." in output
    )
    assert hosts.ran() == []


def test_the_status_of_the_command_is_that_of_the_run(hosts: Hosts) -> None:
    assert hosts.once("a", 0, "exit 3").wait(60) == 3
    assert hosts.once("a", 60, "kill -KILL $$").wait(60) == 128 + signal.SIGKILL


def test_a_run_began_when_its_process_did() -> None:
    """The launcher becomes this program, which Python and the settings may keep waiting."""
    code = f"import runpy; print(runpy.run_path({str(PROGRAM)!r})['started']())"
    before = time.time()
    words = ["sh", "-c", 'sleep 10; exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert before - 1 <= int(done.stdout) < before + 9


def test_settings_that_are_a_class(tmp_path: Path) -> None:
    """Their importer has to be installed before the first look at them."""
    (tmp_path / "configurations").mkdir()
    (tmp_path / "configurations/__init__.py").touch()
    (tmp_path / "configurations/importer.py").write_text(
        "def install():\n    import site_settings as settings\n"
        "    settings.DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'x'}}\n"
    )
    (tmp_path / "site_settings.py").write_text("SECRET_KEY = 'x'\n")
    words = [sys.executable, str(PROGRAM), "once", "blog.digest", "*:*", "true"]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "DJANGO_CONFIGURATION": "Production"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "The project's database is sqlite" in done.stdout, done.stderr


def test_a_project_that_uses_the_variable_of_configurations_itself(tmp_path: Path) -> None:
    (tmp_path / "configurations.py").write_text("raise RuntimeError('is not asked for')\n")
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'x'}}\n"
    )
    words = [sys.executable, str(PROGRAM), "once", "blog.digest", "*:*", "true"]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "DJANGO_CONFIGURATION": "production"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "The project's database is sqlite" in done.stdout, done.stderr


@pytest.fixture(scope="module")
def lease() -> Any:
    spec = importlib.util.spec_from_file_location("lease", PROGRAM)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize(
    ("calendar", "after", "coming"),
    [
        ("*:*", HOUR, HOUR + 60),
        ("*:*", HOUR + 59, HOUR + 60),
        ("*-*-* 06:30 UTC", HOUR, 1_764_052_200),
        ("2020-01-01 UTC", HOUR, None),
    ],
)
def test_the_next_time_of_a_calendar(calendar: str, after: int, coming: int | None, lease: Any) -> None:
    assert lease.following(calendar, after) == coming
