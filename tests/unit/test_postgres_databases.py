import base64
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils import psql as local
from ansible_collections.homeport.django.plugins.module_utils.psql import quote_name, quote_text
from ansible_collections.homeport.django.plugins.modules import postgres_databases
from ansible_collections.homeport.django.plugins.modules.postgres_databases import (
    password_matches,
    plan,
    scram_verifier,
)

from tests.unit.support import CANARY

# RFC 7677: user "user", password "pencil".
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_STORED = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
RFC_SERVER = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_the_verifier_is_that_of_the_standard() -> None:
    assert scram_verifier("pencil", RFC_SALT) == (
        f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${RFC_STORED}:{RFC_SERVER}"
    )


@pytest.mark.parametrize("password", ["pencil", "pass w%rd'\"$", "ünïcödé", "x" * 300])
def test_a_password_matches_its_verifier_alone(password: str) -> None:
    verifier = scram_verifier(password, b"salt", 100)
    assert password_matches(password, verifier)
    assert not password_matches(password + "x", verifier)
    assert not password_matches("", verifier)


@pytest.mark.parametrize(
    "verifier", [None, "", "md5abc", "SCRAM-SHA-256$4096", "SCRAM-SHA-256$x:y$z", "a$b$c", "$$"]
)
def test_another_kind_of_verifier_does_not_match(verifier: str | None) -> None:
    assert not password_matches("pencil", verifier)
    assert password_matches("", verifier) is not bool(verifier)


def test_quotes() -> None:
    assert quote_name('a"; DROP') == '"a""; DROP"'
    assert quote_text("it's") == "'it''s'"


def wanted(**fields: Any) -> dict[str, Any]:
    return {
        "name": "blog",
        "owner": "blog",
        "password": "",
        "logins": [],
        "connection_limit": -1,
        "extensions": [],
        **fields,
    }


def role(**fields: Any) -> dict[str, Any]:
    return {"login": True, "super": False, "password": None, "connections": -1, "acts_as": "", **fields}


EMPTY: dict[str, Any] = {"roles": {}, "databases": {}}
DONE = {"roles": {"blog": role()}, "databases": {"blog": {"owner": "blog", "public": ""}}}


def described(*arguments: Any) -> list[str]:
    return [description for description, _statement in plan(*arguments)]


def test_everything_is_missing() -> None:
    assert plan([wanted()], EMPTY) == [
        ("create role blog", 'CREATE ROLE "blog" LOGIN CONNECTION LIMIT -1 PASSWORD NULL'),
        (
            "create database blog",
            'CREATE DATABASE "blog" OWNER "blog" ENCODING \'UTF8\' TEMPLATE template0'
            " LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
        ),
        ("close database blog to others", 'REVOKE ALL ON DATABASE "blog" FROM PUBLIC'),
    ]


def test_nothing_is_missing() -> None:
    assert plan([wanted()], DONE) == []
    assert plan([], EMPTY) == []


def test_nothing_is_ever_dropped() -> None:
    assert not [statement for _what, statement in plan([wanted(name="other")], DONE) if "DROP" in statement]


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({"roles": {"blog": role(login=False)}}, ["let role blog log in"]),
        ({"databases": {"blog": {"owner": "postgres", "public": ""}}}, ["give database blog to blog"]),
        ({"databases": {"blog": {"owner": "blog", "public": "CONNECT"}}}, ["close database blog to others"]),
        ({"roles": {"blog": role(password="SCRAM-SHA-256$1:a$b:c")}}, ["set password of role blog"]),
        ({"roles": {"blog": role(connections=5)}}, ["let role blog have any number of connections"]),
    ],
)
def test_what_differs_is_set_right(state: dict[str, Any], steps: list[str]) -> None:
    assert described([wanted()], {**DONE, **state}) == steps


def test_a_password_is_set_once() -> None:
    spec = wanted(password=CANARY)
    steps = plan([spec], DONE)
    assert [what for what, _statement in steps] == ["set password of role blog"]
    verifier = steps[0][1].split("PASSWORD ")[1].strip("'")
    assert plan([spec], {**DONE, "roles": {"blog": role(password=verifier)}}) == []


def test_no_password_leaves_the_process() -> None:
    assert CANARY not in str(plan([wanted(password=CANARY)], EMPTY))


def test_two_databases_of_one_role() -> None:
    both = [wanted(), wanted(name="blog_archive", password=CANARY)]
    assert described(both, EMPTY) == [
        "create role blog",
        "create database blog",
        "close database blog to others",
        "create database blog_archive",
        "close database blog_archive to others",
    ]


@pytest.mark.parametrize(
    ("limits", "found", "statements"),
    [
        ([20], 20, []),
        ([20], -1, ['ALTER ROLE "blog" CONNECTION LIMIT 20']),
        ([20, 30], 20, ['ALTER ROLE "blog" CONNECTION LIMIT 30']),  # of several databases, the largest
        ([20, -1], 20, ['ALTER ROLE "blog" CONNECTION LIMIT -1']),
    ],
)
def test_connections_of_a_role(limits: list[int], found: int, statements: list[str]) -> None:
    state = {**DONE, "roles": {"blog": role(connections=found)}}
    specs = [wanted(connection_limit=limit) for limit in limits]
    assert [statement for _what, statement in plan(specs, state)] == statements
    assert f"CONNECTION LIMIT {-1 if -1 in limits else max(limits)} " in plan(specs, EMPTY)[0][1]


def test_names_are_quoted() -> None:
    statements = " ".join(text for _what, text in plan([wanted(name='a"b', owner="c-d")], EMPTY))
    assert '"a""b"' in statements
    assert '"c-d"' in statements


OLD, NEW = "blog.00000000", "blog.11111111"


def login(name: str, password: str = CANARY) -> dict[str, str]:
    return {"name": name, "password": password}


def logged_in(password: str = CANARY, **fields: Any) -> dict[str, Any]:
    """A login that is as it should be."""
    return role(password=scram_verifier(password, b"salt"), acts_as="blog", **fields)


def test_a_login_for_each_password() -> None:
    spec = wanted(logins=[login(NEW)], connection_limit=5)
    (what, statement), *rest = plan(
        [spec, wanted(name="scratch", logins=[login(NEW)], connection_limit=5)], DONE
    )[1:]
    assert what == f"create login {NEW}"
    assert statement.startswith(
        f'CREATE ROLE "{NEW}" LOGIN IN ROLE "blog" CONNECTION LIMIT 5 PASSWORD \'SCRAM-SHA-256$'
    )
    assert statement.endswith(f"'; ALTER ROLE \"{NEW}\" SET role TO 'blog'")
    assert not [what for what, _statement in rest if "login" in what]
    assert CANARY not in statement


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (logged_in(), []),
        (logged_in("another"), [f"set password of role {NEW}"]),
        (logged_in(login=False), [f"let role {NEW} log in"]),
        (logged_in(connections=5), [f"let role {NEW} have any number of connections"]),
        ({**logged_in(), "acts_as": ""}, [f"let login {NEW} act as blog"]),
    ],
)
def test_a_login_is_set_right(found: dict[str, Any], steps: list[str]) -> None:
    state = {**DONE, "roles": {"blog": role(), NEW: found}}
    assert described([wanted(logins=[login(NEW)])], state) == steps


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_login_that_is_not_declared_goes(check_mode: bool) -> None:
    others = {"blog.monitor": role(), "blogger": role(), "shop.00000000": role()}
    state = {**DONE, "roles": {"blog": role(), OLD: logged_in(), NEW: logged_in(), **others}}
    specs = [wanted(logins=[login(NEW)]), wanted(name="scratch", logins=[login(NEW)])]
    psql = Psql("")
    changes = postgres_databases.drop_logins(Module(check_mode), psql, specs, state)
    assert changes == [f"drop login {OLD}"]
    given = f'REASSIGN OWNED BY "{OLD}" TO "blog";'
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{OLD}';"
    made = [f"blog: {given}", f"scratch: {given}", f'postgres: DROP ROLE "{OLD}";\n{ended}']
    assert psql.statements == ([] if check_mode else made)
    none = postgres_databases.drop_logins(Module(False), Psql(""), specs, DONE)
    assert none == []


class Psql(local.Psql):
    """Answers with what is installed."""

    def __init__(self, installed: str) -> None:
        self.installed = installed
        self.statements: list[str] = []

    def run(self, statement: str, database: str = "postgres") -> tuple[int, str, str]:
        self.statements.append(f"{database}: {statement.strip()}")
        return 0, self.installed, ""


class Module:
    def __init__(self, check_mode: bool) -> None:
        self.check_mode = check_mode


@pytest.mark.parametrize("check_mode", [True, False])
def test_extensions(check_mode: bool) -> None:
    psql = Psql("plpgsql\nunaccent\n")
    specs = [wanted(extensions=["unaccent", "pg_trgm"])]
    changes = postgres_databases.extensions(Module(check_mode), psql, specs, DONE)
    assert changes == ["create extension pg_trgm in blog"]
    assert ('blog: CREATE EXTENSION "pg_trgm";' in psql.statements) is not check_mode


def test_extensions_of_a_database_that_check_mode_did_not_make() -> None:
    psql = Psql("")
    changes = postgres_databases.extensions(Module(True), psql, [wanted(extensions=["pg_trgm"])], EMPTY)
    assert changes == ["create extension pg_trgm in blog"]
    assert psql.statements == []
