from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import check
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.app.services import (
    engine_at,
    unavailable,
)
from ansible_collections.homeport.django.plugins.module_utils.common.derive import fingerprint
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import service_place
from ansible_collections.homeport.django.plugins.module_utils.wiring.memcached import memcached_app_instances
from ansible_collections.homeport.django.plugins.module_utils.wiring.queues import queue_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.rabbitmq import rabbitmq_app_vhosts
from ansible_collections.homeport.django.plugins.module_utils.wiring.redis import redis_app_instances

from tests.unit.support import CANARY, SECRET, app, resolved


def test_none_unless_it_is_asked_for() -> None:
    found = resolved(setup="worker")
    assert found["cache"]["engine"] == found["broker"]["engine"] == "none"
    assert not {"CACHE_URL", "BROKER_URL", "REDIS_URL"} & found["environment"].keys()
    assert resolved(setup="cache")["cache"]["engine"] == "redis"


@pytest.mark.parametrize("engine", ["redis", "valkey"])
def test_an_instance_of_its_own_for_each_use(engine: str) -> None:
    found = resolved(setup="site", cache=engine, broker=engine)
    cache, broker = found["cache"], found["broker"]
    assert cache["managed"] and broker["managed"]
    assert (cache["host"], cache["port"]) != (broker["host"], broker["port"])
    assert cache["password"] != broker["password"]
    for service in (cache, broker):
        url = urlsplit(service["url"])
        assert (url.scheme, url.hostname, url.port, url.path) == (
            "redis",
            service["host"],
            service["port"],
            "/0",
        )
        assert url.hostname.startswith("127.") and url.port < 1024
        assert unquote(url.password or "") == service["password"]
    environment = found["environment"]
    assert environment["CACHE_URL"] == cache["url"]
    assert environment["CACHE_PREFIX"] == "blog"
    # what is just called Redis is the one that forgets nothing
    assert (
        environment["REDIS_URL"]
        == environment["BROKER_URL"]
        == environment["CELERY_BROKER_URL"]
        == broker["url"]
    )
    assert environment["REDIS_PORT"] == str(broker["port"])
    instances = redis_app_instances({"blog": found}, ["cache", "broker"], ["127.0.0.1"])
    assert [(one["name"], one["server"], one["policy"], one["persistent"]) for one in instances] == [
        ("blog-cache", engine, "allkeys-lru", False),
        ("blog-broker", engine, "noeviction", True),
    ]
    assert [one["listen"] for one in instances] == [[cache["host"]], [broker["host"]]]
    (shared,) = redis_app_instances({"blog": found}, ["cache"], ["127.0.0.1", "10.0.0.7"])
    assert (shared["name"], shared["listen"]) == ("blog-cache", [cache["host"], "10.0.0.7"])
    assert instances[0]["previous_passwords"] == []


def test_earlier_passwords_are_let_in() -> None:
    earlier, later = ["an-earlier-password", "one-before-that-one"], "the-password-of-now"
    found = resolved({"cache_password": [later, *earlier]}, setup="cache")
    (instance,) = redis_app_instances({"blog": found}, ["cache"], [])
    assert (instance["password"], instance["previous_passwords"]) == (later, earlier)
    assert earlier[0] not in str(found["environment"])


def test_another_host() -> None:
    host = {"cache_host": "fd00::7", "broker_host": "10.0.0.7"}
    found = resolved(setup="site", host=host, cache="redis", broker="rabbitmq")
    assert f"@[fd00::7]:{found['cache']['port']}/0" in found["cache"]["url"]
    assert found["broker"]["url"].endswith("@10.0.0.7:567/blog")


def test_rabbitmq() -> None:
    found = resolved(setup="site", broker="rabbitmq")
    broker, environment = found["broker"], found["environment"]
    assert broker["user"] == f"blog.{fingerprint(broker['password'])}"
    assert broker["url"] == f"amqp://{broker['user']}:{broker['password']}@127.0.0.1:567/blog"
    for name in ("BROKER_URL", "CELERY_BROKER_URL", "AMQP_URL", "RABBITMQ_URL"):
        assert environment[name] == broker["url"]
    assert "REDIS_URL" not in environment
    assert rabbitmq_app_vhosts({"blog": found}) == [
        {"name": "blog", "users": [{"name": broker["user"], "password": broker["password"]}]}
    ]


def test_memcached_is_reached_by_a_socket() -> None:
    found = resolved(setup="cache", cache={"engine": "memcached", "memory": 128})
    assert found["cache"]["url"] == "pymemcache:///run/memcached-blog/memcached.sock"
    assert memcached_app_instances({"blog": found}) == [{"name": "blog", "group": "blog", "memory": 128}]


def test_one_that_exists_already_is_not_made() -> None:
    url = "rediss://me:p%40ss@cache.example.org:6380/3"
    found = resolved({"cache_url": url}, setup="typical")
    assert found["environment"]["CACHE_URL"] == found["environment"]["REDIS_URL"] == url
    assert not found["cache"]["managed"]
    assert not redis_app_instances({"blog": found}, ["cache", "broker"], [])


def test_passwords_can_be_chosen() -> None:
    found = resolved({"cache_password": "x/y@z:0123456789#"}, setup="cache")
    assert unquote(urlsplit(found["cache"]["url"]).password or "") == "x/y@z:0123456789#"


def test_a_place_does_not_depend_on_other_apps() -> None:
    alone = resolve({"blog": app(cache="redis")}, {}, SECRET, "site")["blog"]["cache"]
    others = {f"app{number}": app(domains=[f"{number}.example"], cache="redis") for number in range(20)}
    beside = resolve({"blog": app(cache="redis"), **others}, {}, SECRET, "site")
    assert beside["blog"]["cache"] == alone
    assert (alone["host"], alone["port"]) == service_place("blog", "cache")


def test_places_of_many_apps() -> None:
    """None on another's, none that a user can bind, none that is all apps' or another service's."""
    places = [
        service_place(f"app{number}", service) for number in range(2000) for service in ("cache", "broker")
    ]
    assert len(set(places)) == len(places)
    for address, port in places:
        assert ipaddress.ip_address(address) in ipaddress.ip_network("127.0.0.0/8")
        assert not address.startswith("127.0.")
        assert 200 <= port < 600
        assert port not in (443, 445, 465, 514, 567, 568, 569, 587)


def test_a_declared_port_stays_at_the_shared_address() -> None:
    found = resolved(setup="site", cache={"engine": "redis", "port": 21000})["cache"]
    assert (found["host"], found["port"]) == ("127.0.0.1", 21000)


def test_two_on_one_port_are_refused() -> None:
    apps: dict[str, Any] = {
        "a": app(domains=["a.example"], cache={"engine": "redis", "port": 21000}),
        "b": app(domains=["b.example"], broker={"engine": "valkey", "port": 21000}),
        "c": app(domains=["c.example"], cache={"url": "redis://h", "port": 21000}),
    }
    assert check(apps, {}, SECRET, "site") == [
        "django_apps.b.broker.port: 21000 is taken by the cache of a; choose another"
    ]


@pytest.mark.parametrize(
    ("url", "engine"),
    [("redis://h", "redis"), ("unix:///s", "redis"), ("redis+socket:///s", "redis"), ("amqps://h", "rabbitmq"),
     ("pymemcache://h", "memcached"), ("sqs://", "other"), ("", "other")],
)  # fmt: skip
def test_what_an_address_leads_to(url: str, engine: str) -> None:
    assert engine_at(url) == engine


def test_secrets_are_not_shown() -> None:
    found = check(
        {"blog": app()}, {"blog": {"cache_url": CANARY, "broker_password": "short"}}, SECRET, "site"
    )
    assert len(found) == 2
    assert CANARY not in "".join(found)


def test_packages_of_an_overlay() -> None:
    processes = {
        "queue": {"kind": "celery"},
        "beat": {"kind": "celery_beat"},
        "tasks": {"kind": "django_tasks"},
    }
    found = resolved(setup="site", overlay=True, cache="redis", broker="rabbitmq", processes=processes)
    assert found["server_packages"] == ["gunicorn", "psycopg[binary]", "redis", "celery", "django-tasks-db"]
    assert queue_apps({"blog": found}, "celery")["blog"]["broker"] == "rabbitmq"
    assert queue_apps({"blog": found}, "django_tasks")["blog"]["broker"] == "database"
    assert not queue_apps({"blog": resolved(setup="site", processes=processes)}, "celery")


@pytest.mark.parametrize(
    ("fields", "distribution", "version", "found"),
    [
        ({"cache": "valkey"}, "debian", "12", 1),
        ({"cache": "valkey"}, "debian", "13", 0),
        ({"cache": "valkey", "broker": "valkey"}, "ubuntu", "22.04", 2),
        ({"cache": "valkey"}, "ubuntu", "24.04", 0),
        ({"processes": {"q": {"kind": "celery"}}}, "ubuntu", "22.04", 1),
        ({"processes": {"q": {"kind": "celery"}}, "broker": "rabbitmq"}, "ubuntu", "22.04", 0),
        ({"processes": {"q": {"kind": "rq"}}}, "ubuntu", "22.04", 0),
        ({"processes": {"q": {"kind": "celery"}}}, "debian", "12", 0),
        ({"cache": {"url": "redis://h"}}, "ubuntu", "22.04", 0),
    ],
)
def test_what_a_distribution_does_not_have(
    fields: dict[str, Any], distribution: str, version: str, found: int
) -> None:
    apps = {"blog": resolved(setup="site", **fields)}
    facts = {"distribution": distribution, "version": version}
    assert len(unavailable(apps, ["cache", "broker"], facts)) == found
    assert unavailable(apps, [], facts) == []
