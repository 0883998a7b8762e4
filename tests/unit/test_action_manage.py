from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsiblePromptNoninteractive
from ansible_collections.homeport.django.plugins.action import manage
from ansible_collections.homeport.django.plugins.action.manage import (
    given_file,
    meaning,
    named_app,
    named_values,
    needs_terminal,
    superuser,
    typed,
    variables,
    words,
)
from ansible_collections.homeport.django.plugins.plugin_utils.ssh_command import ssh_command

from tests.unit.support import CANARY

P = "DJANGO_SUPERUSER_"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("showmigrations --plan", ["showmigrations", "--plan"]),
        ("manage.py check", ["check"]),
        ("./manage.py check", ["check"]),
        ("shell -c 'print(\"a b\")'", ["shell", "-c", 'print("a b")']),
        ("dumpdata > x; id", ["dumpdata", ">", "x;", "id"]),
        (["migrate", "blog", 3], ["migrate", "blog", "3"]),
        (["shell", "-c", "it's"], ["shell", "-c", "it's"]),
    ],
)
def test_words(command: Any, expected: list[str]) -> None:
    assert words(command) == expected


@pytest.mark.parametrize("command", ["", "  ", None, [], {}, 3, "manage.py", ["x", ["y"]]])
def test_no_command(command: Any) -> None:
    with pytest.raises(AnsibleActionFail, match="Say which command"):
        words(command)


@pytest.mark.parametrize("command", ["shell -c 'x", 'a "b', "a \\"])
def test_quotes_that_are_not_closed(command: str) -> None:
    with pytest.raises(AnsibleActionFail, match="command: is not a valid shell command"):
        words(command)


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        # what Ansible makes of -e command='showmigrations --plan' is the first word
        ("showmigrations", ["app=blog", "command=showmigrations --plan"], ["showmigrations", "--plan"]),
        ("migrate", ["command=migrate --database=other"], ["migrate", "--database=other"]),
        ("check", ["command=check"], "check"),
        ("shell -c 1", ["command='shell -c 1'"], "shell -c 1"),
        ("shell -c 1", ["app=blog", "@vars.yml"], "shell -c 1"),
        (["a", "b"], ['{"command": ["a", "b"]}'], ["a", "b"]),
        ("a b", ["{command: a b}"], "a b"),
        ("second", ["command=first word", "command=second word"], ["second", "word"]),
    ],
)
def test_the_command_as_it_was_typed(value: Any, options: list[str], expected: Any) -> None:
    assert typed(value, options) == expected


@pytest.mark.parametrize(
    "options",
    [["app=blog command=migrate shop"], ["command=check app=blog"], ["command=check seconds=3 --deploy"]],
)
def test_what_else_stands_beside_the_command_is_refused(options: list[str]) -> None:
    with pytest.raises(AnsibleActionFail, match="need an option of their own"):
        typed("x", options)


def test_the_app() -> None:
    assert named_app("blog", ["blog", "shop"]) == "blog"
    with pytest.raises(AnsibleActionFail, match="one of blog, shop"):
        named_app("", ["blog", "shop"])
    with pytest.raises(AnsibleActionFail, match="did you mean 'blog'"):
        named_app("blogg", ["blog", "shop"])
    with pytest.raises(AnsibleActionFail, match="there is no"):
        named_app("../blog", ["../blog"])


def test_variables() -> None:
    given = {"A": "x", "B": 3, "C": True, "_d": ""}
    assert variables(given) == {"A": "x", "B": "3", "C": "1", "_d": ""}


@pytest.mark.parametrize(
    "given",
    [
        {"A B": CANARY},
        {"A": [CANARY]},
        {"A": {"x": CANARY}},
        CANARY,
        [CANARY],
        {"A": f"{CANARY}\0"},
        {"A": None},
    ],
)
def test_bad_variables_are_named_and_not_quoted(given: Any) -> None:
    with pytest.raises(AnsibleActionFail, match=r"^env") as raised:
        variables(given)
    assert CANARY not in str(raised.value)


def test_a_file_of_the_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    assert given_file("x.json") == str(tmp_path / "x.json")
    assert given_file("") == ""
    with pytest.raises(AnsibleActionFail, match="there is no file"):
        given_file("y.json")


def test_statuses() -> None:
    assert meaning(3) == "exit status 3"
    assert meaning(-9) == "signal SIGKILL"


class Operator:
    """Answers questions, and remembers what was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, question: str, hidden: bool) -> str:
        self.asked.append((question, hidden))
        return self.answers.pop(0)


def test_a_superuser_is_asked_for() -> None:
    operator = Operator("anna", "anna@example.org", CANARY, CANARY)
    found = superuser(["username", "email"], ["createsuperuser"], {}, operator)
    assert found == {f"{P}USERNAME": "anna", f"{P}EMAIL": "anna@example.org", f"{P}PASSWORD": CANARY}
    assert [hidden for _question, hidden in operator.asked] == [False, False, True, True]


def test_what_is_known_is_not_asked_for() -> None:
    operator = Operator("x", "x")
    command = ["createsuperuser", "--email=a@b.c"]
    found = superuser(["username", "email"], command, {f"{P}USERNAME": "anna"}, operator)
    assert found == {f"{P}PASSWORD": "x"}
    everything = {f"{P}USERNAME": "a", f"{P}EMAIL": "b", f"{P}PASSWORD": "c"}
    assert superuser(["username", "email"], ["createsuperuser"], everything, Operator()) == {}


def test_other_fields_of_the_projects_own() -> None:
    found = superuser(
        ["email", "birth_date"], ["createsuperuser"], {}, Operator("a@b.c", "2001-01-01", "x", "x")
    )
    assert set(found) == {f"{P}EMAIL", f"{P}BIRTH_DATE", f"{P}PASSWORD"}


@pytest.mark.parametrize("answers", [("",), ("anna", ""), ("anna", "x", "y")])
def test_answers_that_are_no_good(answers: tuple[str, ...]) -> None:
    with pytest.raises(AnsibleActionFail, match="nothing was run"):
        superuser(["username"], ["createsuperuser"], {}, Operator(*answers))


def test_nobody_to_ask() -> None:
    def nobody(_question: str, _hidden: bool) -> str:
        raise AnsiblePromptNoninteractive("no")

    with pytest.raises(AnsibleActionFail, match=f"no terminal.*{P}EMAIL, {P}PASSWORD"):
        superuser(["email"], ["createsuperuser"], {}, nobody)


def test_output_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []

    class Display:
        def display(self, text: str, stderr: bool = False) -> None:
            seen.append((text, stderr))

    monkeypatch.setattr(manage, "display", Display())
    manage.show("title", "a\n\n  b\n", "warning\n")
    manage.show("title", "", "")
    assert seen == [("title", False), ("a\n\n  b", False), ("warning", True), ("title", False)]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["shell"], True),
        (["shell", "--interface=ipython"], True),
        (["dbshell", "--database", "other"], True),
        (["shell", "-c", "1"], False),
        (["shell", "--command=1"], False),
        (["dbshell", "--", "-c", "select 1"], False),
        (["check"], False),
        (["shell_plus"], True),
        (["shell_plus", "--print-sql"], True),
        (["changepassword", "bob"], True),
        (["changepassword", "--help"], False),
        (["shell", "-cprint(1)"], False),
        (["shell", "--version"], False),
        (["shell", "--no-startup"], True),
        (["dbshell", "--", "-fquery.sql"], False),
    ],
)
def test_commands_that_need_a_terminal(command: list[str], expected: bool) -> None:
    assert needs_terminal(command) is expected
    assert needs_terminal(command, "") is expected
    assert needs_terminal(command, "true") is True
    assert needs_terminal(command, False) is False
    with pytest.raises(AnsibleActionFail, match="terminal: must be true or false"):
        needs_terminal(command, "perhaps")


def test_fields_of_a_superuser_on_the_command_line() -> None:
    command = ["createsuperuser", "--username", "anna", "--email=a@b.example", "--noinput"]
    assert named_values(command) == {f"{P}USERNAME": "anna", f"{P}EMAIL": "a@b.example"}


class Connection:
    def __init__(self, transport: str, **options: Any) -> None:
        self.transport = transport
        self.options = {"host": "203.0.113.7", **options}

    def get_option(self, name: str) -> Any:
        return self.options.get(name)


@pytest.mark.parametrize(
    ("connection", "become", "expected"),
    [
        (Connection("ssh"), False, "ssh -t 203.0.113.7 'id -u'"),
        (
            Connection("ssh", remote_user="admin"),
            True,
            """ssh -t admin@203.0.113.7 'sudo sh -c '"'"'id -u'"'"''""",
        ),
        (
            Connection(
                "ssh", port=2222, private_key_file="/a b/key", ssh_common_args="-o 'X=\"/a b\"' -o Y=1"
            ),
            False,
            "ssh -t -p 2222 -i '/a b/key' -o 'X=\"/a b\"' -o Y=1 203.0.113.7 'id -u'",
        ),
        (Connection("local"), True, "sudo sh -c 'id -u'"),
    ],
)
def test_what_to_type_for_a_terminal(connection: Connection, become: bool, expected: str) -> None:
    assert ssh_command(connection, "id -u", become) == expected
