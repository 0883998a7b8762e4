from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.homeport.django.plugins.action.app_removal import (
    checked,
    closing,
    described,
    known,
    left_alone,
)

NOTHING: dict[str, Any] = {
    "paths": [], "files": [], "timers": [], "domains": [], "programs": [], "stores": [], "vhost": "", "processes": 0,
    "user": "", "release": "",
    "revision": "", "database": {}, "databases": [], "kept": [], "role": False, "removed": {},
}  # fmt: skip
WEB = {
    **NOTHING,
    "paths": [{"path": "/srv/blog", "bytes": 12_345_678}, {"path": "/var/log/homeport/blog", "bytes": 0}],
    "domains": ["blog.example"],
    "programs": ["blog.web:0"],
    "stores": ["redis-server@blog-cache.service"],
    "vhost": "blog",
    "user": "blog",
    "database": {"engine": "postgres", "name": "blog", "host": "10.0.0.2"},
}
DATABASE = {**NOTHING, "databases": [{"name": "blog", "bytes": 9_000_000}], "role": True}


def test_what_is_shown_before_the_question() -> None:
    text = "\n".join(
        described("blog", {"web1": WEB, "db1": DATABASE}, ["web2"], "/var/backups/homeport/blog-1")
    )
    for part in (
        "web1: all of this is removed",
        "/srv/blog (12 MiB)",
        "blog.example",
        "blog.web:0",
        "cache, broker redis-server@blog-cache\n",
        "RabbitMQ      the virtual host and the user blog",
        "database      blog (9 MiB)",
        "database role blog",
        "Not inspected, because of --limit: web2",
        "A last dump goes to /var/backups/homeport/blog-1 first.",
    ):
        assert part in text, text
    assert "Left as it is" not in text


def test_without_a_dump() -> None:
    assert "There is no dump first (dump=false)." in described("blog", {"web1": WEB}, [], "")


def test_a_database_given_by_its_address_is_left_alone() -> None:
    assert left_alone("blog", {"web1": WEB}) == ["the postgres database blog at 10.0.0.2"]
    assert left_alone("blog", {"web1": WEB, "db1": DATABASE}) == []
    kept = {**NOTHING, "kept": ["blog"]}
    assert "the database blog on db1" in left_alone("blog", {"web1": NOTHING, "db1": kept})


def test_its_own_sqlite_file_is_not_left() -> None:
    own = {**WEB, "database": {"engine": "sqlite", "name": "/srv/blog/shared/data/db.sqlite3", "host": ""}}
    assert left_alone("blog", {"web1": own}) == []
    other = {**WEB, "database": {"engine": "sqlite", "name": "/data/db.sqlite3", "host": ""}}
    assert left_alone("blog", {"web1": other}) == ["the sqlite database /data/db.sqlite3"]


def test_nothing_is_left() -> None:
    removed = {"time": "2026", "by": "eve@laptop", "message": "dump in x"}
    assert described("blog", {"web1": {**NOTHING, "removed": removed}}, [], "x") == [
        "web1: nothing of blog (removed 2026 by eve@laptop, dump in x)"
    ]


def test_who_knows_the_app() -> None:
    assert known({"web1": WEB})
    assert known({"web1": {**NOTHING, "removed": {"verb": "remove"}}})
    assert known({"web1": {**NOTHING, "stores": ["memcached@blog.service"]}})
    # a role and a database of that name, or a virtual host, may be anybody's
    assert not known({"web1": NOTHING, "db1": {**DATABASE, "vhost": "blog"}})


def test_names() -> None:
    assert checked("blog", ["blog"]) == "blog"
    for name in ("postgres", "root", "../etc", "Blog", "a b"):
        with pytest.raises(AnsibleActionFail, match="cannot be the name of an app"):
            checked(name, [])
    with pytest.raises(AnsibleActionFail, match="one of blog"):
        checked("", ["blog"])


def test_what_is_left_to_do() -> None:
    lines = closing("blog", {"web1": "/var/backups/x", "db1": ""}, "\n  in /site/apps.yml, line 3")
    assert "Its last dump is in /var/backups/x on web1." in lines
    assert (
        "Now remove blog from /site/apps.yml, line 3; otherwise the next run of a setup playbook creates it again."
        in lines
    )
    assert not any("db1" in line for line in lines)
    assert "from django_apps;" in closing("blog", {}, "")[-1]
    assert closing("blog", {}, None) == ["blog is removed."]
