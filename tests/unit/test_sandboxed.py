"""Paths below the homes of people, which services do not see."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import parse
from ansible_collections.homeport.django.plugins.module_utils.validation import sandboxed

from tests.unit.support import SECRET, app


def problems(definition: Any, **variables: Any) -> list[str]:
    given = {**app(), **definition} if isinstance(definition, dict) else definition
    return sandboxed.problems(parse({"blog": given}, {}, SECRET, "site").apps, variables)


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"processes": {"worker": {"command": "/home/bob/bin/worker --all"}}}, "processes.worker.command"),
        ({"processes": {"worker": "cd /root/app && ./worker"}}, "processes.worker.command"),
        ({"schedules": {"digest": {"command": "python3 '/home/bob/x.py'"}}}, "schedules.digest.command"),
        ({"schedules": {"digest": {"command": "manage.py x; /run/user/1000/x"}}}, "schedules.digest.command"),
        ({"source": {"git": "/home/bob/blog.git"}}, "source.git"),
        ({"source": {"git": "file:///home/bob/blog.git"}}, "source.git"),
        ({"database": {"url": "sqlite:////home/bob/db.sqlite3"}}, "database.url"),
        ({"proxy": {"extra": "location /x/ { alias /home/bob/x/; }\n  root /root;"}}, "proxy.extra"),
    ],
)
def test_what_an_app_would_not_see(definition: dict[str, Any], field: str) -> None:
    found = problems(definition)
    assert len(found) == 1
    assert found[0].startswith(f"django_apps.blog.{field}: ")
    assert "bob" not in found[0]


@pytest.mark.parametrize(
    "definition",
    [
        {
            "processes": {
                "worker": {"command": "manage.py warm /home/ --root=/root"},
                "x": {"command": "/homes/x"},
            }
        },
        {"schedules": {"digest": {"command": "/srv/blog/home/x; cd ~/x"}}},
        {"source": {"git": "git@example.org:/home/blog.git", "path": "/home/me/blog"}},
        {"proxy": {"extra": "location /home/ { return 301 /root/; }", "upload_limit": "1m"}},
        {"processes": ["x"], "source": "x", "proxy": 7},
        7,
    ],
)
def test_what_is_no_path_below_a_home(definition: Any) -> None:
    assert problems(definition) == []


def test_the_roles_own_variables() -> None:
    own = {
        "supervisord_programs": {"bot": {"command": "/home/bob/bot", "directory": "/root", "user": "bob"}},
        "nginx_sites": {
            "docs": {
                "static": {"url": "/", "root": "/home/bob/docs"},
                "upstream": "unix:/run/user/1/x",
                "extra": "",
            }
        },
    }
    assert [problem.partition(": ")[0] for problem in problems({}, **own)] == [
        "supervisord_programs.bot.command",
        "supervisord_programs.bot.directory",
        "nginx_sites.docs.static.root",
        "nginx_sites.docs.upstream",
    ]
    assert problems({}, **own, nginx_sandbox=False, supervisord_sandbox="no") == []


def test_without_a_sandbox() -> None:
    definition = {"schedules": {"digest": {"command": "/home/bob/x"}}, "proxy": {"extra": "root /home/bob;"}}
    assert len(problems(definition, nginx_sandbox=True)) == 2
    assert problems(definition, nginx_sandbox="false", django_app_sandbox=False) == []
