"""When a backup or a drill is late, and what status says of them."""

from __future__ import annotations

import calendar
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common import backup_ages
from ansible_collections.homeport.django.plugins.module_utils.common.backup_ages import (
    brief,
    judged,
    limit,
    span,
)
from ansible_collections.homeport.django.plugins.module_utils.host.backup import state as backup_state
from ansible_collections.homeport.django.plugins.module_utils.host.psql import Cluster
from ansible_collections.homeport.django.plugins.module_utils.host.status import backups as status_backups
from ansible_collections.homeport.django.plugins.module_utils.host.status.backups import elapses, timers
from ansible_collections.homeport.django.plugins.module_utils.reports import backups as report_backups

from tests.unit import statuses
from tests.unit.statuses import NOW, archive, backups, found, ran, specs, status

HOUR, DAY = 3600, 86400


# How old the last one may be


@pytest.mark.parametrize(
    ("schedules", "hours"),
    [
        ([[HOUR * number for number in range(400)]], 2),
        ([[DAY * number for number in range(400)]], 30),
        ([[7 * DAY * number for number in range(400)]], 174),
        ([[DAY * number for number in range(400) if number % 7 < 5]], 78),
        ([[0, 600, 1200]], 1 + 600 / 3600),
        # nightly but on Sundays, and a full one then
        (
            [
                [DAY * number for number in range(400) if number % 7],
                [7 * DAY * number for number in range(400)],
            ],
            30,
        ),
        ([[DAY]], None),
        ([[], [DAY, 2 * DAY]], None),
        ([], None),
    ],
)
def test_how_old_it_may_be(schedules: list[list[int]], hours: float | None) -> None:
    assert limit(*schedules) == (None if hours is None else hours * HOUR)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("", ""),
        ("the rows differ\nphotos: 1, 2\n", "the rows differ"),
        ("checking failed:\npack 1 is damaged\n\nFatal: the end\n", "checking failed: Fatal: the end"),
        ("checking failed:\n\n", "checking failed:"),
    ],
)
def test_what_of_a_message_is_told(message: str, told: str) -> None:
    assert brief(message) == told


LIMITS = {"backup": 30 * HOUR, "drill": 174 * HOUR}


@pytest.mark.parametrize(
    ("state", "problems"),
    [
        ({"backup": ran(2), "drill": ran(48)}, ["", ""]),
        ({"backup": ran(30), "drill": ran(174)}, ["", ""]),
        (
            {"backup": ran(31), "drill": ran(48)},
            ["the last successful backup is 1 d 7 h old; its schedule allows 1 d 6 h", ""],
        ),
        (
            {"backup": ran(2), "drill": ran(240)},
            ["", "the last successful restore drill is 10 d old; its schedule allows 7 d 6 h"],
        ),
        ({"backup": ran(2)}, ["", ""]),  # the first drill is not due yet
        (
            {},
            ["there has been no backup yet, 3 d 18 h after it was switched on; its schedule allows 1 d 6 h", ""],
        ),
        (
            {"backup": ran(2, False, "restic\nbroke"), "drill": ran(2)},
            ["the last backup failed (2026-11-23T22:00:00Z): restic", ""],
        ),
        (
            {"backup": ran(8, False, "it broke"), "drill": ran(2)},
            [
                "the last backup failed (2026-11-23T16:00:00Z): it broke, and none has succeeded for 1 d 8 h; its "
                "schedule allows 1 d 6 h",
                "",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_late(state: dict[str, Any], problems: list[str]) -> None:
    made = judged(state, LIMITS, NOW - 90 * HOUR, NOW)
    assert [made["backup"]["problem"], made["drill"]["problem"]] == problems


def test_what_is_known_of_a_run() -> None:
    made = judged({"backup": ran(31)}, {**LIMITS, "full": None}, NOW - 90 * DAY, NOW)
    assert made["backup"] == {
        "time": backup_ages.stamp(NOW - 31 * HOUR),
        "age_seconds": 31 * HOUR,
        "limit_seconds": 30 * HOUR,
        "seconds": 12.3,
        "late": True,
        "failed": False,
        "problem": "the last successful backup is 1 d 7 h old; its schedule allows 1 d 6 h",
    }
    assert made["drill"]["late"]
    # of a schedule that comes once nobody can say when it is late
    assert (made["full"]["late"], made["full"]["problem"]) == (False, "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 min"), (3599, "59 min"), (3600, "1 h"), (30 * HOUR, "1 d 6 h"), (DAY, "1 d")]
)
def test_span(seconds: int, text: str) -> None:
    assert span(seconds) == text


# On the host

SHOWN = """\
TimersCalendar={ OnCalendar=*-*-* 02:30:00 ; next_elapse=Tue 2026-11-24 02:30:00 UTC }
TimersCalendar={ OnCalendar=Sun *-*-* 14:00:00 Europe/Berlin ; next_elapse=Sun 2026-11-29 13:00:00 UTC }
Id=homeport-backup.timer
ActiveState=active

TimersCalendar={ OnCalendar=Sun *-*-* 04:30:00 ; next_elapse=n/a }
Id=homeport-drill.timer
ActiveState=inactive
"""
COMING = """\
Normalized form: *-*-* 02:30:00
    Next elapse: Tue 2026-11-24 02:30:00 UTC
       From now: 2h left
       Iter. #2: Wed 2026-11-25 02:30:00 UTC
       From now: 1 day 2h left

  Original form: Sun *-*-* 14:00 Europe/Berlin
Normalized form: Sun *-*-* 14:00:00 Europe/Berlin
    Next elapse: Wed 2026-11-25 13:00:00 UTC
       From now: 1 day left
   Iteration #2: Sun 2026-11-29 13:00:00 UTC
       From now: 5 days left

Normalized form: Sun *-*-* 04:30:00
    Next elapse: never
"""


def test_the_times_of_a_schedule() -> None:
    assert elapses(COMING) == [[1795487400, 1795573800], [1795611600, 1795957200], []]


NIGHT = """\
Normalized form: *-*-* 02:30:00
    Next elapse: {0}
       From now: 1 day left
       Iter. #2: {1}
       From now: 2 days left
       Iter. #3: {2}
       From now: 3 days left
"""


@pytest.mark.parametrize(
    ("now", "hours"), [("2027-03-28 08:00", 53), ("2027-03-29 08:00", 53), ("2027-03-31 08:00", 30)]
)
def test_the_night_without_the_hour_of_a_schedule(
    now: str, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On 2027-03-28 there is no 02:30 in Vienna: nothing is late that has not been due."""
    seconds = calendar.timegm(time.strptime(now, "%Y-%m-%d %H:%M"))
    monkeypatch.setattr(time, "time", lambda: seconds)

    def local(day: int) -> str:
        zone, hour = ("CET", "01") if day < 28 else ("CEST", "00")
        return f"Sat 2027-03-{day} 02:30:00 {zone}\n       (in UTC): Sat 2027-03-{day} {hour}:30:00 UTC"

    def run(command: list[str]) -> tuple[int, str]:
        if "show" in command:
            return (
                0,
                "TimersCalendar={ OnCalendar=*-*-* 02:30:00 ; x }\nId=homeport-backup.timer\nActiveState=active\n",
            )
        if "TZ=UTC" in command:
            return 0, NIGHT.format(*(f"Sat 2027-04-0{day} 02:30:00 UTC" for day in (1, 2, 3)))
        days = [day for day in range(25, 32) if day != 28 and day > time.gmtime(seconds - 3 * 86400).tm_mday]
        return 0, NIGHT.format(*map(local, days[:3]))

    limits = timers(run, {"backup": ("homeport-backup.timer",)})["limits"]
    assert limits == {"backup": hours * HOUR}


def test_the_timers() -> None:
    asked: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str]:
        asked.append(command)
        return 0, SHOWN if "show" in command else COMING if "TZ=UTC" in command else ""

    made = timers(run, status_backups.TIMERS)
    assert made == {
        "stopped": ["homeport-drill.timer"],
        "limits": {"backup": DAY + 6 * HOUR, "drill": None},
    }
    assert asked[1][-3:] == ["*-*-* 02:30:00", "Sun *-*-* 14:00:00 Europe/Berlin", "Sun *-*-* 04:30:00"]
    assert asked[2][-3:] == asked[1][-3:]
    # a host without systemd, or one that says nothing
    assert timers(lambda _command: (127, ""), status_backups.TIMERS)["stopped"] == [
        "homeport-backup.timer",
        "homeport-drill.timer",
    ]


def test_what_a_host_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_state, "STATE", str(tmp_path))
    path = tmp_path / "config.json"

    def nothing(_command: list[str]) -> tuple[int, str]:
        return 127, ""

    assert status_backups.backups(nothing, ["blog"], str(path)) is None
    assert status_backups.archive(nothing, str(path)) is None
    path.write_text(json.dumps({"apps": [{"name": "blog"}, {"name": "shop"}]}))
    (tmp_path / "blog.json").write_text(json.dumps({"backup": ran(2)}))
    made = status_backups.backups(nothing, ["blog", "new"], str(path))
    assert made
    assert made["apps"] == {"blog": {"backup": ran(2)}}
    assert made["since"] == int(path.stat().st_mtime)
    kept = status_backups.archive(nothing, str(path))
    assert kept
    assert (kept["state"], kept["wal"]) == ({}, None)


def test_a_repository_on_the_disk_that_it_has_copies_of(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert status_backups.on_same_disk(str(tmp_path / "site"), str(tmp_path))
    assert not status_backups.on_same_disk("/proc", str(tmp_path))
    assert not status_backups.on_same_disk(str(tmp_path / "none"), str(tmp_path))
    assert not status_backups.on_same_disk("sftp:backup@vault:/site", str(tmp_path))


def test_how_far_the_archive_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "archived": NOW,
        "failing": False,
        "waiting": 0,
        "waiting_since": None,
        "timeout": 300,
        "mode": "on",
    }
    monkeypatch.setattr(Cluster, "ask", lambda *_words, seconds: json.dumps(told))
    made = status_backups.wal()
    assert made
    assert (made["limit"], "timeout" in made) == (600, False)
    monkeypatch.setattr(Cluster, "ask", lambda *_words, seconds: "")
    assert status_backups.wal() is None


# In the report


def problems(
    made: dict[str, Any] | None, spec: dict[str, Any] | None = None, **changes: Any
) -> list[tuple[str, str]]:
    """Of one host with one app, its backups and its database."""
    here = status({"blog": found(**changes)}, backups=made)
    here["services"]["postgresql"] = "active"
    groups = {"app_servers": ["web1"], "database_servers": ["web1"]}
    report = statuses.document({"web1": here}, specs(blog=spec or {}), groups)
    return [(entry["level"], entry["text"]) for entry in report["problems"]]


EMPTY = {
    "releases": {"bytes": 1, "complete": True, "count": 1},
    "media": {"bytes": 0, "complete": True},
    "database": None,
}
NO_DATA = {"disk": EMPTY}
UNSAVED = "nothing backs up its {}: set backup_repository, and run the setup playbook"


@pytest.mark.parametrize(
    ("made", "spec", "changes", "expected"),
    [
        (backups("blog"), {}, {}, []),
        (None, {}, {}, [("warning", UNSAVED.format("database and its media"))]),
        (None, {}, NO_DATA, [("warning", UNSAVED.format("database"))]),
        (None, {"database": "none"}, {}, [("warning", UNSAVED.format("media"))]),
        (None, {"database": "none"}, NO_DATA, []),
        (backups(), {}, {}, [("failure", "is not among the apps that web1 backs up: run the setup playbook")]),
        (
            backups("blog", same_disk=True),
            {},
            {},
            [(
                "warning",
                "the backups are on the host's own disk, and lost with it: name another host in backup_repository",
            )],
        ),
        (
            backups("blog", stopped=["homeport-drill.timer"]),
            {},
            {},
            [("failure", "homeport-drill.timer is not active: run the setup playbook")],
        ),
        (
            backups("blog", all={"drill": {"last": {"ok": False, "time": "then", "message": "pack 12\nis bad"}}}),
            {},
            {},
            [("failure", "the drill's check of the backup repository failed (then): pack 12")],
        ),
        (
            backups("blog", apps={"blog": {"backup": ran(31), "drill": ran(1)}}),
            {},
            {},
            [("failure", "the last successful backup is 1 d 7 h old; its schedule allows 1 d 6 h")],
        ),
    ],
)  # fmt: skip
def test_an_app(
    made: dict[str, Any] | None,
    spec: dict[str, Any],
    changes: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    assert problems(made, spec, **changes) == expected


def test_backups_are_those_of_the_first_app_server() -> None:
    groups = {"app_servers": ["web1", "web2"], "database_servers": []}
    first, second = status({"blog": found()}), status({"blog": found()}, backups=None)
    for results in ({"web1": first, "web2": second}, {"web1": second, "web2": first}):
        report = statuses.document(results, specs(blog={}), groups)
        assert report["problems"] == []
        assert report["apps"]["blog"]["backup"]["backup"]["age_seconds"] == 5 * HOUR
    # whether it has any is not known while it does not answer
    report = statuses.document({"web1": {"msg": "no answer"}, "web2": second}, specs(blog={}), groups)
    assert report["apps"]["blog"]["backup"] is None
    assert not report["apps"]["blog"]["problems"]


WAL = archive()["wal"]


def written(system: str) -> dict[str, Any]:
    """The state of an archive whose base backup is that of a cluster."""
    full = ran(52)
    return {"backup": ran(6), "full": {**full, "good": {**full["good"], "system": system}}, "drill": ran(50)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"wal": None}, []),  # PostgreSQL does not answer, which is told of elsewhere
        (
            {"wal": {**WAL, "archived": NOW - 9 * DAY, "waiting": 0, "waiting_since": None}},
            [],
        ),  # nobody writes
        (
            {"wal": {**WAL, "waiting": 3, "waiting_since": NOW - 300, "failing": True}},
            ["what was written 5 min ago is not there yet (3 segments wait, and the last try failed)"],
        ),
        # upgraded since: a system identifier begins with the second in which its cluster was made
        (
            {"wal": {**WAL, "system": str(NOW - 51 * HOUR << 32)}},
            ["no base backup of the running cluster yet (systemctl start homeport-archive-full)"],
        ),
        ({"wal": {**WAL, "system": str(NOW - 53 * HOUR << 32)}}, []),
        (
            {"wal": {**WAL, "system": "7"}, "state": written("8")},
            ["no base backup of the running cluster yet (systemctl start homeport-archive-full)"],
        ),
        ({"wal": {**WAL, "system": str(NOW << 32)}, "state": written(str(NOW << 32))}, []),
        ({"wal": {**WAL, "mode": "off"}}, ["archive_mode is off: run the setup playbook"]),
        (
            {"state": {"backup": ran(5), "full": ran(200), "drill": ran(5)}},
            ["the last successful full backup is 8 d 8 h old; its schedule allows 7 d 6 h"],
        ),
        (
            {"state": {"backup": ran(5), "full": ran(5), "drill": ran(5, False, "the archive ends")}},
            ["the last restore drill failed (2026-11-23T19:00:00Z): the archive ends"],
        ),
    ],
)
def test_an_archive(changes: dict[str, Any], expected: list[str]) -> None:
    _shown, told = report_backups.of_host(status(archive=archive(**changes)))
    assert [entry["text"] for entry in told] == [f"PostgreSQL's archive: {text}" for text in expected]


def test_an_archive_without_backups_of_the_files() -> None:
    here = status({"blog": found()}, backups=None, archive=archive())
    groups = {"app_servers": ["web1"], "database_servers": ["web1"]}
    report = statuses.document({"web1": here}, specs(blog={}), groups)
    assert UNSAVED.format("media") in [entry["text"] for entry in report["problems"]]
    assert report["hosts"]["web1"]["archive"]["wal"] == {
        "age_seconds": 40,
        "waiting": 1,
        "waiting_seconds": 2,
        "limit_seconds": 120,
        "late": False,
    }
