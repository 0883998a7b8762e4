import base64
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host import psql
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.psql import (
    quote_name,
    quote_text,
    scram_verifier,
)
from ansible_collections.homeport.django.plugins.module_utils.wiring.postgres import (
    postgres_databases as wired,
)
from ansible_collections.homeport.django.plugins.modules import postgres_databases
from ansible_collections.homeport.django.plugins.modules.postgres_databases import password_matches, plan

from tests.unit.support import CANARY, resolved

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
    found = {"login": True, "super": False, "password": None, "connections": -1, "acts_as": "", "owns": False}
    return {**found, **fields}


def database(**fields: Any) -> dict[str, Any]:
    return {"owner": "blog", "public": "", "new": False, **fields}


EMPTY: dict[str, Any] = {"roles": {}, "databases": {}, "creatable": False, "trusted": ["pg_trgm"]}
DONE: dict[str, Any] = {**EMPTY, "roles": {"blog": role()}, "databases": {"blog": database()}}
CREATE = (
    "CREATE DATABASE \"blog\" CONNECTION LIMIT 0 ENCODING 'UTF8' TEMPLATE template0 "
    "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
)
CLOSE = 'REVOKE ALL ON DATABASE "blog" FROM PUBLIC'
GIVE = 'BEGIN; ALTER DATABASE "blog" OWNER TO "blog"; ALTER DATABASE "blog" CONNECTION LIMIT -1; COMMIT'


def described(*arguments: Any) -> list[str]:
    return [step.what for step in plan(*arguments)]


def test_everything_is_missing() -> None:
    assert [step[:2] for step in plan([wanted()], EMPTY)] == [
        ("create role blog", 'CREATE ROLE "blog" LOGIN CONNECTION LIMIT -1 PASSWORD NULL'),
        ("create database blog", CREATE),
        ("close database blog to others", CLOSE),
        ("give database blog to blog", GIVE),
    ]


def test_a_database_has_its_extensions_before_its_owner() -> None:
    steps = plan([wanted(extensions=["pg_trgm", "postgis"])], DONE | {"databases": {}})
    assert steps == [
        ("create database blog", CREATE, ""),
        ("close database blog to others", CLOSE, ""),
        ("create extension pg_trgm in blog", "pg_trgm", "blog"),
        ("create extension postgis in blog", "postgis", "blog"),
        ("give database blog to blog", GIVE, ""),
    ]


def test_a_run_that_was_killed_is_gone_on_with() -> None:
    half = database(owner="postgres", new=True, public="CONNECT")
    steps = plan([wanted(extensions=["pg_trgm"])], {**DONE, "databases": {"blog": half}})
    assert [step.what for step in steps] == [
        "close database blog to others", "create extension pg_trgm in blog", "give database blog to blog",
    ]  # fmt: skip


def test_nobody_else_creates_where_the_superuser_is() -> None:
    """As PostgreSQL 14 is installed."""
    template = {"template1": database(owner="postgres", public="CONNECT")}
    state = {**DONE, "creatable": True, "databases": {**DONE["databases"], **template}}
    assert [step.statement for step in plan([wanted()], state)] == [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        'REVOKE ALL ON DATABASE "template1" FROM PUBLIC',
    ]


def test_nothing_is_missing() -> None:
    assert plan([wanted()], DONE) == []
    assert plan([], EMPTY) == []


def test_nothing_is_ever_dropped() -> None:
    assert not [step for step in plan([wanted(name="other")], DONE) if "DROP" in step.statement]


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({"roles": {"blog": role(login=False)}}, ["let role blog log in"]),
        ({"databases": {"blog": database(public="CONNECT")}}, ["close database blog to others"]),
        ({"roles": {"blog": role(password="SCRAM-SHA-256$1:a$b:c")}}, ["set password of role blog"]),
        ({"roles": {"blog": role(connections=5)}}, ["let role blog have any number of connections"]),
    ],
)
def test_what_differs_is_set_right(state: dict[str, Any], steps: list[str]) -> None:
    assert described([wanted()], {**DONE, **state}) == steps


def test_a_database_of_somebody_else_is_not_taken() -> None:
    state = {**DONE, "databases": {"blog": database(owner="bob")}, "roles": {**DONE["roles"], "bob": role()}}
    with pytest.raises(DeployError, match=r"The database blog belongs to bob, .*-e take_over=database:blog"):
        plan([wanted()], state)
    assert [step.what for step in plan([wanted()], state, ["blog"])] == ["give database blog to blog"]
    # nor one that the superuser has made for somebody
    state = {**DONE, "databases": {"blog": database(owner="postgres")}}
    with pytest.raises(DeployError, match=r"The database blog belongs to postgres, "):
        plan([wanted()], state)


def test_no_app_is_a_superuser() -> None:
    with pytest.raises(DeployError, match="The role blog is a superuser"):
        plan([wanted()], {**DONE, "roles": {"blog": role(super=True)}})


def test_a_password_is_set_once() -> None:
    spec = wanted(password=CANARY)
    steps = plan([spec], DONE)
    assert [step.what for step in steps] == ["set password of role blog"]
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
        "give database blog to blog",
        "create database blog_archive",
        "close database blog_archive to others",
        "give database blog_archive to blog",
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
    assert [step.statement for step in plan(specs, state)] == statements
    assert f"CONNECTION LIMIT {-1 if -1 in limits else max(limits)} " in plan(specs, EMPTY)[0][1]


def test_a_run_that_stops_after_the_roles_leaves_owners_without_a_password() -> None:
    """Else the next run would take the role for somebody else's, as validation/others.py says."""
    app = resolved(host={"database_host": "10.0.0.9"})
    (spec,) = wired({"blog": app})
    assert spec["logins"]
    role, login = plan([wanted(**spec)], EMPTY)[:2]
    assert (role.what, role.statement.endswith("PASSWORD NULL")) == ("create role blog", True)
    assert login.what.startswith("create login blog.")


def test_names_are_quoted() -> None:
    statements = " ".join(step.statement for step in plan([wanted(name='a"b', owner="c-d")], EMPTY))
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
    (what, statement, _new), *rest = plan(
        [spec, wanted(name="scratch", logins=[login(NEW)], connection_limit=5)], DONE
    )[1:]
    assert what == f"create login {NEW}"
    assert statement.startswith(
        f'CREATE ROLE "{NEW}" LOGIN IN ROLE "blog" CONNECTION LIMIT 5 PASSWORD \'SCRAM-SHA-256$'
    )
    assert statement.endswith(f"'; ALTER ROLE \"{NEW}\" SET role TO 'blog'")
    assert not [step for step in rest if "login" in step.what]
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


class Cluster(psql.Cluster):
    """Says what it was asked to do."""

    def __init__(self, installed: list[str] | None = None) -> None:
        super().__init__()
        self.installed, self.asked = installed or [], []  # type: ignore[var-annotated]

    def ask(self, statements: str, seconds: int = 0) -> str:
        self.asked.append(statements)
        return ""

    def reassign(self, login: str, owner: str, database: str) -> None:
        self.asked.append(f"{login} gives {owner} what it has in {database}")

    def look(self, database: str, what: str) -> Any:
        return self.installed

    def extend(self, database: str, extension: str) -> None:
        raise DeployError("no extension among what others made: function public.trap")

    def extend_as(self, owner: str, database: str, extension: str) -> None:
        self.asked.append(f"{owner} creates {extension} in {database}")


@pytest.mark.parametrize("owns", [True, False])
@pytest.mark.parametrize("check_mode", [True, False])
def test_a_login_that_is_not_declared_goes(check_mode: bool, owns: bool) -> None:
    others = {"blog.monitor": role(), "blogger": role(), "shop.00000000": role()}
    mine = {"blog": role(), OLD: logged_in(owns=owns), NEW: logged_in()}
    state = {**DONE, "roles": {**mine, **others}}
    specs = [wanted(logins=[login(NEW)]), wanted(name="scratch", logins=[login(NEW)])]
    cluster = Cluster()
    assert postgres_databases.drop_logins(cluster, specs, state, check_mode) == [f"drop login {OLD}"]
    given = [f"{OLD} gives blog what it has in {name}" for name in ("blog", "scratch")]
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{OLD}';\n"
    made = [*(given if owns else []), f'DROP ROLE "{OLD}";\n{ended}']
    assert cluster.asked == ([] if check_mode else made)
    assert postgres_databases.drop_logins(cluster, specs, DONE, False) == []


@pytest.mark.parametrize("drop", [True, False])
def test_it_stays_where_a_live_release_uses_it(drop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while PostgreSQL moves."""
    cluster, found = Cluster(), dict[str, Any]()
    state = {**DONE, "roles": {"blog": role(), OLD: logged_in(), NEW: logged_in()}}
    params = {"databases": [wanted(logins=[login(NEW)])], "taken": [], "given": {}, "drop": drop}
    fake = SimpleNamespace(params=params, check_mode=True, exit_json=found.update)
    monkeypatch.setattr(postgres_databases, "Module", lambda **_arguments: fake)
    monkeypatch.setattr(postgres_databases, "Cluster", lambda: cluster)
    monkeypatch.setattr(cluster, "state", lambda: state, raising=False)
    monkeypatch.setattr("shutil.which", lambda _name: "psql")
    postgres_databases.main()
    assert [each for each in found["changes"] if "drop" in each] == ([f"drop login {OLD}"] if drop else [])


def test_extensions_of_a_database_that_an_app_has_been_in() -> None:
    cluster = Cluster(["plpgsql", "unaccent"])
    spec = wanted(extensions=["unaccent", "pg_trgm", "postgis"])
    found = postgres_databases.missing_extensions(cluster, [spec], DONE)
    assert found == [(spec, "pg_trgm"), (spec, "postgis")]
    assert postgres_databases.missing_extensions(cluster, [spec], EMPTY) == []
    postgres_databases.extend(cluster, spec, "pg_trgm", EMPTY["trusted"])
    assert cluster.asked == ["blog creates pg_trgm in blog"]
    with pytest.raises(
        DeployError, match=r"public\.trap\nOnly a superuser may create postgis.*drop these in blog"
    ):
        postgres_databases.extend(cluster, spec, "postgis", EMPTY["trusted"])
