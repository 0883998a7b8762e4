from __future__ import annotations

from pathlib import Path

from ansible_collections.homeport.django.plugins.module_utils.host.release.history import (
    LONGEST,
    append,
    entries,
    gone_back_from,
    revision_gone_back_from,
)


def test_lines_are_only_added(tmp_path: Path) -> None:
    folder = str(tmp_path / "deploys")
    append("blog", {"outcome": "live", "release": "1"}, folder)
    before = (tmp_path / "deploys/blog.jsonl").read_bytes()
    line = append("blog", {"outcome": "failed", "message": "migrate failed:" + "x" * 5000 + "why\n"}, folder)
    after = (tmp_path / "deploys/blog.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 2
    assert [entry["outcome"] for entry in entries("blog", folder)] == ["live", "failed"]
    assert len(line["message"]) == LONGEST
    assert line["message"].startswith("migrate failed:")
    assert line["message"].endswith("xwhy\n")
    assert (tmp_path / "deploys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deploys/blog.jsonl").stat().st_mode & 0o777 == 0o600
    assert entries("shop", folder) == []


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    folder = str(tmp_path)
    append("blog", {"release": "1"}, folder)
    path = tmp_path / "blog.jsonl"
    path.write_bytes(path.read_bytes() + b'{"release": "2", "mess')
    append("blog", {"release": "3"}, folder)
    assert [entry["release"] for entry in entries("blog", folder)] == ["1", "3"]


def test_which_releases_were_gone_back_from(tmp_path: Path) -> None:
    folder = str(tmp_path)
    steps = [("deploy", "live", "1", ""), ("deploy", "live", "2", "1"), ("rollback", "live", "1", "2")]
    for verb, outcome, release, before in [*steps, ("deploy", "failed", "2", "1")]:
        append("blog", {"verb": verb, "outcome": outcome, "release": release, "before": before}, folder)
    assert gone_back_from("blog", "2", folder)["verb"] == "rollback"
    assert gone_back_from("blog", "1", folder) == {}
    assert gone_back_from("blog", "3", folder) == {}
    # a rollback that another host could not make
    append("blog", {"verb": "deploy", "outcome": "rolled back", "release": "1", "before": "2"}, folder)
    assert gone_back_from("blog", "2", folder) == {}
    append("blog", {"verb": "rollback", "outcome": "live", "release": "1", "before": "2"}, folder)
    assert gone_back_from("blog", "2", folder)["verb"] == "rollback"
    append("blog", {"verb": "deploy", "outcome": "live", "release": "2", "before": "1"}, folder)
    assert gone_back_from("blog", "2", folder) == {}
    # back to 1, and on to 2 again: nobody has left 1
    append("blog", {"verb": "rollback", "outcome": "live", "release": "1", "before": "2"}, folder)
    append("blog", {"verb": "rollback", "outcome": "live", "release": "2", "before": "1"}, folder)
    assert gone_back_from("blog", "1", folder) == {}
    assert gone_back_from("blog", "2", folder) == {}
    # the database alone
    append("blog", {"verb": "rollback", "outcome": "live", "release": "2", "before": "2"}, folder)
    assert gone_back_from("blog", "2", folder) == {}


def test_which_revisions_were_gone_back_from(tmp_path: Path) -> None:
    folder = str(tmp_path)

    def went(verb: str, release: str, before: str) -> None:
        """A release is named by its revision and its settings."""
        line = {"release": release, "before": before, "revision": release[:1], "revision_before": before[:1]}
        append("blog", {"verb": verb, "outcome": "live", **line}, folder)

    went("deploy", "b1", "a1")
    went("rollback", "a1", "b1")
    left = revision_gone_back_from("blog", "b", folder)
    assert left["before"] == "b1"
    went("deploy", "a2", "a1")  # other settings
    assert revision_gone_back_from("blog", "b", folder) == left
    went("rollback", "a1", "a2")  # which are left alone
    assert revision_gone_back_from("blog", "a", folder) == {}
    went("deploy", "b2", "a1")
    assert revision_gone_back_from("blog", "b", folder) == {}
    assert revision_gone_back_from("blog", "", folder) == {}
