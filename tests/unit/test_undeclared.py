"""What a host still has that is not declared any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.undeclared import undeclared_lines
from ansible_collections.homeport.django.plugins.module_utils.host import undeclared
from ansible_collections.homeport.django.plugins.module_utils.host.undeclared import found_here
from ansible_collections.homeport.django.plugins.module_utils.wiring.declared import declared
from ansible_collections.homeport.django.plugins.module_utils.wiring.memcached import memcached_app_instances
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import postgres_databases
from ansible_collections.homeport.django.plugins.module_utils.wiring.rabbitmq import rabbitmq_app_vhosts
from ansible_collections.homeport.django.plugins.module_utils.wiring.redis import redis_app_instances

from tests.unit.support import resolved

BROKER = "redis-server@blog-broker.service"
WITH_QUEUE = {
    "processes": {"worker": {"command": "manage.py qcluster"}},
    "schedules": {"digest": {"command": "x", "calendar": "daily"}},
    "broker": "redis",
    "cache": "memcached",
}


def wanted(fields: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    apps = {"blog": resolved(setup="site", **(WITH_QUEUE if fields is None else fields))}
    host = {
        "databases": postgres_databases(apps),
        "instances": {
            "redis": redis_app_instances(apps, ["cache", "broker"], ["127.0.0.1"]),
            "memcached": memcached_app_instances(apps),
        },
        "vhosts": rabbitmq_app_vhosts(apps),
        **dict.fromkeys(("here", "services", "backup", "archive"), True),
        **changes,
    }
    return declared(apps, host)


def found(**changes: Any) -> dict[str, Any]:
    return {
        "apps": ["blog"],
        "process": ["blog.web", "blog.worker"],
        "schedule": ["blog.digest"],
        "units": [BROKER, "memcached@blog.service"],
        "stores": {BROKER: "/var/lib/redis/blog-broker"},
        "vhosts": [],
        "databases": {"blog": "blog"},
        "backup": True,
        "archive": True,
        **changes,
    }


def texts(here: dict[str, Any], declared_here: dict[str, Any]) -> list[str]:
    return [line["text"] for line in undeclared_lines(here, declared_here, "this run", "site")]


def test_what_is_declared_is_not_told() -> None:
    assert texts(found(), wanted()) == []


def test_an_app_with_all_that_it_has() -> None:
    here = found(
        apps=["blog", "notes"], process=["blog.web", "notes.web"], databases={"blog": "blog", "n": "notes"}
    )
    here["stores"]["valkey-server@notes-cache.service"] = "/var/lib/valkey/notes-cache"
    here["vhosts"] = ["notes"]
    here["units"].append("valkey-server@notes-cache.service")
    assert texts(here, wanted()) == [
        "notes is not declared any more: this run stops it, and its data stay (/srv/notes, RabbitMQ's virtual host "
        "notes, the database n, valkey-server@notes-cache (/var/lib/valkey/notes-cache)). Declare it again, or remove "
        "it after a last dump: remove_app.yml -e app=notes"
    ]
    assert (
        "notes is not declared any more: it is not served, and its data stay ("
        in (texts(here | {"process": ["blog.web"]}, wanted())[0])
    )
    # a database server that is not the app's own host
    assert "its data stay (the database n)" in texts(found(databases={"n": "notes"}), wanted())[0]


def test_services_of_an_app_that_goes_on_without_them() -> None:
    here = found(vhosts=["blog", "else"], databases={"blog": "blog", "old blog": "blog"})
    assert texts(here, wanted({})) == [
        "the process worker of blog is not declared any more: this run stops it. It finishes what it does; tasks that "
        "wait stay in its queue",
        "the schedule digest of blog is not declared any more: this run stops it",
        "memcached@blog is not declared any more: the playbook site stops it",
        "redis-server@blog-broker is not declared any more: the playbook site stops it, and its data stay in "
        "/var/lib/redis/blog-broker",
        "RabbitMQ's virtual host else is not declared, and stays. To remove it, once no release uses it, "
        "as root: rabbitmqctl delete_vhost else",
        "RabbitMQ's virtual host blog is not declared, and stays. To remove it, once no release uses it, "
        "as root: rabbitmqctl delete_vhost blog",
        "the database old blog is not declared, and stays. To remove it, once no release uses it, as root: runuser -u "
        "postgres -- dropdb 'old blog'",
    ]
    stopped = here | {"units": [], "vhosts": [], "databases": {"blog": "blog"}}
    assert texts(stopped, wanted({}))[-1] == (
        "redis-server@blog-broker (/var/lib/redis/blog-broker) is not declared, and stays. To remove it, once no "
        "release uses it, as root: rm -r /var/lib/redis/blog-broker"
    )


def test_backups_and_the_archive() -> None:
    assert texts(found(), wanted(backup=False, archive=False)) == [
        "backup_repository is not set any more: backups and restore drills end with the playbook site. The backups "
        "that there are stay in the repository",
        "pgbackrest_repository is not set any more: PostgreSQL's archive ends with the playbook site. What is archived "
        "stays in the repository",
    ]
    assert texts(found(backup=False, archive=False), wanted(backup=False, archive=False)) == []


def test_an_app_that_has_moved_to_another_host() -> None:
    (text,) = texts(found(stores={}, units=[]), wanted(here=False))
    assert text.startswith(
        "blog is not declared here any more: this run stops it, and its data stay (/srv/blog)"
    )
    assert "remove_app" not in text
    stopped = found(stores={}, units=[], process=[], schedule=[])
    assert "any more: it is not served, and its data" in texts(stopped, wanted(here=False))[0]


def test_services_on_a_host_that_no_run_looks_at_for_them() -> None:
    assert texts(found(apps=[], process=[], schedule=[]), wanted({}, here=False, services=False)) == [
        "memcached@blog is not declared any more: it still runs, and no run stops it (as root: systemctl disable --now "
        "memcached@blog.service)",
        "redis-server@blog-broker is not declared any more: it still runs, and no run stops it (as root: systemctl "
        "disable --now redis-server@blog-broker.service), and its data stay in /var/lib/redis/blog-broker",
    ]


def test_a_database_that_an_app_names_by_its_address() -> None:
    here = found(databases={"made-by-hand": "blog"}, units=[], stores={})
    by_address = {"database": {"url": "postgres://blog@127.0.0.1/made-by-hand"}}
    assert [text for text in texts(here, wanted(by_address)) if "made-by-hand" in text] == []
    assert [text for text in texts(here, wanted({})) if "made-by-hand" in text] != []


def test_what_a_host_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undeclared, "databases", lambda apps: {name: name for name in apps})
    states = {"blog.old.timer": [False, False], BROKER: [True, False]}
    monkeypatch.setattr(undeclared, "units", lambda _names: states)
    programs = tmp_path / "conf.d"
    monkeypatch.setattr(undeclared, "PROGRAMS", f"{programs}/")
    programs.mkdir()
    (programs / "blog.web.conf").touch()
    records = tmp_path / "records"
    for name, record in {
        "django_app": {"units": ["blog.digest.timer", "blog.old.timer"], "paths": ["/srv/blog"]},
        "supervisord": {"paths": [f"{programs}/blog.{name}.conf" for name in ("web", "gone")] + ["/usr/x"]},
        "redis": {"units": [BROKER]},
        "backup": {"units": []},
        "pgbackrest": {"units": ["homeport-archive.timer"]},
    }.items():
        records.mkdir(exist_ok=True)
        (records / f"{name}.json").write_text(json.dumps(record))
    (tmp_path / "srv/blog/slots").mkdir(parents=True)
    (tmp_path / "srv/Else/slots").mkdir(parents=True)
    for folder in ("redis/blog-broker", "redis/own", "valkey/empty-cache"):
        (tmp_path / "lib" / folder).mkdir(parents=True)
    (tmp_path / "lib/redis/blog-broker/dump.rdb").touch()
    for number, vhost in enumerate(("/", "blog")):
        place = tmp_path / f"lib/rabbitmq/mnesia/rabbit@web1/msg_stores/vhosts/{number}"
        place.mkdir(parents=True)
        (place / ".vhost").write_text(vhost)
    assert found_here(str(tmp_path / "srv"), str(records), str(tmp_path / "lib")) == {
        "apps": ["blog"],
        "process": ["blog.web"],
        "schedule": ["blog.digest"],
        "units": [BROKER],
        "stores": {BROKER: str(tmp_path / "lib/redis/blog-broker")},
        "vhosts": ["blog"],
        "databases": {"blog": "blog"},
        "backup": False,
        "archive": True,
    }
