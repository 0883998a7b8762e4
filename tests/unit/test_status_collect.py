from __future__ import annotations

import dataclasses
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.release.lock import Lock
from ansible_collections.homeport.django.plugins.module_utils.host.status import host as status_host
from ansible_collections.homeport.django.plugins.module_utils.host.status.apps import (
    deploys,
    lock,
    measure,
    printable_revision,
    schedule,
    timers,
    timestamp,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.certificates import (
    given_certificates,
    serves,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.collect import collect, stores
from ansible_collections.homeport.django.plugins.module_utils.host.status.health import health
from ansible_collections.homeport.django.plugins.module_utils.host.status.host import (
    databases,
    instances,
    parse_units,
    services,
)
from ansible_collections.homeport.django.plugins.module_utils.host.status.places import Places
from ansible_collections.homeport.django.plugins.module_utils.host.status.processes import (
    Process,
    descendants,
    memory,
    process_table,
    processes,
)
from ansible_collections.homeport.django.plugins.module_utils.host.supervisor import wait_until
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import present

from tests.unit import test_release_switch as release_switch_tests
from tests.unit.releases import layout, write
from tests.unit.test_action_preflight import make_certificate

LIVE = "20261123T204800-0a1b2c3d"


def nothing(_command: list[str]) -> tuple[int, str]:
    return 127, ""


# Health


class Handler(release_switch_tests.Handler):
    status = 200  # whatever other tests have made of it


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    Handler.seen.clear()
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "web.sock"), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"unix://{tmp_path}/web.sock"
        found.shutdown()
        thread.join()


def asked(address: str, **health_of: Any) -> dict[str, Any]:
    return {
        "home": "/srv/blog-that-is-not-there",
        "site_url": "https://blog.example.org",
        "socket": address,
        "health": {"path": "/health/", "status": [], **health_of},
        "visit": {},
    }


def test_the_health_page_is_asked_as_visitors_ask(server: str) -> None:
    found = health(asked(server), 5)
    assert (found["ok"], found["status"], found["error"]) == (True, 200, "")
    assert Handler.seen == [("/health/", "blog.example.org", "https")]
    assert health(asked(server, status=[204]), 5)["error"] == "answers with status 200: the page says why"


def test_tcp_sockets_are_asked_on_this_machine() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.handle_request)
        thread.start()
        assert health(asked(f"tcp://0.0.0.0:{found.server_address[1]}"), 5)["ok"]
        thread.join()


def test_a_plain_answer_says_why(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Handler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"database":\n "down"}' + b" x" * 5000)

    monkeypatch.setattr(Handler, "do_GET", Refusing.do_GET)
    found = health(asked(server), 5)
    assert not found["ok"]
    assert found["error"].startswith('answers with status 503: {"database": "down"} x')
    assert len(found["error"]) < 250


def test_an_app_that_was_closed_is_not_broken(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "status", 503)
    assert not health({**asked(server), "home": str(tmp_path)}, 5)["ok"]
    write(tmp_path / "maintenance/on")
    assert health({**asked(server), "home": str(tmp_path)}, 5)["ok"]


def test_nobody_listens(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/web.sock"
    assert health(asked(address), 5)["error"] == f"nothing listens on {address}"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(f"{tmp_path}/web.sock")
        assert health(asked(address), 5)["error"] == f"nothing listens on {address}"


def test_an_app_that_does_not_answer_costs_no_more_than_the_timeout(tmp_path: Path) -> None:
    address = f"{tmp_path}/web.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(address)
        silent.listen(1)
        started = time.monotonic()
        assert health(asked(f"unix://{address}"), 0.3)["error"] == "no answer within 0.3 s"
        assert time.monotonic() - started < 30


def test_neither_does_one_that_answers_bit_by_bit(tmp_path: Path) -> None:
    stop = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with pytest.raises(OSError):
                while not stop.wait(0.05):
                    self.request.send(b"H")
                raise OSError

    with socketserver.ThreadingUnixStreamServer(f"{tmp_path}/web.sock", Dripping) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        started = time.monotonic()
        error = health(asked(f"unix://{tmp_path}/web.sock"), 0.4)["error"]
        stop.set()
        found.shutdown()
        thread.join()
    assert error == "no answer within 0.4 s"
    assert time.monotonic() - started < 30


# Processes


def info(name: str = "blog.web:0", **changes: Any) -> dict[str, Any]:
    group, _, number = name.partition(":")
    return {
        "group": group,
        "name": number,
        "statename": "RUNNING",
        "pid": 0,
        "start": 1000,
        "now": 1060,
        "spawnerr": "",
        "description": "pid 7, uptime 0:01:00",
        **changes,
    }


@pytest.fixture
def running() -> Iterator[int]:
    """A process that runs the live release, with a child."""
    command = ["sh", "-c", "sleep 60 & wait"]
    process = subprocess.Popen(command, env={"HOMEPORT_RELEASE": LIVE, "PATH": os.environ["PATH"]})
    assert wait_until(lambda: len(descendants(process.pid, process_table())) == 2, 5)
    yield process.pid
    for pid in descendants(process.pid, process_table()):
        os.kill(pid, 9)
    process.wait()


def test_processes_with_their_release_and_memory(running: int) -> None:
    spec = {"name": "blog", "socket": "x", "processes": {"queue": 2, "off": 0}}
    known = [
        info(pid=running),
        info("blog.web:1", statename="STOPPED", description="Nov 24 12:10 AM"),
        info("blog.queue:0", statename="BACKOFF", spawnerr="Exited too quickly"),
        info("blog.old:0", pid=running),
        info("blog2.web:0", pid=running),
    ]
    known = {f"{one['group']}:{one['name']}": one for one in known}  # type: ignore[assignment]
    found = processes(spec, known, process_table())  # type: ignore[arg-type]
    groups = [(group["name"], group["declared"], group["running"]) for group in found]
    assert groups == [("web", 1, 1), ("queue", 2, 0), ("off", 0, 0), ("old", None, 1)]
    serving, stopped = found[0]["instances"]
    assert (serving["release"], serving["seconds"], serving["workers"]) == (LIVE, 60, 1)
    assert serving["memory"] > 0
    assert (stopped["state"], stopped["detail"], stopped["seconds"]) == ("stopped", "Nov 24 12:10 AM", None)
    assert found[1]["instances"][0]["detail"] == "Exited too quickly"


def test_a_pid_that_is_gone_is_no_running_process() -> None:
    found = processes({"name": "blog", "socket": "x", "processes": {}}, {"x": info(pid=1 << 30)}, {})
    assert (found[0]["running"], found[0]["instances"][0]["memory"]) == (0, 0)


def test_a_worker_that_keeps_ending(running: int, tmp_path: Path) -> None:
    log = tmp_path / "queue.log"
    at = 1795478400  # 2026-11-24 00:00:00 UTC
    line = "homeport: blog.queue:{} ended by itself with status 1 at {}\n"
    log.write_text(
        line.format(0, "2026-11-23T23:50:00Z")  # long ago
        + line.format(0, "2026-11-23T23:58:00Z")
        + "Traceback: \xff\n"
        + line.format(1, "2026-11-23T23:59:00Z")  # another one
        + line.format(0, "2026-11-23T23:59:10Z").replace("status 1", "status 0")  # as --max-jobs does
        + line.format(0, "2026-99-23T23:59:00Z")
        + f"app: {line.format(0, '2026-11-23T23:59:00Z')}"
        + line.format(0, "2026-11-23T23:59:30Z")
    )

    def ended(**changes: Any) -> int:
        known = {"x": info("blog.queue:0", pid=running, now=at, stdout_logfile=str(log), **changes)}
        spec = {"name": "blog", "socket": "", "processes": {"queue": 1}}
        return int(processes(spec, known, process_table())[0]["instances"][0]["ended"])

    assert ended(start=at - 30) == 2
    assert ended(start=at - 3000) == 0  # whatever was before
    log.unlink()
    assert ended(start=at - 30) == 0


def test_descendants() -> None:
    table = {pid: Process(parent, 0, 0) for pid, parent in {1: 0, 2: 1, 3: 2, 4: 1, 5: 9}.items()}
    assert descendants(2, table) == {2, 3}
    assert descendants(1, table) == {1, 2, 3, 4}


def test_memory_counts_shared_pages_once_where_it_can(tmp_path: Path) -> None:
    write(tmp_path / "1/smaps_rollup", "Rss:   900 kB\nPss:   100 kB\nPss_Dirty: 5 kB\n")
    write(tmp_path / "2/smaps_rollup", "Rss:   900 kB\nPss:   50 kB\n")
    table = {1: Process(0, 0, 900 << 10), 2: Process(0, 0, 900 << 10)}
    assert memory([1, 2, 3], table, str(tmp_path)) == {"bytes": 150 << 10, "kind": "pss"}
    (tmp_path / "2/smaps_rollup").unlink()
    assert memory([1, 2], table, str(tmp_path)) == {"bytes": 1800 << 10, "kind": "rss"}


# systemd

UNITS = """
LastTriggerUSec=Mon 2026-11-23 06:30:01 UTC
NextElapseUSecRealtime=Tue 2026-11-24 06:30:00 UTC
Result=success
Id=blog.digest.timer
LoadState=loaded
ActiveState=active

Result=exit-code
ExecMainStartTimestamp=Mon 2026-11-23 06:30:02 UTC
ExecMainExitTimestamp=Mon 2026-11-23 06:30:10 UTC
ExecMainStatus=3
Id=blog.digest.service
LoadState=loaded
ActiveState=failed

Id=nginx.service
LoadState=loaded
ActiveState=active

Id=valkey-server.service
LoadState=not-found
ActiveState=inactive

Id=redis-server.service
LoadState=masked
ActiveState=failed

Id=redis-server@blog-cache.service
LoadState=loaded
ActiveState=active
MainPID=10

Id=memcached@shop.service
LoadState=loaded
ActiveState=failed
MainPID=0

Id=postgresql@15-main.service
LoadState=loaded
ActiveState=inactive

Id=postgresql@17-main.service
LoadState=loaded
ActiveState=active
"""


def test_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_host, "used_cluster", lambda: ("17", "main"))
    units = parse_units(UNITS)
    assert services(units) == {
        "nginx": "active",
        "postgresql": "active",
        "redis-server@blog-cache": "active",
        "memcached@shop": "failed",
    }
    assert services(parse_units("")) == {"postgresql": "inactive"}
    # an empty cluster beside it that runs does not hide it
    monkeypatch.setattr(status_host, "used_cluster", lambda: ("15", "main"))
    assert services(units)["postgresql"] == "inactive"
    monkeypatch.setattr(status_host, "used_cluster", lambda: ("", "main"))
    assert services(parse_units("")) == {}


def test_the_memory_of_caches_and_brokers(tmp_path: Path) -> None:
    table = {10: Process(1, 0, 7 << 20), 11: Process(10, 0, 1 << 20), 12: Process(1, 0, 9 << 20)}
    for pid in table:
        write(tmp_path / str(pid) / "smaps_rollup", "Pss:  1024 kB\n")
    assert stores(parse_units(UNITS), table, str(tmp_path)) == {"redis-server@blog-cache": 2 << 20}


def test_instances_are_those_that_the_roles_run(tmp_path: Path) -> None:
    places = Places(records=str(tmp_path))
    assert instances(places) == []
    write(tmp_path / "redis.json", '{"units": ["redis-server@blog-cache.service"]}')
    write(tmp_path / "memcached.json", '{"units": ["memca')  # torn
    assert instances(places) == ["redis-server@blog-cache.service"]


def test_schedules() -> None:
    spec = {"schedules": {"digest": "*-*-* 06:30"}}
    found = schedule("digest", "blog.digest.timer", spec, parse_units(UNITS))
    assert found == {
        "name": "digest",
        "calendar": "*-*-* 06:30",
        "active": True,
        "last": 1795415402,
        "result": "exit-code",
        "status": 3,
        "ended": 1795415410,
        "next": 1795501800,
    }
    running = parse_units(UNITS.replace("ActiveState=failed", "ActiveState=activating"))
    now = schedule("digest", "blog.digest.timer", spec, running)
    assert (now["result"], now["ended"]) == ("running", None)
    missing = schedule("digest", "blog.digest.timer", spec, {})
    assert (missing["active"], missing["last"], missing["result"]) == (False, None, "")
    # after a reboot systemd knows when it was started, but not how that ended
    rebooted = UNITS.replace("ExecMainStartTimestamp=Mon 2026-11-23 06:30:02 UTC", "").replace(
        "=failed", "=inactive"
    )
    found = schedule("digest", "blog.digest.timer", spec, parse_units(rebooted))
    assert (found["last"], found["result"]) == (1795415401, "")


@pytest.mark.parametrize("text", ["", "n/a", "0", "Mon 2026-11-23 06:30:01 CET"])
def test_no_moment(text: str) -> None:
    assert timestamp(text) is None


def test_timers_that_are_declared_or_there(tmp_path: Path) -> None:
    for name in ("blog.old.timer", "blog.digest.timer", "blog2.x.timer", "blog.digest.service"):
        write(tmp_path / name)
    found = timers("blog", {"schedules": {"digest": "daily", "new": "daily"}}, Places(units=str(tmp_path)))
    assert found[::2] == ["blog.digest.timer", "blog.new.timer", "blog.old.timer"]
    assert found[1] == "blog.digest.service"


def test_sizes_of_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ['{"blog": 123, "a=b": 7}']

    def ask(_cluster: Cluster, _statements: str, seconds: int) -> str:
        if not answers:
            raise DeployError("it does not answer")
        return answers.pop()

    monkeypatch.setattr(Cluster, "ask", ask)
    monkeypatch.setattr(status_host, "used_cluster", lambda: ("17", "main"))
    assert databases({}) == {}
    assert databases(parse_units(UNITS)) == {"blog": 123, "a=b": 7}
    assert databases(parse_units(UNITS)) == {}


# Files


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        ("", None),
        (" \n", None),
        ("anna@laptop since today\n", None),
        (
            '{"run": 7, "holder": "a@b", "started": 0.5, "memo": {}}',
            {"holder": "a@b", "since": "1970-01-01T00:00:00Z", "run": "7", "doing": ""},
        ),
        ('{"run": 7, "holder": "a@b", "started": 0.5, "doing": "migrate"}', None),  # it was killed
        ('{"run": 7, "hol', None),
        ("[]", None),
    ],
)  # fmt: skip
def test_lock(tmp_path: Path, text: str | None, found: Any) -> None:
    if text is not None:
        write(tmp_path / "deploy.lock", text)
    assert lock(str(tmp_path / "deploy.lock")) == found


def test_who_has_the_lock_says_what_for(tmp_path: Path) -> None:
    app = layout(tmp_path)
    with Lock(app, "run 1", "anna@laptop") as step:
        step.tell("a restore")
        assert (lock(step.path) or {})["doing"] == "a restore"
        left = Path(step.path).read_text()
    assert (lock(step.path) or {})["holder"] == "anna@laptop"  # between two steps
    Path(step.path).write_text(left)
    assert lock(step.path) is None


def test_the_last_deploys_and_a_torn_line(tmp_path: Path) -> None:
    lines = [json.dumps({"time": str(number), "outcome": "live", "seconds": 1.26}) for number in range(2000)]
    lines += ["7", "null", '{"time": "x", "migrations": "no list", "seconds": null, "message": null}']
    path = write(tmp_path / "blog.jsonl", "\n".join(lines) + '\n{"time": "torn')
    found = deploys(str(path), 3)
    assert [entry["time"] for entry in found] == ["x", "1999", "1998"]
    assert (found[0]["migrations"], found[0]["seconds"], found[0]["message"]) == ([], None, "")
    assert found[1]["seconds"] == 1.3
    assert deploys(str(path), 0) == []
    assert deploys(str(tmp_path / "none.jsonl"), 3) == []


@pytest.mark.parametrize(
    ("revision", "shown"),
    [
        ("9f3c2a1b", "9f3c2a1b"),
        ("blog[postgres]==1.4", "blog[postgres]==1.4"),
        ("https://me:secret@example.org/a.zip?token=secret#secret", "https://example.org/a.zip"),
        (None, ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(revision: Any, shown: str) -> None:
    assert printable_revision(revision) == shown


def test_a_file_with_several_names_is_counted_once(tmp_path: Path) -> None:
    write(tmp_path / "a/one", "x" * 100_000)
    os.makedirs(tmp_path / "b")
    once = measure(str(tmp_path), time.monotonic() + 60)["bytes"]
    os.link(tmp_path / "a/one", tmp_path / "b/two")
    os.symlink("/", tmp_path / "b/three")
    assert measure(str(tmp_path), time.monotonic() + 60) == {"bytes": once, "complete": True}
    assert once >= 100_000
    assert measure(str(tmp_path), time.monotonic() - 1) == {"bytes": 0, "complete": False}
    assert measure(str(tmp_path / "none"), 0)["bytes"] == 0


# All of it


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("srv", "deploys", "units"):
        (tmp_path / name).mkdir()
    return Places(
        apps=str(tmp_path / "srv"),
        deploys=str(tmp_path / "deploys"),
        setup=str(tmp_path / "setup"),
        records=str(tmp_path),
        units=str(tmp_path / "units"),
        supervisor=str(tmp_path / "supervisor.sock"),
    )


def deployed(places: Places, name: str = "blog") -> dict[str, Any]:
    """An app with one release; what the module gets to know of it."""
    home = Path(places.apps) / name
    found = layout(home)
    release = home / "releases" / LIVE
    write(release / "release.json", json.dumps({"revision": "abc", "django": "5.2", "python": "3.13"}))
    found.point(f"{home}/current", str(release))
    return {
        **asked(f"unix://{home}/web.sock"),
        "name": name,
        "user": "nobody",
        "home": str(home),
        "processes": {"queue": 1},
        "schedules": {"digest": "daily"},
        "media": "",
        "database": {"engine": "sqlite", "name": str(write(home / "shared/db.sqlite3", "x" * 10))},
    }


def test_a_host_on_which_nothing_runs(places: Places) -> None:
    spec = deployed(places)
    found = collect([spec], nothing, timeout=1, places=places)
    assert found["supervisor"]["error"] == "supervisord does not run"
    blog = found["apps"]["blog"]
    assert blog["release"]["id"] == LIVE
    assert blog["release"]["django"] == "5.2"
    assert abs(blog["release"]["since"] - time.time()) < 60
    assert blog["health"]["error"].startswith("nothing listens")
    assert (blog["processes"], blog["maintenance"], blog["lock"], blog["deploys"]) == (None, None, None, [])
    assert blog["disk"]["releases"]["count"] == 1
    assert blog["disk"]["database"] == 10
    assert blog["disk"]["media"] is None
    json.dumps(found)


def test_an_app_that_was_never_deployed(places: Places) -> None:
    spec = {**deployed(places), "home": f"{places.apps}/new", "name": "new", "user": "no-such-user"}
    found = collect([spec], nothing, places=places)["apps"]["new"]
    assert (found["release"], found["health"], found["previous"]) == (None, None, "")
    assert found["memory"]["bytes"] == 0


def test_apps_that_nobody_declares_are_told_of(places: Places) -> None:
    deployed(places, "old")
    os.makedirs(f"{places.apps}/lost+found/slots")  # cannot be an app's name
    write(Path(places.apps) / "old/maintenance/on")
    write(Path(places.deploys) / "old.jsonl", '{"outcome": "live"}\n')
    write(Path(places.units) / "old.digest.timer")
    spec = deployed(places)
    found = collect([spec], nothing, timeout=1, places=places)["apps"]
    assert sorted(found) == ["blog", "old"]
    assert not found["old"]["declared"]
    assert found["old"]["health"] is None
    assert found["old"]["maintenance"]
    assert found["old"]["deploys"][0]["outcome"] == "live"
    assert found["old"]["schedules"][0]["name"] == "digest"
    assert sorted(collect([spec], nothing, timeout=1, only="blog", places=places)["apps"]) == ["blog"]


def test_what_belongs_to_somebody_else_is_not_looked_at(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(places, "old")
    assert present(places.apps) == ["old"]
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    assert present(places.apps) == []


def test_a_supervisord_that_hangs_up(places: Places) -> None:
    class HangingUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10)

    with socketserver.ThreadingUnixStreamServer(places.supervisor, HangingUp) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        found = collect([deployed(places)], nothing, timeout=1, places=places)
        server.shutdown()
        thread.join()
    assert found["supervisor"]["error"].startswith("supervisord does not answer: ")
    assert found["apps"]["blog"]["processes"] is None


def test_how_large_the_host_was(tmp_path: Path) -> None:
    places = Places(records=str(tmp_path))
    assert status_host.size(places) == {}
    (tmp_path / "size").write_text("cores=2\nmemory_mb=2048\n")
    assert status_host.size(places) == {"cores": 2, "memory_mb": 2048}


def test_an_upgrade_of_postgresql_that_has_not_ended(tmp_path: Path) -> None:
    places = Places(records=str(tmp_path))
    (tmp_path / "upgrades").mkdir()
    record, closed = (tmp_path / f"upgrades/{name}.json" for name in ("postgresql", "closed"))
    for phase, more, found in (
        ("prepared", {}, None),
        ("stopped", {}, {"closed": [], "undo": False}),
        ("switched", {}, {"closed": [], "undo": False}),
        ("switched", {"finished": True}, None),
        ("undoing", {}, {"closed": [], "undo": True}),
        ("undone", {}, None),
    ):
        record.write_text(json.dumps({"phase": phase, **more}))
        assert status_host.upgrade(places) == found
    closed.write_text(json.dumps({"apps": ["blog"], "ours": []}))
    assert status_host.upgrade(places) == {"closed": ["blog"], "undo": True}
    # on a host that is neither the one before nor the new one
    record.unlink()
    for command, more in (("move_postgresql", {"move": True}), ("upgrade_postgresql", {})):
        closed.write_text(json.dumps({"apps": ["blog"], "ours": [], "command": command}))
        assert status_host.upgrade(places) == {"closed": ["blog"], "undo": False, **more}
    closed.write_text("torn")
    assert status_host.upgrade(places) is None


def test_the_certificate_that_nginx_serves(tmp_path: Path) -> None:
    make_certificate(tmp_path, "two", "blog.example.org")
    make_certificate(tmp_path, "one", "blog.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "one", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                with context.wrap_socket(listener.accept()[0], server_side=True):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        spec = {"visit": {"port": port}, "domains": ["blog.example.org"]}
        one, two = ((tmp_path / name).read_text() for name in ("one", "two"))
        assert serves(spec, one + two)
        assert not serves(spec, two)
        thread.join()
    assert serves(spec, two)  # nobody answers: that is for the visit to tell
    assert serves({"visit": {}, "domains": ["blog.example.org"]}, two)


def test_what_the_certificates_were_given(places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    places = dataclasses.replace(places, certificates=str(folder), own_certificates=str(tmp_path / "own"))
    assert given_certificates(places) == {}
    sites = {"blog": {"kind": "own", "domains": ["a"]}, "shop": {"kind": "acme", "domains": ["b"]}}
    write(tmp_path / "certificates.json", json.dumps({"sites": sites}))
    write(tmp_path / "own/blog.crt", "PEM\n")
    assert given_certificates(places) == {**sites, "blog": {**sites["blog"], "chain": "PEM\n"}}
