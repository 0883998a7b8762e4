"""How a run ended for each app."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.homeport.django.plugins.action.verdict import ActionModule

URL = {"url": "https://blog.example.org", "port": 443, "tls": True, "pages": {"/": []}, "home": "/srv/blog"}
VISITS = {"blog": URL, "wiki": {**URL, "url": "https://wiki.example.org"}, "inside": {}}
LIVE = {
    "outcome": "live",
    "release": "2-b",
    "before": "1-a",
    "revision": "a1" * 20,
    "revision_before": "b2" * 20,
    "subject": "Greet",
    "seconds": 7.2,
}


class Action(ActionModule):
    def __init__(self, problems: dict[str, str], **arguments: Any) -> None:
        self.problems = problems
        self.asked: list[str] = []
        self._task: Any = SimpleNamespace(
            args={"visits": VISITS, "touched": False, **arguments}, check_mode=False
        )

    def _execute_module(self, **options: Any) -> dict[str, Any]:
        self.asked = sorted(options["module_args"]["visits"])
        return {"problems": {name: told for name, told in self.problems.items() if name in self.asked}}


@pytest.fixture(autouse=True)
def without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda *_words: {})


def told(action: Action) -> tuple[bool, Any]:
    result = action.run(task_vars={})
    return result.get("failed", False), result["msg"]


def test_nothing_was_done() -> None:
    action = Action({}, steps=[{"visits": {"blog": "", "wiki": ""}}, {"skipped": True}, {}])
    assert told(action) == (False, [])
    assert action.asked == []


def test_what_went_live_is_asked_and_told() -> None:
    action = Action({}, steps=[{"outcomes": {"blog": LIVE}}])
    line = 'blog: a1a1a1a "Greet" is live at https://blog.example.org (was b2b2b2b), 7 s'
    assert told(action) == (False, [line])
    assert action.asked == ["blog"]


@pytest.mark.parametrize(("touched", "asked"), [(False, []), (True, ["blog", "wiki"])])
def test_what_the_step_itself_has_asked_is_asked_once(touched: bool, asked: list[str]) -> None:
    action = Action({}, steps=[{"outcomes": {"blog": LIVE}, "visits": {"blog": ""}}], touched=touched)
    assert told(action)[0] is False
    assert action.asked == asked


@pytest.mark.parametrize(
    ("tls", "command"),
    [(True, "curl --insecure --connect-to ::192.0.2.7:443 https://blog.example.org/"), (False, "")],
)
def test_a_first_release_is_told_with_a_way_to_try_it(tls: bool, command: str) -> None:
    first = {**LIVE, "before": ""}
    action = Action({}, steps=[{"outcomes": {"blog": first}}], visits={"blog": {**URL, "tls": tls}})
    (line,) = action.run(task_vars={"inventory_hostname": "web1", "ansible_host": "192.0.2.7"})["msg"]
    shown, _newline, tip = line.partition("\n")
    assert shown == 'blog: a1a1a1a "Greet" is live at https://blog.example.org, 7 s'
    assert tip == (
        f"  Before its name leads here, try: {command}\n  Its IP address alone serves no site."
        if command
        else ""
    )


@pytest.mark.parametrize("url", ["http://192.0.2.7", "http://[2001:db8::7]:8080"])
def test_an_app_without_a_name_waits_for_no_dns(url: str) -> None:
    first = {**LIVE, "before": ""}
    visit = {**URL, "url": url, "tls": False}
    action = Action({}, steps=[{"outcomes": {"blog": first}}], visits={"blog": visit})
    (line,) = action.run(task_vars={"inventory_hostname": "web1", "ansible_host": "192.0.2.7"})["msg"]
    assert line == f'blog: a1a1a1a "Greet" is live at {url}, 7 s'


def test_a_first_release_that_is_not_to_be_asked() -> None:
    visits = {"blog": {**URL, "first": False}}
    first = Action({}, visits=visits, steps=[{"outcomes": {"blog": {**LIVE, "before": ""}}}])
    assert told(first)[0] is False
    assert first.asked == []
    later = Action({}, visits=visits, steps=[{"outcomes": {"blog": LIVE}}])
    told(later)
    assert later.asked == ["blog"]


def test_one_that_its_first_visitor_sets_up_is_not_asked_by_the_way() -> None:
    action = Action(
        {"blog": "answers with status 500"},
        touched=True,
        steps=[{"unasked": ["blog"], "visits": {"wiki": ""}}],
    )
    assert told(action) == (False, [])
    assert action.asked == ["wiki"]


def test_an_app_that_does_not_answer_its_visitors() -> None:
    action = Action({"blog": "answers with status 502"}, steps=[{"outcomes": {"blog": LIVE}}])
    failed, message = told(action)
    assert failed
    assert message.startswith('blog: answers with status 502\n\nblog: a1a1a1a "Greet" is live at')


def test_a_bad_answer_of_before_is_asked_for_once_more() -> None:
    before = [{"visits": {"blog": "answers with status 502", "wiki": ""}}]
    action = Action({}, steps=before)
    assert told(action) == (False, [])
    assert action.asked == ["blog"]
    assert told(Action({"blog": "answers with status 502"}, steps=before))[0]


def test_all_are_asked_where_the_web_server_was_changed() -> None:
    action = Action({"wiki": "is not served"}, touched=True)
    assert told(action) == (True, "wiki: is not served")
    assert action.asked == ["blog", "wiki"]
    action = Action({"wiki": "is not served"}, touched=True, only=["blog"])
    assert told(action) == (False, [])
    assert action.asked == ["blog"]


@pytest.mark.parametrize("before", ["1-a", ""])
def test_a_step_that_failed_is_told_at_the_end(before: str) -> None:
    outcome = {**LIVE, "outcome": "failed", "before": before}
    step = {"failed_apps": {"wiki": "no module named wiki"}, "outcomes": {"wiki": outcome, "blog": LIVE}}
    failed, message = told(Action({}, steps=[step]))
    assert failed
    assert message.startswith("wiki: no module named wiki\n")
    assert 'blog: a1a1a1a "Greet" is live' in message
    assert ("The live release still serves" in message) == bool(before)


def test_an_address_of_an_archive_is_not_shown() -> None:
    address = "https://user:secret@files.example.org/blog.tar.gz"
    live = {**LIVE, "revision": address, "revision_before": address, "subject": ""}
    assert told(Action({}, steps=[{"outcomes": {"blog": live}}]))[1] == [
        "blog: 2-b is live at https://blog.example.org (was 1-a), 7 s"
    ]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"revision_before": "a1" * 20}, 'a1a1a1a "Greet" is live at https://blog.example.org (was 1-a), 7 s'),
        ({"revision": f"sha256:{'c3' * 32}", "subject": ""},
         "c3c3c3c is live at https://blog.example.org (was b2b2b2b), 7 s"),
        ({"revision_before": ""}, 'a1a1a1a "Greet" is live at https://blog.example.org (was 1-a), 7 s'),
    ],
)  # fmt: skip
def test_which_code_and_what_was_before(fields: dict[str, Any], shown: str) -> None:
    assert told(Action({}, steps=[{"outcomes": {"blog": {**LIVE, **fields}}}]))[1] == [f"blog: {shown}"]
