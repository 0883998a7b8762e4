# ruff: noqa: E501
from __future__ import annotations

import http.server
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import end
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, tail
from ansible_collections.homeport.django.plugins.module_utils.host.release import switch as release_switch
from ansible_collections.homeport.django.plugins.module_utils.host.release.health import (
    Page,
    connect,
    healthy,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.private_try import PrivateTry
from ansible_collections.homeport.django.plugins.module_utils.host.release.prune import prune
from ansible_collections.homeport.django.plugins.module_utils.host.release.serving import release_of
from ansible_collections.homeport.django.plugins.module_utils.host.release.switch import Switch
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import wait_until

from tests.unit.releases import HereLayout, layout, write


@pytest.mark.parametrize("status", [200, 204, 301, 302, 308, 399, 401, 403, 404])
def test_healthy(status: int) -> None:
    assert healthy(status, [])


@pytest.mark.parametrize("status", [100, 400, 405, 410, 429, 500, 502, 503])
def test_not_healthy(status: int) -> None:
    assert not healthy(status, [])


def test_where_the_health_page_is_asked_for() -> None:
    assert connect("/run/a.sock", 1).unix_path == "/run/a.sock"  # type: ignore[attr-defined]
    assert connect("unix:///run/a.sock", 1).unix_path == "/run/a.sock"  # type: ignore[attr-defined]
    found = connect("tcp://0.0.0.0:80", 1), connect("tcp://10.0.0.1:8000", 1)
    assert [(one.host, one.port) for one in found] == [("127.0.0.1", 80), ("10.0.0.1", 8000)]


def test_only_the_named_statuses() -> None:
    assert healthy(503, [503])
    assert not healthy(200, [204])


def test_wait_until() -> None:
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), 5, pause=0)
    started = time.monotonic()
    assert not wait_until(lambda: False, 0.05, pause=0.01)
    assert time.monotonic() - started < 30
    assert wait_until(lambda: True, 0)


def test_the_release_of_a_process() -> None:
    with (
        subprocess.Popen(["sleep", "60"], env={"HOMEPORT_RELEASE": "7"}) as one,
        subprocess.Popen(["sleep", "60"]) as two,
    ):
        try:
            assert wait_until(lambda: release_of(one.pid) == "7", 5)
            assert release_of(two.pid) == ""
        finally:
            one.kill()
            two.kill()
    assert release_of(one.pid) == ""


def test_everything_that_a_process_started_ends_with_it() -> None:
    script = "import subprocess, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child = "p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); signal.signal(signal.SIGTERM, signal.SIG_DFL); p.wait()"
    process = subprocess.Popen(
        [sys.executable, "-c", script + child], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    grandchild = int(process.stdout.readline())
    end(process)
    process.stdout.close()
    assert process.returncode is not None
    assert wait_until(lambda: gone(grandchild), 5)
    end(process)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


class Handler(http.server.BaseHTTPRequestHandler):
    status = 200
    seen: list[tuple[str, str | None, str | None]] = []

    def address_string(self) -> str:
        return "socket"

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Host"], self.headers["X-Forwarded-Proto"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"the page says why")

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "try.sock")
    Handler.seen.clear()
    with socketserver.ThreadingUnixStreamServer(path, Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield path
        found.shutdown()
        thread.join()


class Running:
    """A process that has not ended, or has with a status."""

    def __init__(self, returncode: int | None = None) -> None:
        self.returncode = returncode

    def poll(self) -> int | None:
        return self.returncode


def switch(folder: Path, supervisor: Any = None, **fields: Any) -> Switch:
    return Switch(layout(folder, **fields), supervisor)


def test_the_new_release_is_asked_as_a_visitor_asks(server: str, tmp_path: Path) -> None:
    Handler.status = 200
    PrivateTry(layout(tmp_path, health="/health/?x=1"), "").wait_for_health(Running(), server)  # type: ignore[arg-type]
    assert Handler.seen == [("/health/?x=1", "blog.example.org", "http")]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "answers / with status 500\nthe page says why"),
        (400, "is the host name in the settings' ALLOWED_HOSTS"),
    ],
)
def test_an_unhealthy_answer_is_shown(status: int, message: str, server: str, tmp_path: Path) -> None:
    Handler.status = status
    with pytest.raises(DeployError) as error:
        PrivateTry(layout(tmp_path), "").wait_for_health(Running(), server)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_a_release_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"does not start \(gunicorn exited with status 3\)"):
        PrivateTry(layout(tmp_path), "").wait_for_health(Running(3), str(tmp_path / "none"))  # type: ignore[arg-type]


def test_a_release_that_never_listens_or_never_answers(tmp_path: Path) -> None:
    patient = {"health": {"timeout": 1}}
    with pytest.raises(DeployError, match="not healthy after 1 s: it does not listen"):
        PrivateTry(layout(tmp_path / "a", **patient), "").wait_for_health(Running(), str(tmp_path / "none"))  # type: ignore[arg-type]
    path = str(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(DeployError, match="not healthy after 1 s: it does not answer"):
            PrivateTry(layout(tmp_path / "b", **patient), "").wait_for_health(Running(), path)  # type: ignore[arg-type]


class Supervisor:
    """supervisord's view: the release that each process runs, by name."""

    def __init__(self, **running: str | None) -> None:
        self.running = {f"blog.{name.replace('__', ':')}": release for name, release in running.items()}

    def processes(self, prefix: str) -> dict[str, dict[str, Any]]:
        return {
            name: {"statename": "FATAL" if release is None else "RUNNING", "pid": release}
            for name, release in self.running.items()
            if name.startswith(prefix)
        }


class Public(Switch):
    """Answers of the public socket, one after the other; the last for ever."""

    def __init__(self, folder: Path, answers: list[int], **states: str) -> None:
        super().__init__(layout(folder), None)  # type: ignore[arg-type]
        self.answers = answers
        self.known = {
            f"blog.{name}": {"statename": state, "pid": os.getpid(), "start": 0, "now": 60}
            for name, state in states.items()
        }

    def found(self) -> dict[str, dict[str, Any]]:
        return self.known

    def printed(self, name: str) -> str:
        return f":\nwhat {name} said"

    def health_page(self, address: str, timeout: float) -> Page:
        assert address == "unix:///run/homeport/blog.sock"
        return Page(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0], "text/html", "", "")


def test_a_live_release_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    Public(tmp_path / "a", [200], web="RUNNING").watch(0.01)
    Public(tmp_path / "b", [500, 500, 200]).watch(0.01)  # two bad answers may be a coincidence
    with pytest.raises(DeployError, match="is live, but answers / with status 500"):
        Public(tmp_path / "c", [200, 500]).watch(1)
    with pytest.raises(DeployError, match=r"is live, but blog.queue exited:\nwhat blog.queue said"):
        Public(tmp_path / "d", [200], web="RUNNING", queue="BACKOFF").watch(0.01)
    closed = Public(tmp_path / "f", [503])
    write(Path(closed.layout.home) / "maintenance/on")
    closed.watch(0.01)  # by the operator, who may deploy all the same
    Public(tmp_path / "e", [200], queue="BACKOFF").watch(0)  # workers of the release before, not renewed yet


def test_a_first_release_may_not_be_asked(tmp_path: Path) -> None:
    fields = {"health": {"first": False}}
    assert switch(tmp_path / "a").asked
    found = switch(tmp_path / "b", **fields)
    assert not found.asked
    assert found.problem(1) == ""
    found.layout.spec["live_elsewhere"] = True
    assert Switch(found.layout, None).asked  # type: ignore[arg-type]
    live(switch(tmp_path / "c", **fields).layout, {"0": "1"})  # type: ignore[arg-type]
    assert switch(tmp_path / "c", **fields).asked


def test_a_slot_that_has_gone_to_sleep_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waited(Exception):
        pass

    def wait(_seconds: float) -> None:
        raise Waited

    monkeypatch.setattr("time.sleep", wait)
    found = Public(tmp_path, [200], **{"web:0": "RUNNING", "web:1": "STARTING"})
    found.layout.point(f"{found.layout.slots}/0", f"{found.layout.releases}/2")
    write(Path(found.layout.releases) / "2" / "release.json", "{}")
    found.live_since = time.monotonic() - 1  # watched since it serves, not since its workers are renewed
    found.watch(1)
    found.layout.point(f"{found.layout.slots}/1", f"{found.layout.releases}/2")
    with pytest.raises(Waited):
        found.watch(1)


def test_a_worker_that_ends_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    found = Public(tmp_path, [200], **{"queue:0": "RUNNING"})
    found.renewed = {"blog.queue:0": os.getpid()}
    found.watch(0.01)
    # supervisord has started it again since
    found.renewed = {"blog.queue:0": os.getpid() + 1}
    with pytest.raises(DeployError, match=r"is live, but blog.queue:0 exited:\nwhat blog.queue:0 said"):
        found.watch(0)


BUSY = "while :; do :; done"


@pytest.mark.parametrize(
    ("age", "command", "loaded"),
    [
        (1, "sleep 60", False),  # younger than a worker needs to load
        (9, "sleep 60", True),
        (9, BUSY, False),
        (9, f"(sleep 60 & {BUSY})", False),  # in a wrapper of its own
        (9, ":", False),  # the launcher alone
        (60, BUSY, True),  # it has work to do
    ],
)
def test_what_is_loading_does_not_wait(tmp_path: Path, age: int, command: str, loaded: bool) -> None:
    found = Public(tmp_path, [200])
    # the parent of the command waits, as the launcher does
    launcher = ["sh", "-c", f"trap 'kill 0' TERM; {command} & wait; read -r line"]
    with subprocess.Popen(launcher, stdin=subprocess.PIPE, start_new_session=True) as process:
        try:
            time.sleep(0.3)
            info = {"pid": process.pid, "start": 100, "now": 100 + age}
            assert [found.has_loaded("blog.queue:0", info) for _time in range(5)][-1] == loaded
        finally:
            os.killpg(process.pid, signal.SIGKILL)


SETTLED = {"web__0": "2", "web__1": "", "queue__0": "2"}
UNSETTLED: list[dict[str, str | None]] = [
    {**SETTLED, "web__0": "1"},
    {**SETTLED, "web__0": None},
    {**SETTLED, "web__0": ""},
    {**SETTLED, "web__1": "1"},
    {**SETTLED, "queue__0": "1"},
    {**SETTLED, "queue__0": None},
    {**SETTLED, "queue__0": ""},
]


def live(found: HereLayout, slots: dict[str, str]) -> None:
    for name in ("1", "2"):
        write(Path(found.releases) / name / "release.json", "{}")
        write(Path(found.releases) / name / "config/processes/queue")
    found.point(f"{found.home}/current", f"{found.releases}/2")
    for slot, release in slots.items():
        found.point(f"{found.slots}/{slot}", f"{found.releases}/{release}")


def settled(
    folder: Path, running: dict[str, Any], slots: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> bool:
    monkeypatch.setattr(release_switch, "release_of", lambda pid: pid)
    found = switch(folder, Supervisor(**running))
    assert isinstance(found.layout, HereLayout)
    live(found.layout, slots)
    return found.is_settled()


def test_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settled(tmp_path, SETTLED, {"0": "2"}, monkeypatch)


def test_a_process_that_the_release_does_not_know_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = {**SETTLED, "newer__0": ""}
    assert settled(tmp_path / "a", asleep, {"0": "2"}, monkeypatch)
    assert not settled(tmp_path / "b", {**asleep, "newer__0": "1"}, {"0": "2"}, monkeypatch)


@pytest.mark.parametrize("running", UNSETTLED)
def test_not_settled(running: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not settled(tmp_path, running, {"0": "2"}, monkeypatch)


@pytest.mark.parametrize("slots", [{}, {"0": "1"}, {"0": "2", "1": "1"}, {"0": "2", "1": "2"}])
def test_slots_that_are_not_settled(
    slots: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not settled(tmp_path, SETTLED, slots, monkeypatch)


class Restarting(Supervisor):
    """Has a slot run what its link names, as the launcher does."""

    def __init__(self, slots: str, **running: str | None) -> None:
        super().__init__(**running)
        self.slots = slots

    def restart(self, names: list[str], _seconds: int) -> None:
        for name in names:
            link = f"{self.slots}/{name[-1]}"
            self.running[name] = os.path.basename(os.readlink(link)) if os.path.islink(link) else ""


@pytest.mark.parametrize(
    ("slots", "running"),
    [
        ({"0": "2", "1": "1"}, {"web__0": "2", "web__1": "1"}),
        ({"0": "1", "1": "2"}, {"web__0": "1", "web__1": "2"}),
        ({"0": "2", "1": "2"}, {"web__0": "2", "web__1": "2"}),
        ({"0": "2"}, {"web__0": "2", "web__1": "1"}),
    ],
)
def test_a_switch_that_ended_with_its_host_is_finished(
    slots: dict[str, str], running: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new release is live, and the previous one serves beside it."""
    monkeypatch.setattr(release_switch, "release_of", lambda pid: pid)
    found = switch(tmp_path)
    found.supervisor = Restarting(found.layout.slots, **running, queue__0="2")  # type: ignore[assignment]
    live(found.layout, slots)  # type: ignore[arg-type]
    assert not found.is_settled()
    found.prepare(f"{found.layout.releases}/2")
    assert not found.needed
    found.hand_over()
    assert found.is_settled()
    before = dict(found.supervisor.running)  # type: ignore[attr-defined]
    found.hand_over()
    assert found.supervisor.running == before  # type: ignore[attr-defined]


def test_nothing_is_settled_before_the_first_release(tmp_path: Path) -> None:
    assert not switch(tmp_path, Supervisor()).is_settled()


def test_prune_keeps_what_may_be_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_switch, "release_of", lambda pid: pid)
    found = switch(tmp_path, Supervisor(queue__0="3"), keep_releases=2)
    for name in "123456789":
        write(Path(found.layout.releases) / name / "release.json", "{}")
    found.layout.point(f"{found.layout.home}/current", f"{found.layout.releases}/4")
    found.layout.point(f"{found.layout.home}/previous", f"{found.layout.releases}/1")
    found.layout.point(f"{found.layout.slots}/1", f"{found.layout.releases}/5")
    prune(found)
    assert sorted(os.listdir(found.layout.releases)) == ["1", "3", "4", "5", "8", "9"]


def test_links_move_in_one_step(tmp_path: Path) -> None:
    found = layout(tmp_path)
    for name in ("1", "2"):
        os.makedirs(f"{found.releases}/{name}")
        found.point(found.next_link, f"{found.releases}/{name}")
        assert found.resolve_link(found.next_link) == f"{found.releases}/{name}"
    os.symlink("elsewhere", f"{found.next_link}.new")  # by a run that was cut off
    found.point(found.next_link, f"{found.releases}/1")
    assert found.resolve_link(found.next_link) == f"{found.releases}/1"
    os.rmdir(f"{found.releases}/1")
    assert found.resolve_link(found.next_link) is None


def test_records(tmp_path: Path) -> None:
    found = layout(tmp_path)
    assert (found.record(None), found.record("/nonexistent"), found.known_releases()) == ({}, {}, [])
    for name, text in {"2": '{"id": "2"}', "1": "{broken"}.items():
        write(Path(found.releases) / name / "release.json", text)
    os.makedirs(f"{found.releases}/3")
    assert [os.path.basename(path) for path in found.known_releases()] == ["1", "2"]
    assert (found.record(f"{found.releases}/2"), found.record(f"{found.releases}/1")) == ({"id": "2"}, {})


def test_tail() -> None:
    text = "".join(f"{number}\n" for number in range(100)) + "x" * 1000 + "\n\n"
    lines = tail(text, lines=3, width=10).splitlines()
    assert lines == ["98", "99", "x" * 10]
    assert tail("") == ""
