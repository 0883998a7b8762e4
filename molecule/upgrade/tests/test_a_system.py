"""The system of a server is upgraded by the verb: what visitors, workers, backups and the way back are then.

The tests follow each other, as the stages do.
"""

import json
import os
import re
import signal
from typing import Any

from tests.acceptance.album import Album
from tests.acceptance.operator import Operator, Run
from tests.acceptance.tasks import upload, wait_until_done
from tests.acceptance.under_load import wait_for
from tests.acceptance.watcher import watching

testinfra_hosts = ["ansible://web1"]

Apps = dict[str, dict[str, Any]]
TITLE = "Before the upgrade"
LONGEST = 240  # seconds without an answer, beside the reboot; an idle machine takes a quarter
STATE = "/var/lib/homeport/system_upgrade/state.json"


def upgrade(operator: Operator, apps: Apps, *options: str) -> Run:
    process = operator.start("upgrade_system", "-e", "to=trixie", *options, apps=apps)
    output = process.communicate(timeout=1500)[0]
    return Run(process.returncode, output)


def packages(host: Any) -> str:
    return str(host.check_output("dpkg-query -W | sha256sum; cat /etc/apt/sources.list.d/* | sha256sum"))


def test_a_plan_changes_nothing(album: Album, operator: Operator, apps: Apps, host: Any) -> None:
    album.new_album(TITLE)
    wait_until_done(album, upload(album))
    before = packages(host)
    plan = upgrade(operator, apps, "--check")
    assert plan.status == 0, plan.output
    assert "web1: is upgraded from bookworm to trixie" in plan.output
    assert plan.changed == 0
    # what stands in the way is reported before anything is changed
    host.check_output("apt-mark hold tzdata")
    refused = upgrade(operator, apps, "-e", "confirm=trixie")
    host.check_output("apt-mark unhold tzdata")
    assert refused.status != 0
    assert "packages are held back: tzdata" in refused.output, refused.output
    assert packages(host) == before
    assert not host.file(STATE).exists


def test_the_upgrade(album: Album, notes: Album, operator: Operator, apps: Apps, host: Any) -> None:
    """The run is killed while the packages are upgraded, and finished by the next one."""
    with watching([album, notes]) as seen:
        cut = operator.start("upgrade_system", "-e", "to=trixie", "-e", "confirm=trixie", apps=apps)
        wait_for(lambda: host.run("systemctl is-active homeport-system-upgrade").stdout == "active\n", 600)
        os.killpg(cut.pid, signal.SIGKILL)
        cut.communicate()
        assert host.file(STATE).exists
        done = upgrade(operator, apps, "-e", "confirm=trixie")
    assert done.status == 0, done.output
    assert "its upgrade from bookworm to trixie has begun, and is finished" in done.output
    assert "PostgreSQL is still 15" in done.output, done.output
    assert not host.file(STATE).exists
    assert host.check_output("cat /etc/debian_version").startswith("13")
    reboot = host.check_output("stat -c %Y /proc/1")
    longest = seen.longest(beside=int(reboot))
    assert longest < LONGEST, seen.gaps


def test_all_is_there_and_runs_on_the_new_python(album: Album, notes: Album, host: Any) -> None:
    assert TITLE in album.get("/").text
    assert notes.get("/").status_code == 200
    wait_until_done(album, upload(album))
    for name in ("memories", "notes"):
        record = json.loads(host.file(f"/srv/{name}/current/release.json").content_string)
        assert record["interpreter"] == "/usr/bin/python3.13"
    assert "15  main" in host.check_output("pg_lsclusters")
    assert host.check_output("uv --version")


def test_the_setup_has_nothing_left_to_do(operator: Operator, apps: Apps) -> None:
    again = operator.run("site", apps=apps)
    assert again.status == 0, again.output
    assert again.changed == 0, again.output
    status = operator.run("status", apps=apps)
    assert status.status == 0, status.output
    done = upgrade(operator, apps, "-e", "confirm=trixie")
    assert done.status == 0, done.output
    assert "web1: runs trixie; nothing to do" in done.output
    assert done.changed == 0


def test_the_backup_from_before_is_restored(album: Album, operator: Operator, apps: Apps, host: Any) -> None:
    """It was made by the upgrade, before anything else."""
    album.new_album("After the upgrade")
    restored = operator.run(
        "restore", "-e", "app=memories", "-e", "confirm=memories", "-e", "dump=false", apps=apps
    )
    assert restored.status == 0, restored.output
    page = album.get("/").text
    assert TITLE in page
    assert "After the upgrade" not in page


def test_the_way_back_ends_with_the_old_python(operator: Operator, apps: Apps, host: Any) -> None:
    back = operator.run("rollback", "-e", "app=notes", apps=apps)
    assert back.status == 0, back.output
    warned = operator.run("status", apps=apps)
    assert "its release is built for /usr/bin/python3.11" in warned.output, warned.output
    forward = operator.run("rollback", "-e", "app=notes", "-e", "again=true", apps=apps)
    assert forward.status == 0, forward.output
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get -y -q autoremove")
    refused = operator.run("rollback", "-e", "app=notes", apps=apps)
    assert refused.status != 0
    told = r"was built for /usr/bin/python3.11, which\s+is no longer installed on\s+this host"
    assert re.search(told, refused.output), refused.output
