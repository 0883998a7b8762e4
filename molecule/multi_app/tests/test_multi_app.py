"""multi_app: three projects of three shapes side by side, and what is done to one while the others run."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.acceptance.album import Album, picture
from tests.acceptance.checks import outside
from tests.acceptance.isolation import check_isolation
from tests.acceptance.operator import Operator
from tests.acceptance.under_load import wait_for

APPS = ["memories", "notes", "counter"]
CACHE = "redis-server@counter-cache"
# A copy of notes that has everything that an app can have of its own, and a schedule that fails.
DIARY = {
    "domains": ["diary.example"],
    "cache": "memcached",
    "broker": "redis",
    "schedules": {"fails": {"command": "sh -c 'exit 3'", "calendar": "yearly"}},
}


@pytest.fixture
def apps(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = host.ansible.get_variables()["django_apps"]
    return found


@pytest.fixture
def notes(album: Album) -> Album:
    return Album(album.base.removeprefix("http://"), "notes.example")


def counted(album: Album) -> dict[str, Any]:
    answer = album.get("/", host="counter.example")
    assert answer.status_code == 200, answer.text[:500]
    found: dict[str, Any] = answer.json()
    return found


def status(album: Album, domain: str) -> int:
    return album.get("/", host=domain).status_code


def check_refused(album: Album, domain: str) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(album.base, headers={"Host": domain}, timeout=30)


def main_pid(host: Any, unit: str) -> str:
    """Process id of a service; that of all, where it is a pattern."""
    found: str = host.check_output(f"systemctl show --value --property=MainPID '{unit}'")
    return found


def running(host: Any) -> dict[str, str]:
    """Everything that must go on while something is done to another app."""
    found = {f"processes of {app}": host.check_output(f"pgrep -u {app} | sort") for app in APPS}
    for unit in (CACHE, "nginx", "supervisor", "postgresql@*"):
        found[unit] = main_pid(host, unit)
    assert all(pids.strip("0") for pids in found.values()), found
    return found


def test_each_app_answers_by_its_domain_with_its_own_django(album: Album, notes: Album, host: Any) -> None:
    assert album.health()["status"] == "ok"
    release = host.check_output("cat /srv/memories/current/release.json")
    assert re.search(r'"django": "5\.2\.', release), release
    assert "Django 4.2." in notes.get("/").text
    assert counted(album)["django"].startswith("5.1.")
    for domain in ("unknown.example", "notes", "diary.example"):
        check_refused(album, domain)
    assert outside(host) == {22, 80}


def test_a_photo_gets_its_thumbnail_from_the_worker(album: Album, host: Any) -> None:
    """Not before the worker runs: the task waits for it."""
    path = album.new_album("Side by side")
    host.check_output("supervisorctl stop 'memories.queue:*'")
    try:
        album.upload(path, picture())
        time.sleep(2)
        assert album.addresses(path, "/media/thumbnail/") == []
    finally:
        host.check_output("supervisorctl start 'memories.queue:*'")
    wait_for(lambda: album.addresses(path, "/media/thumbnail/") != [], 60)
    [thumbnail] = set(album.addresses(path, "/media/thumbnail/"))
    assert album.get(thumbnail).headers["Content-Type"] == "image/jpeg"


def test_notes_are_kept(notes: Album) -> None:
    text = f"Bring the ladder back {time.time_ns()}"
    assert notes.submit("/", {"text": text}).status_code == 302
    assert text in notes.get("/").text


def test_the_counter_counts_in_its_database_and_its_cache(album: Album) -> None:
    first, second = counted(album), counted(album)
    assert (second["all"], second["this hour"]) == (first["all"] + 1, first["this hour"] + 1)


def test_no_app_gets_at_another(host: Any) -> None:
    check_isolation(host, APPS)


def test_more_than_the_host_holds_is_refused(operator: Operator, host: Any, apps: dict[str, Any]) -> None:
    before = running(host)
    # more than any machine has that this may run on
    crowd = {f"more{number}": {"command": "sleep 9", "count": 100} for number in range(100)}
    greedy = {"web": {"workers": 256}, "processes": crowd}
    done = operator.run("multi_app", apps={name: {**app, **greedy} for name, app in apps.items()})
    assert done.status != 0
    assert done.changed == 0, done.output
    text = " ".join(done.output.split())
    assert "is too small for what it is to run" in text, done.output
    for app in APPS:
        assert f"{app}, web" in done.output, done.output
    assert re.search(r"together +[\d,]{6}.*\n.*memory of the host", done.output), done.output
    assert running(host) == before


def test_an_app_comes_changes_and_goes_and_the_others_notice_nothing(
    album: Album, operator: Operator, host: Any, apps: dict[str, Any]
) -> None:
    before = running(host)
    diary = {**apps["notes"], **DIARY}
    done = operator.run("multi_app", apps={**apps, "diary": diary})
    assert done.status == 0, done.output
    assert running(host) == before
    assert status(album, "diary.example") == 200
    own = {unit: main_pid(host, unit) for unit in ("redis-server@diary-broker", "memcached@diary")}
    assert all(pid.strip("0") for pid in own.values()), own
    check_isolation(host, ["diary", "counter"])

    # another domain, and a setting: its own cache and broker go on, too
    changed = {**diary, "domains": ["journal.example"], "env": {"MOTTO": "something else"}}
    done = operator.run("multi_app", apps={**apps, "diary": changed})
    assert done.status == 0, done.output
    assert running(host) == before
    assert {unit: main_pid(host, unit) for unit in own} == own
    assert status(album, "journal.example") == 200
    check_refused(album, "diary.example")

    host.run("systemctl start diary.fails.service")
    told = operator.run("status", apps={**apps, "diary": changed})
    assert told.status == 0, told.output
    assert "fails: the last run ended with exit status 3 (" in " ".join(told.output.split())
    assert operator.run("status", "-e", "fail=warnings", apps={**apps, "diary": changed}).status != 0
    text = " ".join(operator.run("status", apps=apps).output.split())
    assert (
        "diary is not declared any more: the next run of multi_app or deploy stops it, and its data stay ("
        in text
    )
    assert "(/srv/diary, redis-server@diary-broker (/var/lib/redis/diary-broker))" in text, text

    options = ["-e", "app=diary", "-e", "confirm=diary"]
    done = operator.run("remove_app", *options, apps={**apps, "diary": changed})
    assert done.status == 0, done.output
    assert running(host) == before
    assert "redis-server@diary-broker, memcached@diary" in done.output
    check_refused(album, "journal.example")
    # sudo remembers for a while whom it has turned away
    kept = "-path '/var/backups/*' -o -path /var/lib/homeport/deploys/diary.jsonl -o -path /run/sudo"
    kept += " -o -path '/proc/*' -o -path '/sys/*'"
    left = "-name '*diary*' -o -nouser -o -nogroup"
    found = host.check_output(f"find / -ignore_readdir_race \\( {kept} \\) -prune -o \\( {left} \\) -print")
    assert found == ""
    assert "diary" not in host.check_output("systemctl list-units --all --plain --no-legend")
    done = operator.run("multi_app", apps=apps)
    assert (done.status, done.changed) == (0, 0), done.output
    assert running(host) == before


@pytest.fixture
def restored(host: Any) -> Iterator[None]:
    """A test that fails while the cache is stopped does not take the others along."""
    yield
    host.check_output(f"systemctl start {CACHE}")


def test_a_cache_that_dies(
    album: Album, notes: Album, operator: Operator, host: Any, apps: dict[str, Any], restored: None
) -> None:
    """It comes back by itself. While it is away the apps that do not use it are as they were."""
    before = running(host)
    counted(album)
    host.check_output(f"kill -9 {main_pid(host, CACHE)}")
    wait_for(lambda: status(album, "counter.example") == 200, 60)
    assert counted(album)["this hour"] == 2  # a cache may forget
    after = running(host)
    assert after.pop(CACHE) != before.pop(CACHE)
    assert after == before

    host.check_output(f"systemctl stop {CACHE}")
    assert album.health()["status"] == "ok"
    assert notes.get("/").status_code == 200
    told = operator.run("status", apps=apps)
    assert told.status != 0
    text = " ".join(told.output.split())
    assert f"counter on web1: its cache does not run: {CACHE} on web1 is inactive" in text
    assert re.search(r"1 of 3 apps is unhealthy", text), told.output
    host.check_output(f"systemctl start {CACHE}")
    wait_for(lambda: status(album, "counter.example") == 200, 60)
