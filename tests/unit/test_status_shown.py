"""The tables and the page of status, the action plugin that makes them, and the logs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.homeport.django.plugins.action import status_report
from ansible_collections.homeport.django.plugins.action.status_report import options, write
from ansible_collections.homeport.django.plugins.module_utils.reports.status_page import TEMPLATES, page
from ansible_collections.homeport.django.plugins.module_utils.reports.status_text import (
    WIDTH,
    lines,
    printable,
    table,
)

from tests.unit import statuses
from tests.unit.statuses import deploy, one, web

VOID = {"meta", "link", "br", "input", "hr", "img", "path", "circle"}
DOCUMENTS = {
    "good": statuses.good,
    "bad": statuses.bad,
    "none": lambda: statuses.document({}, []),
    "bare": lambda: one({"release": None, "health": None, "processes": None, "deploys": []}),
}


# Tables


@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_fit_the_terminal(name: str) -> None:
    shown = lines(DOCUMENTS[name]())
    assert max(len(text) for _level, text in shown) <= WIDTH
    assert all(text == text.rstrip() and text.isprintable() for _level, text in shown)


def test_the_tables_say_what_there_is() -> None:
    shown = lines(statuses.bad())
    text = "\n".join(text for _level, text in shown)
    for part in (
        "5 of 6 apps are unhealthy",
        "20261123T204800-0a1b2c3d",  # never cut: one copies it into a rollback
        "redis-server",
        "503 in 231 ms",
        "deploying",
        "not declared",
        "postgres 3.0 GiB on db1",
        "has not been deployed yet",
        "redis-server@shop-cache on db1 failed",
        "rabbitmq-server on db1 active 140 MiB",
        "redis on cache.hoster.example",
        "celery, 2 backoff",
        'column "no_such_column" does not exist',
        "cannot be reached",
        "blog web1 backup never 1 d 6 h -",
        "shop web1 drill 1 d 2 h ago 7 d 6 h 12 s, the last one failed",
        "15 min behind, 2 min at most",
    ):
        assert part in " ".join(text.split()), part
    failing = [text for level, text in shown if level == "failure"]
    assert any("shop" in text and "unhealthy" in text for text in failing)
    assert any("web2" in text for text in failing)


def test_a_sqlite_database_is_measured_where_it_is() -> None:
    made = one({"disk": {**statuses.found()["disk"], "database": 5 << 20}}, {"database": "sqlite"})
    assert any("sqlite 5 MiB" in text for _level, text in lines(made))
    assert "sqlite 5 MiB" in page(made)


def test_columns_are_aligned_and_cut() -> None:
    rows = [("ok", ["a" * 90, "x" * 60, "1"]), ("failure", ["b", "y", "2"])]
    made = [text for _level, text in table(["NOTES", "RELEASE", "RUN"], rows)]
    assert all(len(text) <= WIDTH for text in made)
    assert made[1].endswith("…  " + "x" * 60 + "  1")
    assert made[0].index("RUN") == made[1].rindex("1") == made[2].rindex("2")


def test_printable() -> None:
    assert printable("a\x1b[31m\tb\nc\u202ed\x00") == "a�[31m b c�d�"
    assert printable("Grüße ✓") == "Grüße ✓"


# The page


class Page(HTMLParser):
    """Fails where tags do not match; keeps what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        values = dict(attrs)
        self.links += [value for key in ("href", "src") if (value := values.get(key))]
        self.ids += [value for value in [values.get("id")] if value]
        assert not any(key.startswith("on") for key in values), values
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_page_is_whole_and_needs_nothing_beside_it(name: str) -> None:
    text = page(DOCUMENTS[name]())
    parsed = Page(text)
    assert {"script", "iframe", "img", "object", "form"}.isdisjoint(parsed.names)
    assert len(parsed.ids) == len(set(parsed.ids))
    for link in parsed.links:
        assert link.startswith(("#", "data:image/svg+xml,", "http://")), link
        assert not link.startswith("#") or link[1:] in parsed.ids
    assert "url(" not in text
    assert "@import" not in text


def test_where_an_app_answers_is_shown_whole() -> None:
    made = statuses.good()
    name, entry = next(iter(made["apps"].items()))
    host, here = next(iter(entry["hosts"].items()))
    here["try"] = "curl --connect-to ::192.0.2.7:443 https://a-very-long-name." + "x" * 120
    shown = [text for _level, text in lines(made)]
    at = shown.index("ADDRESSES")
    assert shown[at + 1] == f"  {name}: {entry['url']}/"
    assert shown[at + 2] == f"    on {host}: {here['try']}"


def test_hostile_text_is_escaped() -> None:
    text = page(statuses.bad())
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_every_text_of_a_host_is_escaped() -> None:
    """Whatever a host may say, put into every place where it may say something."""
    mark = "<b id=x onclick=y>\"'&"

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poison(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        # these are compared with words of our own
        if isinstance(value, str) and key not in ("level", "time", "since", "last", "next", "live_since"):
            return value + mark if value else value
        return value

    made = poison(statuses.bad())
    text = page(made)
    assert "<b id=x" not in text
    parsed = Page(text)
    assert "x" not in parsed.ids
    assert "&lt;b id=x onclick=y&gt;&#34;&#39;&amp;" in text


def test_what_the_page_says() -> None:
    text = page(statuses.bad())
    for part in ("5 of 6 apps are unhealthy", "What runs where", "supervisord", "Cannot be reached", "2 earlier",
                 "shop.0040_orders", "db.hoster.example", "1 of 3 run"):  # fmt: skip
        assert part in text, part
    assert "cache of shop" in text
    assert '1 d 7 h ago <span class="pill failure">late</span><small>1 d 6 h at most</small>' in text
    assert "PostgreSQL's archive</h5>" in text
    assert "15 min behind, 2 min at most" in text
    assert "broker of shop 140 MiB" in text
    assert "PostgreSQL over TLS, cache, broker" in text
    assert "What needs attention" not in page(statuses.good())


def test_a_database_on_another_app_server_is_drawn() -> None:
    first, second = statuses.status({"blog": statuses.found()}), statuses.status({"blog": statuses.found()})
    first["services"]["postgresql"] = "active"
    groups = {"app_servers": ["web1", "web2"], "database_servers": ["web1"]}
    made = statuses.document({"web1": first, "web2": second}, statuses.specs(blog={}), groups)
    assert page(made).count("PostgreSQL on web1") == 1


def test_only_the_release_that_is_live_is_called_so() -> None:
    made = one({"deploys": [deploy(), deploy(outcome="failed"), deploy()], "processes": [web()]})
    assert page(made).count("live now") == 1


def luminance(color: str) -> float:
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def palettes() -> dict[str, dict[str, str]]:
    """The colours of the stylesheet: its first block of variables is for light systems, its second for dark ones."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "status.css").read_text(), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("system", ["light", "dark"])
def test_contrast(system: str) -> None:
    """WCAG AA: 4.5 for text, 3 for what has a meaning without being text."""
    colors = palettes()[system]
    assert colors.keys() == palettes()["light"].keys()
    for back in ("page", "card", "inset"):
        for front in ("text", "muted", "link", "failure"):
            assert contrast(colors[front], colors[back]) >= 4.5, (front, back)
        for front in ("ok-line", "failure-line"):
            assert contrast(colors[front], colors[back]) >= 3, (front, back)
    for level in ("ok", "warning", "failure"):
        for front in (level, "text"):
            assert contrast(colors[front], colors[f"{level}-back"]) >= 4.5, (front, level)


# The action plugin


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("table", ("failure",))),
        ({"format": "json", "fail": False}, ("json", ())),
        ({"format": "", "fail": "True"}, ("table", ("failure",))),
        ({"fail": "warnings"}, ("table", ("warning", "failure"))),
        ({"format": "yaml"}, "format: must be table or json"),
        ({"fail": "perhaps"}, "fail: must be true, false or warnings"),
    ],
)
def test_options(given: dict[str, Any], found: Any) -> None:
    if isinstance(found, str):
        with pytest.raises(AnsibleActionFail, match=found):
            options(given)
    else:
        assert options(given) == found


def test_files_are_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "status.html"
    target.write_text("old")
    before = target.stat().st_ino
    write("html", str(target), "new")
    assert target.read_text() == "new"
    assert target.stat().st_ino != before
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["status.html"]
    with pytest.raises(AnsibleActionFail, match=r"json: .*/none/status.json cannot be written"):
        write("json", str(tmp_path / "none/status.json"), "x")


class Shown:
    def __init__(self) -> None:
        self.lines: list[tuple[str, Any]] = []

    def display(self, text: str, color: Any = None) -> None:
        self.lines.append((text, color))


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown()
    monkeypatch.setattr(status_report, "Display", lambda: shown)
    made = statuses.bad()
    status_report.show(made, json.dumps(made, indent=2) + "\n", "json")
    assert len(shown.lines) == 1
    assert json.loads(shown.lines[0][0]) == made
    status_report.show(made, "", "table")
    assert len({color for _text, color in shown.lines}) == 3


def test_everything_in_the_json_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/operating.md").read_text()
    documented = set(re.findall(r"`([a-z_]+)`", text))

    def keys(value: Any, inside: str = "") -> set[str]:
        if isinstance(value, list):
            return set().union(*(keys(item) for item in value)) if value else set()
        if not isinstance(value, dict):
            return set()
        named = inside in ("hosts", "apps", "services")  # keys that are names of the user's
        own = set() if named else set(value)
        return own.union(*(keys(item, "" if named else key) for key, item in value.items()))

    assert keys(statuses.bad()) | keys(statuses.good()) <= documented
