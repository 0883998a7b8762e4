"""What Redis, Valkey and Memcached read: each instance its own files, and nothing that another could use."""

from __future__ import annotations

from tests.templates.conftest import Files, Render

PASSWORD = "c4n4ry-Zq7!-long-enough"
CACHE = {"name": "blog-cache", "port": 6380, "password": PASSWORD, "memory": 32, "policy": "allkeys-lru"}
BROKER = {
    "name": "blog-broker",
    "port": 6381,
    "password": PASSWORD,
    "persistent": True,
    "listen": ["10.0.0.5"],
}
VALKEY = {"name": "shop", "port": 6382, "password": PASSWORD, "server": "valkey"}


def directives(text: str) -> dict[str, str]:
    """A configuration as Redis reads it, where no directive is said twice."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _space, rest = line.partition(" ")
            assert word not in found, line
            found[word] = rest
    return found


def rendered(render: Render, version: str = "8.0.2") -> Files:
    facts = {"redis": version, "valkey": "8.1.1"}
    return render("redis", facts, redis_instances=[CACHE], redis_app_instances=[BROKER, VALKEY])


def test_one_file_for_each_and_one_for_the_unit_of_each_server(render: Render) -> None:
    instances = ("/etc/redis/redis-blog-broker", "/etc/redis/redis-blog-cache", "/etc/valkey/valkey-shop")
    assert sorted(rendered(render)) == sorted(
        [
            *(f"{path}{end}" for path in instances for end in (".conf", "", "/users.acl", "/reload")),
            "/etc/systemd/system/redis-server@.service.d/homeport.conf",
            "/etc/systemd/system/valkey-server@.service.d/homeport.conf",
            "/usr/local/lib/homeport/redis-reload",
        ]
    )


def test_a_cache_forgets_and_a_broker_does_not(render: Render) -> None:
    files = rendered(render)
    cache = directives(files["/etc/redis/redis-blog-cache.conf"])
    broker = directives(files["/etc/redis/redis-blog-broker.conf"])
    assert (cache["maxmemory"], cache["maxmemory-policy"]) == ("32mb", "allkeys-lru")
    assert (cache["appendonly"], cache["save"]) == ("no", '""')
    assert (broker["maxmemory"], broker["maxmemory-policy"]) == ("64mb", "noeviction")
    assert (broker["appendonly"], broker["appendfsync"], broker["save"]) == ("yes", "always", '""')


def test_addresses(render: Render) -> None:
    files = rendered(render)
    assert directives(files["/etc/redis/redis-blog-cache.conf"])["bind"] == "127.0.0.1 -::1"
    assert directives(files["/etc/redis/redis-blog-broker.conf"])["bind"] == "10.0.0.5"
    old = rendered(render, "6.0.16")
    assert directives(old["/etc/redis/redis-blog-cache.conf"])["bind"] == "127.0.0.1 ::1"


def test_nobody_gets_in_without_the_password_which_is_nowhere(render: Render) -> None:
    for text in rendered(render).values():
        assert PASSWORD not in text
    for path, text in rendered(render).items():
        if path.endswith(".acl"):
            words, reload = (line.split() for line in text.splitlines())
            assert words[:3] == ["user", "default", "on"]
            assert len(words[3]) == 65
            assert words[3].startswith("#")
            assert "nopass" not in [*words, *reload]
            assert reload[:3] == ["user", "homeport", "on"]
            assert reload[-2:] == ["-@all", "+acl|load"]
        elif path.endswith(".conf") and not path.startswith("/etc/systemd"):
            assert directives(text)["aclfile"] == path.replace(".conf", "/users.acl")


def test_folders_are_those_of_the_server(render: Render) -> None:
    files = rendered(render)
    valkey = directives(files["/etc/valkey/valkey-shop.conf"])
    assert valkey["dir"] == "/var/lib/valkey/shop"
    assert valkey["pidfile"] == "/run/valkey-shop/valkey-server.pid"
    assert "StateDirectory=valkey/%i\n" in files["/etc/systemd/system/valkey-server@.service.d/homeport.conf"]
    assert "redis/" not in files["/etc/systemd/system/valkey-server@.service.d/homeport.conf"]


def test_nothing_where_nothing_is_declared(render: Render) -> None:
    assert render("redis") == {}
    assert render("memcached") == {}


def test_memcached(render: Render) -> None:
    files = render(
        "memcached",
        memcached_instances=[{"name": "one", "group": "blog"}],
        memcached_app_instances=[{"name": "two", "group": "shop", "memory": 256}],
    )
    folder = "/etc/systemd/system"
    assert sorted(files) == [
        f"{folder}/memcached@.service",
        f"{folder}/memcached@one.service.d",
        f"{folder}/memcached@one.service.d/homeport.conf",
        f"{folder}/memcached@two.service.d",
        f"{folder}/memcached@two.service.d/homeport.conf",
    ]
    assert "Group=shop\nEnvironment=MEMORY=256\n" in files[f"{folder}/memcached@two.service.d/homeport.conf"]
    assert "--port" not in files[f"{folder}/memcached@.service"]
