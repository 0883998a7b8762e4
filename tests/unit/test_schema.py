# ruff: noqa: E501  (a table reads best with one case a line)
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.common.words import closest, printable
from ansible_collections.homeport.django.plugins.module_utils.validation.schema import (
    Bool,
    Choice,
    Field,
    Int,
    List,
    Map,
    Object,
    Problems,
    Scalar,
    Str,
)

from tests.unit.support import CANARY


def run(field: Field, value: Any) -> tuple[Any, list[str]]:
    problems = Problems()
    return field.check(value, "here", problems), list(problems)


WORD = Str(pattern=r"[a-z]+", hint="must be lower-case letters")
PERSON = Object({"name": Str("the name", required=True), "age": Int(default=3), "note": Str()}, short="name")

ACCEPTED: list[tuple[Field, Any, Any]] = [
    (Str(), "x", "x"),
    (Str(multiline=True), "a\nb", "a\nb"),
    (WORD, "abc", "abc"),
    (Scalar(), True, "True"),
    (Scalar(), 1.5, "1.5"),
    (Scalar(), "$(x) `y` %s \"'\n", "$(x) `y` %s \"'\n"),
    (Int(), 7, 7),
    (Int(), "7", 7),
    (Bool(), False, False),
    (Bool(), "True", True),
    (Bool(), "false", False),
    (Choice(["a", "b"]), "b", "b"),
    (List(Str()), ["a", "b"], ["a", "b"]),
    (List(Str()), "a", ["a"]),
    (List(Int()), 3, [3]),
    (Map(Int(), key=r"[a-z]+", key_hint=""), {"a": 1}, {"a": 1}),
    (PERSON, {"name": "x"}, {"name": "x", "age": 3}),
    (PERSON, "x", {"name": "x", "age": 3}),
    (PERSON, {"name": "x", "note": None}, {"name": "x", "age": 3}),
]


@pytest.mark.parametrize(("field", "value", "expected"), ACCEPTED)
def test_accepted(field: Field, value: Any, expected: Any) -> None:
    assert run(field, value) == (expected, [])


REFUSED: list[tuple[Field, Any, str]] = [
    (Str(), 1.10, "here: must be a string, not a number (put it in quotes)"),
    (Str(), None, "here: must be a string, not nothing"),
    (Str(), {"a": 1}, "here: must be a string, not a dictionary"),
    (Str(), f"{CANARY}\n", "here: must be a single line"),
    (Str(), f"{CANARY}\r", "here: must be a single line"),
    (Str(multiline=True), f"{CANARY}\0", "here: contains a NUL byte, which no configuration file can hold"),
    (WORD, CANARY, "here: must be lower-case letters"),
    (WORD, "abc\n", "here: must be a single line"),
    (Str(pattern="x"), CANARY, "here: must match x"),
    (Scalar(), [CANARY], "here: must be a string, a number or a boolean, not a list"),
    (Scalar(), f"{CANARY}\0", "here: contains a NUL byte, which an environment cannot hold"),
    (Int(), True, "here: must be a whole number, not a boolean"),
    (Int(), CANARY, "here: must be a whole number, not a string"),
    (Int(), 1.5, "here: must be a whole number, not a number"),
    (Int(low=1, high=5), 6, "here: must be from 1 to 5"),
    (Int(low=1, high=5), "-1", "here: must be from 1 to 5"),
    (Bool(), "yes", "here: must be true or false, not a string"),
    (Choice(["nginx", "none"]), "ngnix", "here: must be one of nginx, none (did you mean 'nginx'?)"),
    (Choice(["nginx", "none"]), CANARY, "here: must be one of nginx, none"),
    (Choice(["nginx", "none"]), [CANARY], "here: must be one of nginx, none, not a list"),
    (List(Str()), {"a": CANARY}, "here: must be a list, not a dictionary"),
    (List(Str()), ["a", 1], "here[1]: must be a string, not a number (put it in quotes)"),
    (List(Str(), unique=True), ["a", "b", "a"], "here[2]: is there twice"),
    (List(Str(), least=1), [], "here: must have at least 1 item"),
    (Map(Int(), key=r"[a-z]+", key_hint="use letters"), {"A b": 1}, "here: 'A b' is not a good name here: use letters"),
    (Map(Int(), key=r"[a-z]+", key_hint="use letters"), {3: 1}, "here: 3 is not a good name here: use letters"),
    (Map(Int(), key=r"[a-z]+", key_hint=""), {"a": CANARY}, "here.a: must be a whole number, not a string"),
    (Map(Int(), key=r"[a-z]+", key_hint=""), CANARY, "here: must be a dictionary, not a string"),
    (PERSON, {}, "here.name: is required: the name"),
    (PERSON, {"name": "x", "agee": 1}, "here.agee: is not a field here (did you mean 'age'?); known fields: name, age, note"),
    (PERSON, {"name": "x", CANARY * 9: 1}, f"here.'{(CANARY * 9)[:60]}': is not a field here; known fields: name, age, note"),
    (PERSON, ["x"], "here: must be a dictionary with fields among name, age, note; it is a list"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_refused(field: Field, value: Any, message: str) -> None:
    problems = run(field, value)[1]
    assert problems == [message]


def test_values_are_never_quoted() -> None:
    for field, value, _message in REFUSED:
        if not isinstance(value, dict) or CANARY * 9 not in value:  # keys are names, not secrets
            assert CANARY not in "".join(run(field, value)[1])


def test_everything_wrong_is_found_at_once() -> None:
    assert len(run(PERSON, {"agee": 1, "age": "x"})[1]) == 3


@pytest.mark.parametrize("value", [None, 1, True, "x", [], {}, [[]], {"a": {}}, b"x", object(), 1e400])
@pytest.mark.parametrize("field", [field for field, *_rest in ACCEPTED], ids=lambda field: field.kind)
def test_no_value_breaks_a_checker(field: Field, value: Any) -> None:
    run(field, value)


def test_a_rule_sees_the_whole_object() -> None:
    def rule(value: dict[str, Any], path: str, problems: Problems) -> None:
        if len(value) != 1:
            problems.add(path, "needs one")

    shape = Object({"a": Str(), "b": Str()}, rule=rule)
    assert run(shape, {"a": "x"})[1] == []
    assert run(shape, {"a": "x", "b": "y"})[1] == ["here: needs one"]


def test_blank_holds_the_defaults() -> None:
    assert PERSON.blank() == {"age": 3}


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("a.b-c_1", "a.b-c_1"),
        ("a b", "'a b'"),
        ("a\nb\x1b[0m", "'a?b?[0m'"),
        (5, "5"),
        ("", "''"),
        ("x" * 99, f"'{'x' * 60}'"),
    ],
)
def test_printable(key: Any, shown: str) -> None:
    assert printable(key) == shown


def test_closest() -> None:
    assert closest("databse", ["database", "cache"]) == " (did you mean 'database'?)"
    assert closest("zzz", ["database", "cache"]) == ""
