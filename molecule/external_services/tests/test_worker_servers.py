"""The workers move to another host, work there for the web of the first, and come back."""

import json
from pathlib import Path
from typing import Any

import pytest
import testinfra

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import load, lost, wait_for

testinfra_hosts = ["ansible://web1"]

# What visitors upload is on the web's host alone.
APP = {"media": "none"}
RUNNING = "supervisorctl status | sed -n 's/^memories[.]\\([a-z]*\\):.*RUNNING.*/\\1/p' | sort -u"


@pytest.fixture
def store(host: Any) -> Any:
    inventory = host.backend.ansible_runner.inventory_file
    return testinfra.get_host("ansible://store1", ansible_inventory=inventory, sudo=True)


@pytest.fixture
def moved(tmp_path: Path) -> list[str]:
    """Options with which a playbook finds the workers on the host of the cache and the broker, and makes backups."""
    file = tmp_path / "workers.yml"
    file.write_text(json.dumps({"worker_servers": {"hosts": {"store1": None}}}))
    return ["-i", str(file), "-e", "backup_repository=/var/backups/site"]


def live(server: Any) -> str:
    return str(server.check_output("readlink -e /srv/memories/current"))


def programs(server: Any) -> list[str]:
    return str(server.check_output(RUNNING)).split()


def test_workers_and_schedules_on_a_host_without_a_web(
    operator: Operator, album: Album, host: Any, store: Any, moved: list[str]
) -> None:
    done = operator.run("external_services", *moved, changes=APP)
    assert done.status == 0, done.output
    assert (programs(host), programs(store)) == (["web"], ["queue"])
    assert not host.file("/etc/systemd/system/memories.digest.timer").exists
    assert store.service("memories.digest.timer").is_running
    assert not store.package("nginx").is_installed
    assert not store.process.filter(comm="nginx") + store.process.filter(comm="gunicorn")
    for path in ("/usr/local/lib/homeport/gunicorn-slot", "/srv/memories/config/gunicorn.conf.py"):
        assert not store.file(path).exists
    opened = store.check_output("nft list ruleset")
    assert "nginx" not in opened and "ssh" in opened

    release, name = live(host), store.check_output("hostname")
    code = "from album import queue, tasks; queue.enqueue(tasks.send_digest)"
    host.check_output(
        f"runuser -u memories -- /usr/local/lib/homeport/run {release} manage.py shell -c %s", code
    )
    code = f"from album.models import DigestRun; print(DigestRun.objects.filter(host='{name}').count())"
    count = f"runuser -u memories -- /usr/local/lib/homeport/run {release} manage.py shell -c %s"
    wait_for(lambda: host.check_output(count, code).split()[-1] != "0", 120)
    done = operator.run("status", *moved, changes=APP)
    assert done.status == 0, done.output
    assert "not declared" not in done.output, done.output
    # a schedule that the first of the hosts does not have
    done = operator.run("logs", *moved, "-e", "app=memories", "-e", "process=digest", changes=APP)
    assert done.status == 0, done.output


def test_a_deploy_renews_the_workers_there_and_loses_nothing(
    operator: Operator, album: Album, host: Any, store: Any, moved: list[str]
) -> None:
    before, worker = live(store), store.check_output("supervisorctl pid memories.queue:0")
    with load(album, rate=20, path="/") as running:
        done = operator.run("deploy", *moved, changes={**APP, "web": {"env": {"MOTTO": "new"}}})
        assert done.status == 0, done.output
    assert lost(running) == 0
    assert live(store) != before
    assert store.check_output("supervisorctl pid memories.queue:0") != worker
    assert programs(store) == ["queue"]


def test_a_worker_that_does_not_start_leaves_the_previous_release_on_both_hosts(
    operator: Operator, album: Album, host: Any, store: Any, moved: list[str]
) -> None:
    before = live(host), live(store)
    broken = {**APP, "processes": {"queue": {"command": "sh -c 'echo no worker today; exit 3'"}}}
    done = operator.run("deploy", *moved, changes=broken)
    assert done.status != 0
    assert "no worker today" in done.output, done.output
    assert "This host was rolled back, too" in done.output, done.output
    assert (live(host), live(store)) == before
    assert album.health()["release"] == Path(before[0]).name


def test_a_restore_stops_the_workers_there_and_starts_them(
    operator: Operator, album: Album, host: Any, store: Any, moved: list[str]
) -> None:
    timers = "systemctl show --property=ActiveEnterTimestampMonotonic memories.digest.timer"
    done = operator.run("backup", *moved, changes=APP)
    assert done.status == 0, done.output
    worker, since = store.check_output("supervisorctl pid memories.queue:0"), store.check_output(timers)
    limited = operator.run(
        "restore", *moved, "-e", "app=memories", "-e", "confirm=memories", "--limit", "web1", changes=APP
    )
    assert (limited.status, limited.changed) == (2, 0), limited.output
    assert "--limit: leaves out worker_servers (store1)" in limited.output, limited.output
    done = operator.run("restore", *moved, "-e", "app=memories", "-e", "confirm=memories", changes=APP)
    assert done.status == 0, done.output
    assert store.check_output("supervisorctl pid memories.queue:0") != worker
    assert store.check_output(timers) != since
    assert (programs(host), programs(store)) == (["web"], ["queue"])
    for server in (host, store):
        assert not server.file("/srv/memories/maintenance/on").exists
    assert album.health()["status"] == "ok"


def test_workers_come_back_and_are_gone_from_where_they_were(
    operator: Operator, album: Album, host: Any, store: Any
) -> None:
    done = operator.run("external_services")
    assert done.status == 0, done.output
    assert "memories is not declared here any more: this run stops it" in " ".join(done.output.split())
    assert (programs(host), programs(store)) == (["queue", "web"], [])
    assert host.service("memories.digest.timer").is_running
    assert not store.file("/etc/systemd/system/memories.digest.timer").exists
    assert album.health()["status"] == "ok"
    store.check_output("rm -r /srv/memories")
