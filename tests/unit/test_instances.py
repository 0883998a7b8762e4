"""Instances of Redis, Valkey and Memcached: defaults, access rules, and what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.homeport.django.plugins.filter import instances as filters
from ansible_collections.homeport.django.plugins.module_utils.engines.memcached import memcached_instances
from ansible_collections.homeport.django.plugins.module_utils.engines.redis import redis_instances
from ansible_collections.homeport.django.plugins.module_utils.validation.role_inputs import InputError

from tests.unit.support import CANARY

PASSWORD = f"{CANARY}-long-enough"
NEW = {"redis": "8.0.2", "valkey": "8.1.1"}


def redis(**fields: Any) -> dict[str, Any]:
    return {"name": "blog-cache", "port": 6380, "password": PASSWORD, **fields}


def one(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = redis_instances([redis(**fields)], NEW)[0]
    return found


def problems(*declared: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        redis_instances(list(declared), NEW)
    assert CANARY not in str(caught.value)
    return caught.value.problems


def test_defaults() -> None:
    found = one()
    assert found.pop("access").startswith("on #")
    assert found.pop("reload_access").startswith("on #")
    assert len(found.pop("reload_passwords")) == 1
    assert found == {
        "name": "blog-cache",
        "server": "redis",
        "unit": "redis-server@blog-cache.service",
        "port": 6380,
        "bind": ["127.0.0.1", "-::1"],
        "memory": 64,
        "policy": "noeviction",
        "persistent": False,
        "tls": False,
        "admin_access": "",
        "admin_password": "",
    }


def hashed(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def test_the_password_is_there_as_its_hash_alone() -> None:
    found = one()
    assert hashed(PASSWORD) in found["access"].split()
    assert CANARY not in str(found)


def test_earlier_passwords_are_let_in_as_well() -> None:
    found = one(previous_passwords=[f"{PASSWORD}-1", f"{PASSWORD}-2"])
    assert found["access"].split()[1:4] == [hashed(f"{PASSWORD}{end}") for end in ("", "-1", "-2")]
    assert CANARY not in str(found)
    assert problems(redis(previous_passwords=[PASSWORD, "short"])) == [
        "redis_instances[0].previous_passwords[1]: must have 16 characters or more"
    ]


def test_a_user_who_may_do_nothing_but_have_the_users_read_again() -> None:
    """With a password that the running server knows as long as one of the clients' passwords stays."""
    before, after = one(), one(password=f"{PASSWORD}-new", previous_passwords=[PASSWORD])
    assert after["reload_passwords"][1:] == before["reload_passwords"]
    assert after["reload_access"].split() == [
        "on", *(hashed(password) for password in after["reload_passwords"]), "-@all", "+acl|load",
    ]  # fmt: skip
    assert not set(after["reload_access"].split()[1:3]) & set(after["access"].split())


@pytest.mark.parametrize(
    ("server", "installed", "channels"),
    [
        ("redis", "6.0.16", False),
        ("redis", "6.2.0", True),
        ("redis", "7.0.15", True),
        ("redis", "10.0.1", True),
        ("valkey", "8.1.1", True),
        ("redis", "", True),
    ],
)
def test_rules_for_channels_where_the_server_knows_them(server: str, installed: str, channels: bool) -> None:
    found = redis_instances([redis(server=server)], {server: installed})[0]
    assert ("&*" in found["access"].split()) is channels
    assert ("-::1" in found["bind"]) is channels


def test_administrative_commands_stay_out() -> None:
    words = one()["access"].split()
    assert (
        words.index("+@all") < words.index("-@admin") < words.index("-@dangerous") < words.index("+flushdb")
    )
    assert not {"+config", "+debug", "+shutdown", "+module", "+acl", "+restore", "+replicaof"} & set(words)


def test_numbers_and_booleans_that_a_template_made_texts_of() -> None:
    found = one(port="6380", memory="128", persistent="true")
    assert (found["port"], found["memory"], found["persistent"]) == (6380, 128, True)
    assert one(persistent="false")["persistent"] is False


def test_valkey_has_a_unit_of_its_own() -> None:
    assert one(server="valkey")["unit"] == "valkey-server@blog-cache.service"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "192.168.1.2", "fd00::5", "100.64.0.9"])
def test_private_addresses(address: str) -> None:
    assert one(listen=[address])["bind"] == [address]


def test_what_is_encrypted_may_have_a_public_address() -> None:
    found = one(listen=["8.8.8.8"], tls=True, admin_password=f"{PASSWORD}-admin")
    assert (found["tls"], found["bind"]) == (True, ["8.8.8.8"])
    assert found["admin_access"] == f"on {hashed(f'{PASSWORD}-admin')} -@all +config|set"
    assert not {*found["admin_access"].split()[1:2]} & {
        *found["access"].split(),
        *found["reload_access"].split(),
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Blog"}, "name: must be small letters"),
        ({"name": "../x"}, "name: must be small letters"),
        ({"name": "a" * 64}, "63 at most"),
        ({"name": "a\nb"}, "name: must be a single line"),
        ({"port": 0}, "port: must be from 1 to 65535"),
        ({"port": 70000}, "port: must be from 1 to 65535"),
        ({"port": None}, "port: is required: TCP port"),
        ({"port": True}, "port: must be a whole number, not a boolean"),
        ({"memory": 1}, "memory: must be from 8 to"),
        ({"memory": "64mb"}, "memory: must be a whole number"),
        ({"password": PASSWORD[:15]}, "password: must have 16 characters or more"),
        ({"password": ""}, "password: must have 16 characters or more"),
        ({"password": None}, "password: is required: what clients must say first"),
        ({"password": 1234567890123456}, "password: must be a string, not a number (put it in quotes)"),
        ({"server": "keydb"}, "server: must be one of redis, valkey"),
        ({"policy": "lru"}, "policy: must be one of noeviction, allkeys-lru"),
        ({"policy": "allkeys-lru", "persistent": True}, "policy: a persistent instance"),
        ({"persistent": "perhaps"}, "persistent: must be true or false"),
        ({"listen": "127.0.0.1"}, "listen: must be a list"),
        ({"listen": []}, "listen: must have at least 1 item"),
        ({"listen": ["localhost"]}, "listen[0]: must be an IP address"),
        ({"listen": ["fe80::1%eth0"]}, "listen[0]: must be an IP address"),
        ({"listen": ["0.0.0.0"]}, "listen[0]: is not one address"),
        ({"listen": ["::"]}, "listen[0]: is not one address"),
        ({"listen": ["10.0.0.5", "8.8.8.8"]}, "listen[1]: is not a loopback"),
        ({"listen": ["224.0.0.1"]}, "listen[0]: is not one address"),
        ({"admin_password": "short"}, "admin_password: must have 16 characters or more"),
        ({"tls": "perhaps"}, "tls: must be true or false"),
        ({"pasword": PASSWORD}, "pasword: is not a field here (did you mean 'password'?)"),
    ],
)
def test_refused(fields: dict[str, Any], message: str) -> None:
    (found,) = problems(redis(**fields))
    assert found.startswith("redis_instances[0].")
    assert message in found


def test_all_problems_are_told_at_once() -> None:
    found = problems(redis(port=0, memory=1), redis(name="b", password="x"), redis(port=9), [])  # type: ignore[arg-type]
    assert [problem.partition(": ")[0] for problem in found] == [
        "redis_instances[0].port",
        "redis_instances[0].memory",
        "redis_instances[1].password",
        "redis_instances[3]",
        "redis_instances",
    ]


def test_names_and_ports_are_taken_once() -> None:
    assert problems(redis(), redis(port=6381)) == [
        "redis_instances: blog-cache is declared 2 times; each needs a name of its own"
    ]
    beside = redis(name="b", port=6380, listen=["127.9.8.7"])
    assert len(redis_instances([redis(), beside], NEW)) == 2
    assert problems(redis(listen=["127.0.0.1", "10.0.0.7"]), {**beside, "listen": ["127.9.8.7", "10.0.0.7"]})
    assert problems(redis(), redis(name="b", server="valkey", port="6380")) == [
        "redis_instances: blog-cache, b use the same port 6380; give one of them another "
        "(cache.port or broker.port of an app)"
    ]


def test_memcached() -> None:
    assert memcached_instances([{"name": "blog-cache", "group": "blog"}]) == [
        {"name": "blog-cache", "unit": "memcached@blog-cache.service", "group": "blog", "memory": 64}
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a b"}, "name: must be small letters"),
        ({"group": ""}, "group: must be the name of a group"),
        ({"group": "root"}, "group: must be the name of a group of the host, and not root"),
        ({"group": "blog\nUser=root"}, "group: must be a single line"),
        ({"memory": 0}, "memory: must be from 8 to"),
    ],
)
def test_memcached_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        memcached_instances([{"name": "c", "group": "blog", **fields}])
    (found,) = caught.value.problems
    assert found.startswith(f"memcached_instances[0].{message}")


def test_instances_of_users_and_of_apps_share_nothing() -> None:
    """Before the roles have their defaults, and where a template has made texts of numbers."""
    apps = [{"name": "blog-cache", "port": 300, "listen": ["127.9.8.7", "10.0.0.7"]}]
    mine = {"name": "mine", "port": "300"}
    assert filters.instance_conflicts([*apps, mine], "redis_instances") == []
    assert filters.instance_conflicts([*apps, {**mine, "listen": ["10.0.0.7"]}], "redis_instances") == [
        "redis_instances: blog-cache, mine use the same port 300; give one of them another "
        "(cache.port or broker.port of an app)"
    ]
    groups = [{"name": "blog", "group": "a"}, {"name": "blog", "group": "b"}]
    assert filters.instance_conflicts(groups, "memcached_instances") == [
        "memcached_instances: blog is declared 2 times; each needs a name of its own"
    ]


def test_filters_say_what_is_wrong() -> None:
    with pytest.raises(AnsibleFilterError, match=r"^redis_instances\[0\]\.port: must be from 1"):
        filters.redis_instances([{"name": "b", "port": 0, "password": PASSWORD}], {})
    with pytest.raises(AnsibleFilterError, match=r"^memcached_instances\[0\]\.group: is required"):
        filters.memcached_instances([{"name": "b"}])
    assert filters.memcached_instances([]) == filters.redis_instances([], {}) == []
