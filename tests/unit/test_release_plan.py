from __future__ import annotations

from pathlib import Path

from ansible_collections.homeport.django.plugins.module_utils.common.derive import digests
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.release.plan import (
    MOST_LINES,
    Plan,
    changed,
    shown,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import files_changed
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import shell_exports

from tests.unit.releases import layout, write

HOSTILE = {"A": 'it\'s "100 %" $HOME `id`\n=x', "B": ""}


def test_an_environment_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "env", shell_exports(HOSTILE))
    assert exports(str(path)) == HOSTILE
    assert exports(str(tmp_path / "none")) == {}


def test_what_two_dictionaries_differ_in() -> None:
    before, after = {"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "3"}
    assert changed(before, after) == {
        "added": {"d": "3"},
        "removed": {"a": "1"},
        "changed": {"c": ["1", "2"]},
    }
    assert changed(before, after, values=False) == {"added": ["d"], "removed": ["a"], "changed": ["c"]}
    assert changed(before, dict(before)) == {}


def test_what_two_trees_differ_in(tmp_path: Path) -> None:
    for tree, files in {"old": ("a", "b/c", "b/d"), "new": ("a", "b/c", "b/e")}.items():
        for name in files:
            write(tmp_path / tree / name, name)
    write(tmp_path / "new/b/c", "other")
    write(tmp_path / "new/__pycache__/x.pyc")
    (tmp_path / "new/link").symlink_to("/etc")
    found = files_changed(str(tmp_path / "old"), str(tmp_path / "new"))
    assert found == {"added": ["b/e"], "removed": ["b/d"], "changed": ["b/c"]}


def test_settings_and_processes_are_named_and_not_told(tmp_path: Path) -> None:
    secrets = {
        "environment": digests({"SAME": "1", "TOKEN": "new", "ADDED": "x"}),
        "processes": digests({"queue": "exec manage.py qcluster\n"}),
        "deploy_key": "k",
    }
    found = layout(tmp_path, secrets)
    live = Path(found.releases) / "1"
    write(live / "config/env", shell_exports({"SAME": "1", "TOKEN": "old", "GONE": "x"}))
    write(live / "config/processes/queue", "exec manage.py qcluster\n")
    write(live / "config/processes/other", "exec manage.py other\n")
    found.point(f"{found.home}/current", str(live))
    plan = Plan(found, "2", "mark", None)
    assert plan.settings_changed() == {"added": ["ADDED"], "removed": ["GONE"], "changed": ["TOKEN"]}
    assert plan.processes_changed() == {"removed": ["other"]}
    assert found.secrets == {"deploy_key": "k"}


def test_a_plan_as_text() -> None:
    text = shown(
        "blog",
        {
            "live": "20261101T120000-0a1b2c3d",
            "revision": ["a" * 40, "b" * 40],
            "commits": [f"c{number} Anna: change" for number in range(MOST_LINES + 4)],
            "files": {"changed": ["blog/views.py"]},
            "packages": {"added": {"tomli": "2.0"}, "changed": {"Django": ["5.1", "5.2"]}},
            "settings": {"changed": ["TOKEN"]},
            "migrations": {
                "pending": ["blog.0002", "blog.0003"],
                "unsafe": {"blog.0003": ["drops post.note"]},
                "notes": {},
            },
        },
    )
    lines = text.splitlines()
    assert lines[0] == "blog: a new release after 20261101T120000-0a1b2c3d"
    assert f"  {'code':<15} {'a' * 19} -> {'b' * 19}" in lines
    assert f"  {'':<15} and 6 more" in lines
    assert f"  {'packages':<15} + tomli 2.0" in lines
    assert f"  {'':<15} ~ Django 5.1 -> 5.2" in lines
    assert f"  {'':<15}     held until allowed: drops post.note" in lines
    assert f"  {'settings':<15} ~ TOKEN" in lines
    assert "processes" not in text


def test_the_first_release_as_text() -> None:
    text = shown("blog", {"live": "", "revision": ["", "b" * 40], "problem": "no database\nyet"})
    assert text.splitlines()[0] == "blog: the first release"
    assert f"  {'not known':<15} no database" in text


def test_a_plan_that_would_put_a_kept_release_live() -> None:
    left = {"time": "2026-11-30T02:00:00Z", "by": "anna@laptop"}
    assert shown("blog", {"live": "1", "kept": "2", "left": left}) == (
        "blog: 2, which is kept, after 1\n"
        "  rolled back     2026-11-30T02:00:00Z by anna@laptop: -e again=true makes it live again\n"
    )
    assert shown("blog", {"live": "1", "kept": "2", "left": {}}) == "blog: 2, which is kept, after 1\n"
