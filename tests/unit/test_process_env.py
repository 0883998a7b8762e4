"""Variables that one process has alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.wiring.django_app import app_files
from ansible_collections.homeport.django.plugins.module_utils.wiring.supervisord import process_scripts

from tests.unit.support import CANARY, SECRET, app, resolved
from tests.unit.test_apps_resolve import HOSTILE


@pytest.mark.parametrize("value", HOSTILE)
def test_values_arrive_as_they_are_written(value: str, tmp_path: Path) -> None:
    env = {
        "PLAIN": value,
        "FROM": {"from": "TOKEN"},
        "LATER": {"format": "{PLAIN}{RELEASE_DIR}"},
        "PLACE": {"format": value.replace("{", "").replace("}", "") + "{RELEASE_DIR}{TOKEN}"},
        "GONE": None,
    }
    found = resolved(
        {"env": {"TOKEN": value}},
        env={"GONE": "x", "PLAIN": "the app's"},
        processes={"queue": {"command": "python -c 'import os; print(ascii(dict(os.environ)))'", "env": env}},
    )
    script = process_scripts(found)["queue"]
    given = {
        "PATH": os.environ["PATH"],
        "TOKEN": value,
        "RELEASE_DIR": "/r",
        "GONE": "x",
        "PLAIN": "the app's",
    }
    (tmp_path / "queue").write_text(script)
    out = subprocess.run(
        ["sh", str(tmp_path / "queue")], env=given, capture_output=True, text=True, check=True
    )
    there = eval(out.stdout)
    assert there["PLAIN"] == there["FROM"] == value
    assert there["LATER"] == "the app's/r"
    assert there["PLACE"] == value.replace("{", "").replace("}", "") + "/r" + value
    assert "GONE" not in there
    assert not [name for name in there if name.startswith("homeport")]


def test_secrets_are_not_among_what_the_script_says() -> None:
    found = resolved({"env": {"TOKEN": CANARY}}, web={"env": {"KEY": {"from": "TOKEN"}}})
    assert process_scripts(found) == {"web": 'homeport_0="${TOKEN-}"\nexport KEY="$homeport_0"\n'}
    (entry,) = [entry for entry in app_files({"blog": found}) if entry["path"].endswith("processes/web")]
    assert entry["secret"] and CANARY not in entry["content"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"web": {"env": {"A": {"from": "NOWHERE"}}}}, "web.env.A"),
        (
            {"processes": {"queue": {"command": "x", "env": {"A": {"format": "{NOWHERE}"}}}}},
            "processes.queue.env.A",
        ),
        (
            {"schedules": {"tidy": {"command": "x", "calendar": "daily", "env": {"PWD": "1"}}}},
            "schedules.tidy.env.PWD",
        ),
    ],
)
def test_what_is_refused(fields: dict[str, Any], path: str) -> None:
    found = check({"blog": app(**fields)}, {}, SECRET, "typical")
    assert [line for line in found if line.startswith(f"django_apps.blog.{path}: ")]
