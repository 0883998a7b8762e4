# ruff: noqa: E501
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.app.check import AppsError
from ansible_collections.homeport.django.plugins.module_utils.app.resolve import resolve
from ansible_collections.homeport.django.plugins.module_utils.common.addresses import parse_database_url
from ansible_collections.homeport.django.plugins.module_utils.common.derive import (
    derive,
    derive_long,
    fingerprint,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.certificates import certificate_sites
from ansible_collections.homeport.django.plugins.module_utils.wiring.gunicorn import gunicorn_apps
from ansible_collections.homeport.django.plugins.module_utils.wiring.status import status_apps

from tests.unit.support import CANARY, KEY, SECRET, app, resolved

HOSTILE = [
    "plain",
    "",
    " leading and trailing ",
    "quotes ' and \" and '\"'\"'",
    "$HOME $(id) `id` ${X}",
    "100% %s %(x)s %%",
    "back\\slash \\n \\",
    "two\nlines\n",
    "\ttab\r",
    "{braces} {{ jinja }} {% raw %}",
    "#comment ; semicolon & | < >",
    "ünïcödé 日本語 🐍",
    "!bang ~tilde *glob?",
    "-n",
    "x" * 5000,
]


def test_simple() -> None:
    found = resolved(setup="simple")
    assert found["database"]["engine"] == "sqlite"
    assert found["database"]["name"] == "/srv/blog/shared/data/db.sqlite3"
    assert found["static"] == {
        "server": "whitenoise",
        "url": "/static/",
        "collect": True,
        "precompress": True,
        "root": "/srv/blog/static",
    }
    assert found["web"]["socket"] == "tcp://0.0.0.0:80"
    assert not found["proxied"]
    environment = found["environment"]
    assert environment["DATABASE_URL"] == "sqlite:////srv/blog/shared/data/db.sqlite3"
    assert environment["SQLITE_PATH"] == "/srv/blog/shared/data/db.sqlite3"
    assert environment["SERVE_MEDIA"] == "1"
    assert not [name for name in environment if name.startswith("PG")]


@pytest.mark.parametrize("setup", ["typical", "site"])
def test_typical_and_site(setup: str) -> None:
    found = resolved(setup=setup)
    assert found["database"]["engine"] == "postgres"
    assert found["static"]["server"] == "nginx"
    assert found["web"]["socket"] == "unix:///run/homeport/blog.sock"
    assert found["proxied"]
    assert "SERVE_MEDIA" not in found["environment"]


def test_names_and_folders() -> None:
    found = resolved(name="my-blog", domains=["a.example", "www.a.example"], aliases=["*.a.example"])
    assert {key: found[key] for key in ("name", "user", "group", "home", "logs")} == {
        "name": "my-blog",
        "user": "my-blog",
        "group": "my-blog",
        "home": "/srv/my-blog",
        "logs": "/var/log/homeport/my-blog",
    }
    assert (found["canonical"], found["redirects"]) == ("a.example", ["www.a.example"])
    assert found["site_url"] == "http://a.example"
    environment = found["environment"]
    assert environment["HOME"] == "/srv/my-blog/home"
    assert (
        environment["ALLOWED_HOSTS"]
        == environment["DJANGO_ALLOWED_HOSTS"]
        == "a.example,www.a.example,.a.example"
    )
    assert environment["CSRF_TRUSTED_ORIGINS"] == "http://a.example,http://www.a.example,http://*.a.example"


def test_a_port_is_part_of_the_address() -> None:
    found = resolved(setup="simple", web={"port": 8080})
    assert found["site_url"] == "http://blog.example.org:8080"
    assert found["environment"]["CSRF_TRUSTED_ORIGINS"] == "http://blog.example.org:8080"
    assert resolved(web={"port": 8080})["site_url"] == "http://blog.example.org"


@pytest.mark.parametrize(
    ("setup", "port", "address"),
    [
        ("typical", None, "https://blog.example.org"),
        ("typical", 443, "https://blog.example.org"),
        ("typical", 8443, "https://blog.example.org:8443"),
        # it is not the visitors who see the port of the host
        ("simple", None, "https://blog.example.org"),
        ("simple", 8443, "https://blog.example.org:8443"),
    ],
)
def test_where_tls_ends_in_front(setup: str, port: int | None, address: str) -> None:
    proxy = {"trusted_proxies": ["10.0.0.7", "fastly"], **({"public_port": port} if port else {})}
    found = resolved(setup=setup, tls="proxy", proxy=proxy, web={"port": 8000})
    assert found["site_url"] == found["environment"]["CSRF_TRUSTED_ORIGINS"] == address
    trusted = found["trusted_networks"]
    assert {"10.0.0.7/32", "151.101.0.0/16", "2a04:4e40::/32"} <= set(trusted)
    assert certificate_sites({"blog": found}) == {}
    assert status_apps({"blog": found})[0]["certificate"] == "none"
    gunicorn = gunicorn_apps({"blog": found})["blog"]
    assert gunicorn["trusted_proxies"] == ([] if setup == "typical" else trusted)
    # which older versions of gunicorn want to be addresses
    assert gunicorn["settings"]["forwarded_allow_ips"] == ("*" if setup == "typical" else "127.0.0.1")


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [({}, "600"), ({"web": {"server": "asgi"}}, "0"), ({"database": {"conn_max_age": 60}}, "60")],
)
def test_how_long_connections_are_kept(fields: dict[str, Any], seconds: str) -> None:
    assert resolved(**fields)["environment"]["CONN_MAX_AGE"] == seconds


def test_every_conventional_name() -> None:
    environment = resolved(settings="blog.settings")["environment"]
    assert set(environment) == {
        "ALLOWED_HOSTS", "CONN_MAX_AGE", "CSRF_TRUSTED_ORIGINS", "DATABASE_URL", "DEBUG", "DJANGO_ALLOWED_HOSTS",
        "DJANGO_CSRF_TRUSTED_ORIGINS", "DJANGO_DEBUG", "DJANGO_MEDIA_ROOT", "DJANGO_SECRET_KEY",
        "DJANGO_SETTINGS_MODULE", "HOME", "LANG", "MEDIA_ROOT", "MEDIA_URL", "PGDATABASE", "PGHOST", "PGPORT", "PGUSER",
        "PYTHONUNBUFFERED", "SECRET_KEY", "SITE_URL", "STATIC_URL",
    }  # fmt: skip
    secret_key = derive_long(SECRET, "blog", "secret_key")
    assert environment["SECRET_KEY"] == environment["DJANGO_SECRET_KEY"] == secret_key
    assert len(secret_key) >= 50
    assert environment["DEBUG"] == environment["DJANGO_DEBUG"] == "0"


def test_postgres_on_the_same_host_needs_no_password() -> None:
    database = resolved()["database"]
    assert database["password"] == ""
    assert database["url"] == "postgres://blog@/blog?host=/var/run/postgresql"
    assert parse_database_url(database["url"])["host"] == "/var/run/postgresql"


VERIFIED = "sslmode=verify-full&sslrootcert=/etc/ssl/homeport/authority.pem"


@pytest.mark.parametrize(("address", "shown"), [("db.example", "db.example"), ("10.0.0.2", "10.0.0.2"), ("fd00::2", "[fd00::2]")])  # fmt: skip
def test_postgres_on_another_host(address: str, shown: str) -> None:
    found = resolved(host={"database_host": address})
    password = derive(SECRET, "blog", "database_password")
    login = f"blog.{fingerprint(password)}"
    assert found["database"]["url"] == f"postgres://{login}:{password}@{shown}:5432/blog?{VERIFIED}"
    assert found["database"]["owner"] == "blog"
    assert found["database"]["logins"] == [{"name": login, "password": password}]
    environment = found["environment"]
    assert environment["PGHOST"] == address
    assert environment["PGPASSWORD"] == password
    assert environment["PGSSLMODE"] == "verify-full"
    assert environment["PGSSLROOTCERT"] == "/etc/ssl/homeport/authority.pem"


@pytest.mark.parametrize("password", ["pass w@rd:/?#%'\"", "ünïcödé ☃ ünïcödé", "a+b&c=d{e} a+b&c=d{e}"])
def test_any_password_survives_its_url(password: str) -> None:
    found = resolved({"database_password": password}, host={"database_host": "db.example"})
    assert found["environment"]["PGPASSWORD"] == password
    assert parse_database_url(found["environment"]["DATABASE_URL"])["password"] == password


def test_a_database_that_exists_already() -> None:
    url = "postgresql://u%40x:p%2Fw@db.example:6432/na%20me?sslmode=verify-full&x=1"
    found = resolved({"database_url": url})
    assert not found["database"]["managed"]
    environment = found["environment"]
    assert environment["DATABASE_URL"] == url
    names = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE")
    assert [environment[name] for name in names] == [
        "db.example",
        "6432",
        "u@x",
        "p/w",
        "na me",
        "verify-full",
    ]


def test_no_database_at_all() -> None:
    environment = resolved(database="none")["environment"]
    assert "DATABASE_URL" not in environment


def test_a_database_of_another_name() -> None:
    assert resolved(database={"name": "other"})["database"]["url"].startswith("postgres://blog@/other?")
    assert resolved(database={"engine": "sqlite", "name": "other"})["database"]["name"].endswith(
        "/data/other.sqlite3"
    )


@pytest.mark.parametrize("value", HOSTILE)
def test_values_arrive_as_written(value: str) -> None:
    found = resolved({"env": {"SECRET_VALUE": value}}, env={"VALUE": value})
    assert found["environment"]["VALUE"] == value
    assert found["environment"]["SECRET_VALUE"] == value


def test_scalars_become_what_an_environment_holds() -> None:
    environment = resolved(env={"A": 1, "B": True, "C": 0.5})["environment"]
    assert (environment["A"], environment["B"], environment["C"]) == ("1", "True", "0.5")


@pytest.mark.parametrize("value", HOSTILE)
def test_values_built_from_others(value: str) -> None:
    found = resolved(
        {"env": {"KEY": value}},
        env={"A": {"from": "KEY"}, "B": {"format": "<{KEY}|{SITE_URL}>"}, "C": {"format": '{"k": "{KEY}"}'}},
    )["environment"]
    assert found["A"] == value
    assert found["B"] == f"<{value}|http://blog.example.org>"
    assert found["C"] == '{"k": "' + value + '"}'


@pytest.mark.parametrize("value", [value for value in HOSTILE if value])
def test_values_that_only_a_release_knows(value: str) -> None:
    found = resolved(
        {"env": {"KEY": value}},
        env={"A": {"from": "STATIC_ROOT"}, "B": {"format": '{"r": "{STATIC_ROOT}", "k": "{KEY}"} {RELEASE}'}},
    )
    assert "A" not in found["environment"]
    ready = {key: text.format(release="/r", id="7") for key, text in found["release_environment"].items()}
    assert ready == {
        "STATIC_ROOT": "/r/static",
        "DJANGO_STATIC_ROOT": "/r/static",
        "RELEASE": "7",
        "RELEASE_DIR": "/r",
        "A": "/r/static",
        "B": '{"r": "/r/static", "k": "' + value + '"} 7',
    }


def test_own_values_win_over_those_of_a_release_however_they_are_written() -> None:
    found = resolved(env={"STATIC_ROOT": {"format": "/elsewhere"}, "RELEASE": {"from": "SITE_URL"}})
    assert found["environment"]["STATIC_ROOT"] == "/elsewhere"
    assert found["environment"]["RELEASE"] == "http://blog.example.org"
    assert found["release_environment"].keys() == {"DJANGO_STATIC_ROOT", "RELEASE_DIR"}


def test_own_values_win_over_the_conventional_ones() -> None:
    found = resolved({"env": {"SECRET_KEY": CANARY}}, env={"STATIC_ROOT": "/elsewhere", "DEBUG": "1"})
    assert found["environment"]["SECRET_KEY"] == CANARY
    assert found["environment"]["STATIC_ROOT"] == "/elsewhere"
    assert found["environment"]["DEBUG"] == "1"
    assert "STATIC_ROOT" not in found["release_environment"]


def test_one_definition_with_a_database_here_and_elsewhere() -> None:
    own = {"DB_PASSWORD": {"from": "PGPASSWORD"}, "DSN": {"format": "{PGUSER}:{PGPASSWORD}@{PGHOST}"}}
    here = resolved(env=own)["environment"]
    assert (here["DB_PASSWORD"], here["DSN"]) == ("", "blog:@/var/run/postgresql")
    assert "PGPASSWORD" not in here
    password = CANARY * 2
    there = resolved({"database_password": password}, env=own, host={"database_host": "db"})["environment"]
    dsn = f"blog.{fingerprint(password)}:{password}@db"
    assert (there["DB_PASSWORD"], there["DSN"]) == (password, dsn)


def test_a_conventional_value_can_be_extended() -> None:
    environment = resolved(env={"DATABASE_URL": {"format": "{DATABASE_URL}&x=1"}})["environment"]
    assert environment["DATABASE_URL"] == "postgres://blog@/blog?host=/var/run/postgresql&x=1"


def test_a_conventional_variable_can_be_unset() -> None:
    found = resolved(env={"DATABASE_URL": None, "STATIC_ROOT": None, "A": {"from": "PGUSER"}})
    assert not {"DATABASE_URL", "STATIC_ROOT"} & {*found["environment"], *found["release_environment"]}
    assert "DJANGO_STATIC_ROOT" in found["release_environment"]
    assert (found["environment"]["A"], found["environment"]["PGHOST"]) == ("blog", "/var/run/postgresql")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("redis://h/1", {"CACHE_URL", "REDIS_URL"}),
        ("rediss://h/1", {"CACHE_URL", "REDIS_URL"}),
        ("pymemcache://h", {"CACHE_URL"}),
    ],
)
def test_a_cache_that_exists_already(url: str, names: set[str]) -> None:
    for found in (resolved(cache={"url": url}), resolved({"cache_url": url})):
        assert {name for name, value in found["environment"].items() if value == url} == names


def test_a_broker_that_exists_already() -> None:
    environment = resolved(broker={"url": "amqp://h"}, cache={"url": "redis://c"})["environment"]
    assert environment["BROKER_URL"] == environment["CELERY_BROKER_URL"] == "amqp://h"
    assert environment["REDIS_URL"] == "redis://c"


@pytest.mark.parametrize(
    ("host", "workers"),
    [({}, 1), ({"cores": 1, "memory_mb": 8000}, 1), ({"cores": 2, "memory_mb": 512}, 1), ({"cores": 2, "memory_mb": 1899}, 1), ({"cores": 2, "memory_mb": 1900}, 2), ({"cores": 16, "memory_mb": 64000}, 2)],
)  # fmt: skip
def test_workers(host: dict[str, int], workers: int) -> None:
    assert resolved(host=host)["web"]["workers"] == workers
    assert resolved(host=host, web={"workers": 5})["web"]["workers"] == 5


@pytest.mark.parametrize(
    ("fields", "setup", "packages"),
    [
        ({}, "typical", ["gunicorn"]),
        ({"overlay": True}, "typical", ["gunicorn", "psycopg[binary]"]),
        ({"overlay": True, "database": "sqlite"}, "typical", ["gunicorn"]),
        ({"overlay": True}, "simple", ["gunicorn", "whitenoise"]),
        ({}, "simple", ["gunicorn", "whitenoise"]),
        ({"static": "whitenoise"}, "typical", ["gunicorn", "whitenoise"]),
        ({"overlay": True, "static": "none"}, "simple", ["gunicorn"]),
    ],
)
def test_packages_that_the_server_needs(fields: dict[str, Any], setup: str, packages: list[str]) -> None:
    assert resolved(setup=setup, **fields)["server_packages"] == packages


def test_what_leads_to_private_code_stays_apart() -> None:
    found = resolved({"deploy_key": KEY, "git": f"https://{CANARY}@git.example.org/x"})
    assert found["source_secrets"] == {"deploy_key": KEY, "git": f"https://{CANARY}@git.example.org/x"}
    assert CANARY not in str({key: value for key, value in found.items() if key != "source_secrets"})


def test_apps_come_in_order_of_their_names() -> None:
    apps = {name: app(domains=[f"{name}.example"]) for name in ("c", "a", "b")}
    assert list(resolve(apps, {}, SECRET, "typical")) == ["a", "b", "c"]
    assert resolve({}, {}, SECRET, "typical") == {}


def test_it_is_a_pure_function() -> None:
    apps = {"blog": app(env={"A": {"from": "SITE_URL"}})}
    before = str(apps)
    assert resolve(apps, {}, SECRET, "typical") == resolve(apps, {}, SECRET, "typical")
    assert str(apps) == before


def test_all_problems_are_raised_at_once() -> None:
    with pytest.raises(AppsError) as error:
        resolve({"blog": {"domain": "x"}}, {}, SECRET, "typical")
    assert len(error.value.problems) == 3


def test_no_secret_but_where_it_belongs() -> None:
    """Only the environment, the database and the source's secrets hold what the vault holds."""
    vault = {
        "env": {"KEY": CANARY},
        "secret_key": CANARY * 5,
        "database_password": CANARY * 2,
        "deploy_key": KEY,
    }
    found = resolved(vault, host={"database_host": "db"}, env={"A": {"from": "KEY"}})
    places = {key for key, value in found.items() if CANARY in str(value)}
    assert places == {"environment", "database", "source_secrets"}


OLD = "fedcba9876543210fedcba9876543210"
FALLBACKS = ("SECRET_KEY_FALLBACKS", "DJANGO_SECRET_KEY_FALLBACKS")


def rotated(previous: Sequence[str] = (), vault: Any = None, setup: str = "site", **fields: Any) -> Any:
    host = {"database_host": "db"}
    return resolve({"blog": app(**fields)}, {"blog": vault or {}}, SECRET, setup, host, previous)["blog"]


def test_nothing_that_is_derived_changes_without_a_rotation() -> None:
    assert rotated() == resolve({"blog": app()}, {}, SECRET, "site", {"database_host": "db"})["blog"]
    assert not set(FALLBACKS) & set(rotated()["environment"])
    assert rotated(rotation={"secret_key": [1]})["environment"] == rotated()["environment"]


def test_the_first_generation_is_used_and_the_others_are_accepted() -> None:
    found = rotated(rotation={"secret_key": [2, 1]})["environment"]
    assert found["SECRET_KEY"] == derive_long(SECRET, "blog", "secret_key", 2)
    for name in FALLBACKS:
        assert found[name] == derive_long(SECRET, "blog", "secret_key")
    assert not set(FALLBACKS) & set(rotated(rotation={"secret_key": 2})["environment"])
    key = "x" * 40
    both = rotated(vault={"secret_key": key}, rotation={"secret_key": [1]})["environment"]
    assert (both["SECRET_KEY"], both[FALLBACKS[0]]) == (key, derive_long(SECRET, "blog", "secret_key"))
    several = rotated(vault={"secret_key": [key, key[1:]]})["environment"]
    assert (several["SECRET_KEY"], several[FALLBACKS[0]]) == (key, key[1:])


def test_what_an_earlier_secret_gave_is_accepted() -> None:
    found = rotated([OLD], cache="redis", broker="rabbitmq")
    before = resolve(
        {"blog": app(cache="redis", broker="rabbitmq")}, {}, OLD, "site", {"database_host": "db"}
    )["blog"]
    assert found["environment"][FALLBACKS[0]] == before["environment"]["SECRET_KEY"]
    for service in ("database", "cache", "broker"):
        assert found[service]["logins"][1:] == before[service]["logins"]
        assert found[service]["logins"][0]["password"] == found[service]["password"]
        assert len({login["password"] for login in found[service]["logins"]}) == 2
    for service in ("database", "broker"):
        assert found[service]["logins"][0]["name"] == found[service]["user"] != before[service]["user"]
    assert before["environment"]["SECRET_KEY"] not in str(rotated()["environment"])


def test_generations_of_all_secrets() -> None:
    passwords = [
        login["password"]
        for login in rotated([OLD], rotation={"database_password": [3, 2]})["database"]["logins"]
    ]
    assert passwords == [
        derive(secret, "blog", "database_password", number) for secret in (SECRET, OLD) for number in (3, 2)
    ]


def test_an_app_may_name_fallbacks_that_are_not_there() -> None:
    own = {"OLD_KEYS": {"from": "SECRET_KEY_FALLBACKS"}}
    assert rotated(env=own)["environment"]["OLD_KEYS"] == ""
    found = rotated([OLD], env=own)["environment"]
    assert found["OLD_KEYS"] == found["SECRET_KEY_FALLBACKS"]


BOUGHT = "postgres://u:p@db.example:6432/n"
CA = "/srv/blog/config/database-ca.pem"


@pytest.mark.parametrize(
    ("url", "written"),
    [
        (BOUGHT, f"{BOUGHT}?sslmode=verify-full&sslrootcert={CA}"),
        (f"{BOUGHT}?sslmode=verify-ca", f"{BOUGHT}?sslmode=verify-ca&sslrootcert={CA}"),
        (f"{BOUGHT}?connect_timeout=3", f"{BOUGHT}?connect_timeout=3&sslmode=verify-full&sslrootcert={CA}"),
    ],
)
def test_the_authority_of_a_bought_database(url: str, written: str) -> None:
    found = resolved({"database_url": url}, database={"ca": "files/ca.pem"})
    assert found["database"]["ca"] == "files/ca.pem"
    environment = found["environment"]
    assert environment["DATABASE_URL"] == written
    assert environment["PGSSLROOTCERT"] == CA
    assert environment["PGSSLMODE"] in written
