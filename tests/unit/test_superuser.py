# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is asked of a project before createsuperuser runs there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.app_process import Ended
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK, argv_of
from ansible_collections.homeport.django.plugins.modules.manage import answer_of_superuser

from tests.unit.releases import write

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
VALIDATORS = "django.contrib.auth.password_validation."
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{VALIDATORS}MinimumLengthValidator", "OPTIONS": {"min_length": 9}},
    {"NAME": f"{VALIDATORS}UserAttributeSimilarityValidator"},
]
"""
USER = {"DJANGO_SUPERUSER_USERNAME": "annabella", "DJANGO_SUPERUSER_EMAIL": "a@b.example"}


@pytest.mark.parametrize(
    ("password", "problems"),
    [
        (None, []),
        ("wind-and-rain-7", []),
        ("short", ["too short"]),
        ("", ["too short"]),
        ("annabella1", ["too similar to the username"]),
    ],
)
def test_what_a_project_says_of_a_superuser(
    password: str | None, problems: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "settings.py", SETTINGS)
    given = {} if password is None else {"DJANGO_SUPERUSER_PASSWORD": password}
    done = subprocess.run(
        argv_of("superuser", sys.executable, release=str(tmp_path)),
        cwd=tmp_path,
        env={"DJANGO_SETTINGS_MODULE": "settings", **USER, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.partition(MARK)[2])
    assert answer["fields"] == ["username", "email"]
    assert len(answer["problems"]) == len(problems)
    for said, expected in zip(answer["problems"], problems, strict=True):
        assert expected in said


class Answer(Exception):
    pass


class Module:
    def exit_json(self, **answer: Any) -> None:
        raise Answer(answer)

    def fail_json(self, msg: str) -> None:
        raise Answer(msg)


def answered(status: int, printed: str) -> Any:
    with pytest.raises(Answer) as raised:
        answer_of_superuser(Module(), Ended(status, printed.encode(), b"no settings", 1, ""))  # type: ignore[arg-type]
    return raised.value.args[0]


@pytest.mark.parametrize(
    ("status", "printed", "message"),
    [
        (1, "", "Reading the user model failed: no settings"),
        (0, "", "exited before it could answer"),
        (0, f'{MARK}{{"fields": "all", "problems": []}}', "invalid fields"),
    ],
)
def test_an_invalid_answer_is_refused(status: int, printed: str, message: str) -> None:
    assert message in answered(status, printed)


def test_only_what_is_known_of_an_answer_is_kept() -> None:
    found = answered(0, f'{MARK}{{"fields": ["email"], "problems": [], "other": 1}}')
    assert found == {"changed": False, "superuser": {"fields": ["email"], "problems": []}}
