from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.log_lines import readable
from ansible_collections.homeport.django.plugins.module_utils.host.log_files import (
    end_of,
    last_lines,
    logs_of,
    newer,
    since_when,
    time_of,
)

from tests.unit.releases import write

MIDNIGHT = 1795478400.0  # 2026-11-24 00:00:00 UTC


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_the_logs_of_an_app(tmp_path: Path) -> None:
    own, nginx = tmp_path / "blog", tmp_path / "nginx"
    for name in (
        "web-0.log",
        "web-10.log",
        "web-2.log",
        "web-0.log.1",
        "queue-0.log",
        "queue-mail-0.log",
        "digest.log",
    ):
        write(own / name)
    for name in ("blog.access.log", "blog.error.log", "blog2.access.log", "access.log"):
        write(nginx / name)
    found = logs_of("blog", str(own), ["web", "queue", "none"], ["digest", "none2"], str(nginx))
    assert [log.title for log in found] == [
        "web 0", "web 2", "web 10", "queue 0", "digest", "nginx access", "nginx error",
    ]  # fmt: skip
    assert {log.source for log in found} == {"web", "queue", "digest", "nginx"}


def test_the_last_build_is_a_log(tmp_path: Path) -> None:
    for name in ("20261130T120000-0a1b2c3d", "20261201T080000-4d3c2b1a"):
        write(tmp_path / f"build-{name}.log")
    write(tmp_path / "build-0.log")
    found = logs_of("blog", str(tmp_path), ["build"], [], str(tmp_path))
    assert [(log.source, log.title) for log in found] == [("build", "build 0"), ("build", "build")]
    assert found[1].path == str(tmp_path / "build-20261201T080000-4d3c2b1a.log")


def test_the_last_lines_go_back_into_backups(tmp_path: Path) -> None:
    path = str(write(tmp_path / "web-0.log", "7\n8\n"))
    write(tmp_path / "web-0.log.1", "4\n5\n6\n")
    write(tmp_path / "web-0.log.3", "1\n")
    assert last_lines(path, 1) == ["8"]
    assert last_lines(path, 4) == ["5", "6", "7", "8"]
    assert last_lines(path, 100) == ["4", "5", "6", "7", "8"]
    assert last_lines(str(tmp_path / "none.log"), 3) == []


def test_the_end_of_a_large_file(tmp_path: Path) -> None:
    path = str(
        write(tmp_path / "web-0.log", "".join(f"line {number} {'x' * 90}\n" for number in range(20000)))
    )
    found = last_lines(path, 1500)
    assert len(found) == 1500
    assert found[0].startswith("line 18500 ")
    assert found[-1].startswith("line 19999 ")
    assert len(end_of(path, 10**6, 100_000)) < 200_000
    write(tmp_path / "empty.log", "")
    assert last_lines(str(tmp_path / "empty.log"), 5) == []
    (tmp_path / "broken.log").write_bytes(b"a\xff\nb")
    assert last_lines(str(tmp_path / "broken.log"), 5) == ["a�", "b"]


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ("[2026-11-24 00:00:00 +0000] [7] [INFO] Starting gunicorn", MIDNIGHT),
        ("[2026-11-24 01:30:00 +0130] [7] [INFO] Starting gunicorn", MIDNIGHT),
        ('{"time":"2026-11-23T23:00:00-01:00","host":"x"}', MIDNIGHT),
        ("2026/11/24 00:00:00 [error] 7#7: *1 connect() failed", MIDNIGHT),
        ("2026-11-24 00:00:00,123 INFO worker: done", MIDNIGHT),
        ("2026-11-24T00:00:00.123Z done", MIDNIGHT),
        ("INFO 2026-11-24 00:00:00 done", MIDNIGHT),
        ("Traceback (most recent call last):", None),
        ("9999-99-99 99:99:99 +0000", None),
        ('203.0.113.7 - - [24/Nov/2026:01:00:00 +0100] "GET / HTTP/1.1" 200 5', MIDNIGHT),
        ('203.0.113.7 - - [24/Xxx/2026:01:00:00 +0100] "GET / HTTP/1.1" 200 5', None),
        ("x" * 70 + " 2026-11-24 00:00:00", None),
    ],
)
def test_when_a_line_was_written(line: str, moment: float | None) -> None:
    assert time_of(line) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", MIDNIGHT - 90),
        ("30m", MIDNIGHT - 1800),
        ("2h", MIDNIGHT - 7200),
        ("3d", MIDNIGHT - 3 * 86400),
        ("2026-11-24", MIDNIGHT),
        ("2026-11-24 00:30", MIDNIGHT + 1800),
        ("2026-11-24T00:30:15", MIDNIGHT + 1815),
        ("2026-11-24T01:00:00+01:00", MIDNIGHT),
    ],
)
def test_since(text: str, moment: float) -> None:
    assert since_when(text, MIDNIGHT) == moment


@pytest.mark.parametrize("text", ["soon", "5", "-5m", "5 weeks", "24.11.2026"])
def test_since_when(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30m"):
        since_when(text, MIDNIGHT)


def test_lines_without_a_time_belong_to_the_one_before() -> None:
    lines = ["  of an earlier line", "2026-11-23 23:00:00 old", "  more", "2026-11-24 00:00:01 new", "  more"]
    assert newer(lines, MIDNIGHT, 0) == lines[3:]
    assert newer(lines, MIDNIGHT + 5, MIDNIGHT + 99) == []
    assert newer(["a", "b"], MIDNIGHT, MIDNIGHT + 1) == ["a", "b"]
    assert newer(["a", "b"], MIDNIGHT, MIDNIGHT - 1) == []
    assert newer([], MIDNIGHT, MIDNIGHT + 1) == []


def test_requests_are_shown_readably() -> None:
    line = (
        '{"time":"2026-11-24T00:00:00+00:00","host":"h","client":"192.0.2.1","method":"GET",'
        '"uri":"/?a=1","status":200,"seconds":0.012}'
    )
    assert readable(line) == "2026-11-24T00:00:00+00:00 192.0.2.1 200 GET /?a=1 0.012 s"
    for other in ('{"time": 1}', '{"time"', "plain"):
        assert readable(other) == other


@pytest.mark.parametrize(
    ("line", "zone", "moment"),
    [
        ("2026-11-23 19:00:00,123 INFO worker: done", "America/New_York", MIDNIGHT),
        ("2026-11-24 00:00:00 +0000 INFO worker: done", "America/New_York", MIDNIGHT),
        ("2026-11-24 00:00:00 done", "Nowhere/None", MIDNIGHT),
        ("2026-11-24 00:00:00 done", "../../etc/passwd", MIDNIGHT),
        ("2026-11-24 00:00:00 done", "/etc/localtime", MIDNIGHT),
    ],
)
def test_a_line_without_an_offset_is_of_the_projects_time_zone(
    line: str, zone: str, moment: float | None
) -> None:
    assert time_of(line, zone) == moment
    assert newer([line], MIDNIGHT, 0, zone) == [line]
