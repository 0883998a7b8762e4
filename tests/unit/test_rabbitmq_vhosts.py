import base64
import json
import re
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.modules.rabbitmq_vhosts import (
    ALGORITHM,
    ALL,
    Plan,
    encoded,
    objections,
    password_hash,
    password_matches,
    tags,
    term,
)

from tests.unit.support import CANARY

# What RabbitMQ's documentation computes: salt 908D C60A, password test12.
DOCUMENTED = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_the_hash_is_that_of_the_documentation() -> None:
    assert password_hash("test12", bytes.fromhex("908DC60A")) == DOCUMENTED


def user(name: str = "blog", password: str = "pencil", **fields: Any) -> dict[str, Any]:
    kept = password_hash(password, b"salt")
    return {"name": name, "password_hash": kept, "hashing_algorithm": ALGORITHM, "tags": [], **fields}


@pytest.mark.parametrize("password", ["pencil", "pass w%rd'\"$", "ünïcödé", "x" * 300])
def test_a_password_matches_its_hash_alone(password: str) -> None:
    assert password_matches(password, user(password=password))
    assert not password_matches(password + "x", user(password=password))
    assert not password_matches("", user(password=password))


@pytest.mark.parametrize(
    "fields",
    [
        {"password_hash": ""},
        {"password_hash": "%"},
        {"password_hash": "AAAA"},
        {"hashing_algorithm": "rabbit_password_hashing_md5"},
        {"hashing_algorithm": None},
    ],
)
def test_another_kind_of_hash_does_not_match(fields: dict[str, Any]) -> None:
    assert not password_matches("pencil", user(**fields))


def test_tags_in_both_notations() -> None:
    assert tags({"tags": "administrator,monitoring"}) == ["administrator", "monitoring"]
    assert tags({"tags": ["administrator"]}) == ["administrator"]
    assert tags({"tags": ""}) == tags({"tags": []}) == tags({}) == []


def login(name: str = "blog", password: str = "pencil") -> dict[str, str]:
    return {"name": name, "password": password}


def wanted(name: str = "blog", **fields: Any) -> dict[str, Any]:
    return {"name": name, "users": [login(name)], "state": "present", **fields}


def allowed(user: str = "blog", vhost: str = "blog", **fields: Any) -> dict[str, Any]:
    return {"user": user, "vhost": vhost, **ALL, **fields}


def state(**fields: Any) -> dict[str, Any]:
    return {
        "users": [user()],
        "vhosts": [{"name": "/"}, {"name": "blog"}],
        "permissions": [allowed()],
        **fields,
    }


EMPTY: dict[str, Any] = {"users": [], "vhosts": [], "permissions": []}


def imported(plan: Plan) -> dict[str, Any]:
    """What the node is given to import, read as the node reads it."""
    match = re.search(r"import_raw\(base64:decode\(<<([\d,]+)>>\)\)", plan.expressions())
    assert match
    found: dict[str, Any] = json.loads(base64.b64decode(bytes(int(byte) for byte in match[1].split(","))))
    return found


def test_everything_is_missing() -> None:
    plan = Plan([wanted()], EMPTY)
    assert plan.changes == [
        "create virtual host blog",
        "create user blog",
        "give virtual host blog to user blog",
    ]
    document = imported(plan)
    assert document["vhosts"] == [{"name": "blog"}]
    assert document["permissions"] == [allowed()]
    assert [entry["name"] for entry in document["users"]] == ["blog"]
    assert document["users"][0]["tags"] == ""
    assert password_matches("pencil", document["users"][0])


def test_nothing_is_missing() -> None:
    for given, found in (([wanted()], state()), ([], state()), ([], EMPTY)):
        plan = Plan(given, found)
        assert plan.changes == plan.calls == []
        assert not any(plan.document.values())


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"users": [user(), user("guest")]}, ["delete user guest"]),
        ({"users": [user(password="other")]}, ["set password of user blog"]),
        ({"users": [user(tags=["administrator"])]}, ["take tags from user blog"]),
        ({"permissions": [allowed(read="^x")]}, ["give virtual host blog to user blog"]),
        ({"permissions": [allowed(), allowed(vhost="shop")]}, ["close virtual host shop to user blog"]),
        ({"permissions": [allowed(), allowed(user="shop")]}, ["close virtual host blog to user shop"]),
        (
            {"users": [user(), user("guest")], "permissions": [allowed(), allowed(user="guest")]},
            ["delete user guest"],
        ),
        ({"vhosts": []}, ["create virtual host blog"]),
    ],
)
def test_what_differs_is_set_right(fields: dict[str, Any], changes: list[str]) -> None:
    assert Plan([wanted()], state(**fields)).changes == changes


def test_two_that_take_each_others_place_are_closed_once() -> None:
    crossed = [allowed(user="shop", vhost="blog"), allowed(user="blog", vhost="shop")]
    found = state(
        users=[user(), user("shop")], vhosts=[{"name": "blog"}, {"name": "shop"}], permissions=crossed
    )
    assert sorted(Plan([wanted(), wanted("shop")], found).changes) == [
        "close virtual host blog to user shop",
        "close virtual host shop to user blog",
        "give virtual host blog to user blog",
        "give virtual host shop to user shop",
    ]


def test_what_is_not_declared_stays() -> None:
    others = state(users=[user(), user("old")], vhosts=[{"name": "blog"}, {"name": "old"}])
    others["permissions"].append(allowed("old", "old"))
    assert Plan([wanted()], others).changes == []


def test_absent_deletes_both() -> None:
    plan = Plan([wanted(state="absent", users=[])], state())
    assert plan.changes == ["delete user blog", "delete virtual host blog"]
    assert Plan([wanted(state="absent", users=[])], EMPTY).changes == []


OLD, NEW = "blog.00000000", "blog.11111111"


def test_a_second_user_for_another_password() -> None:
    found = state(users=[user(OLD)], permissions=[allowed(OLD)])
    both = wanted(users=[login(NEW), login(OLD)])
    plan = Plan([both], found)
    assert plan.changes == [f"create user {NEW}", f"give virtual host blog to user {NEW}"]
    assert plan.calls == []
    found = state(users=[user(OLD), user(NEW)], permissions=[allowed(OLD), allowed(NEW)])
    assert Plan([both], found).changes == []
    assert Plan([wanted(users=[login(NEW)])], found).changes == [f"delete user {OLD}"]
    assert Plan([wanted(state="absent", users=[])], found).changes == [
        f"delete user {OLD}", f"delete user {NEW}", "delete virtual host blog",
    ]  # fmt: skip


def test_users_with_other_names_are_only_kept_out() -> None:
    others = ["blog.monitor", "blog", "shop.00000000"]
    found = state(
        users=[user(NEW), *(user(name) for name in others)],
        permissions=[allowed(NEW), *(allowed(name) for name in others)],
    )
    changes = Plan([wanted(users=[login(NEW)])], found).changes
    assert changes == [f"close virtual host blog to user {name}" for name in others]


def test_who_may_use_another_virtual_host_stays_when_one_goes() -> None:
    found = state(permissions=[allowed(), allowed(vhost="/")])
    assert Plan([wanted(state="absent", users=[])], found).changes == ["delete virtual host blog"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([wanted(users=[])], "vhosts[0].users is empty"),
        ([wanted(users=[login(password="")])], "vhosts[0].users[0].password is missing"),
        ([wanted(users=[login("")])], "vhosts[0].users[0].name is empty"),
        ([wanted(""), wanted()], "vhosts[0].name is empty"),
        ([wanted(users=[login("guest")])], "vhosts[0].users[0].name is guest"),
        (
            [wanted(), wanted("shop", users=[login()])],
            "vhosts[1].users[0].name is that of vhosts[0].users[0], too",
        ),
        ([wanted(), wanted(users=[login("shop")])], "vhosts[1].name is that of vhosts[0], too"),
    ],
)
def test_bad_input_is_refused(given: list[dict[str, Any]], text: str) -> None:
    assert text in "; ".join(objections(given))


def test_good_input_is_not() -> None:
    assert objections([wanted(), wanted("shop"), wanted("old", state="absent", users=[])]) == []


def test_no_password_leaves_the_process() -> None:
    plan = Plan([wanted(users=[login(password=CANARY)])], EMPTY)
    assert CANARY not in plan.expressions() + str(plan.changes) + json.dumps(imported(plan))
    assert term(CANARY) not in plan.expressions()
    assert encoded({"password": CANARY}) not in plan.expressions()


def test_names_cannot_end_an_expression() -> None:
    vhost = 'a">>), halt(). é'
    plan = Plan([wanted(vhost, state="absent", users=[])], {
        "users": [user('b")')], "vhosts": [{"name": vhost}], "permissions": [allowed('b")', vhost)],
    })  # fmt: skip
    assert "halt" not in plan.expressions()
    assert term('b")') in plan.expressions()
