"""Documentation, messages and names of tasks use the field's terms; documentation has short sentences, and names only
what exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")},
    key=lambda path: str(path),
)
LONGEST = 25  # words of a sentence
# Names of programs with which a sentence may begin.
PROGRAMS = "gunicorn|nginx|restic|sshd|supervisord|testssl|uv"
# Plain words in place of a term, each with the term to write.
TERMS = {
    r"(?:is|are|was|were|be|been) told(?! apart)|told of|says so": "reported, fails with, prints",
    r"good until|(?:is|are|was) over(?! \d)(?= *[.,;|])": "expires, expired",
    r"moments?": "point in time, step of a deploy",
    r"proofs?|believed?s?": "challenge, validated, trusted",
    r"(?:on|for) trial": "pending change, confirm",
    r"cut[s ]? ?off": "interrupted, revokes access",
    r"patience": "timeout",
    r"gone|strays?|worn|fate|knocks?": "missing, undeclared, due for renewal, exposure, probe",
    r"git would take": "is not ignored by git",
    r"puts? back|puts? away|tak(?:e|es|en) away|put back": "restored, moved aside, removed",
    r"[Ww]hoever|what else|that which": "the name of the person or thing",
    r"the release before|the one before": "the previous release, the live release",
}
TOP = "bench|bin|docs|examples|inventories|molecule|playbooks|plugins|roles|testhosts|tests"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    """The text without blocks of code, generated tables and links' addresses."""
    text = re.sub(r"<!-- [a-z: ]+ -->.*?<!-- end -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "`x`", text))


def sentences(text: str) -> Iterator[str]:
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(lines)):
        text = re.sub(r"^(?:[-*]|\d+\.) ", "", " ".join(paragraph.split()))
        yield from re.split(rf"(?<=[.:;?!])[*)]*\s+(?=[^a-z]|(?:{PROGRAMS})\b)", text)


def old_words(text: str) -> list[str]:
    return [
        f"{match[0]!r}: write {term}"
        for words, term in TERMS.items()
        for match in re.finditer(rf"\b(?:{words})\b", text)
    ]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_the_fields_terms(path: Path) -> None:
    assert old_words(without_code(path.read_text())) == []


SOURCES = sorted((ROOT / "plugins").glob("**/*.py"))
TASKS = sorted(
    path
    for pattern in ("playbooks/**/*.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
    for path in ROOT.glob(pattern)
)
SPECS = sorted(
    path
    for pattern in (
        "roles/*/meta/*.yml",
        "plugins/filter/*.yml",
        "plugins/modules/*.py",
        "plugins/callback/*.py",
    )
    for path in ROOT.glob(pattern)
)
DOCUMENTED = ("DOCUMENTATION", "EXAMPLES", "RETURN")
SHOWN = {"name", "msg", "fail_msg", "success_msg"}
ERRORS = {"AnsibleActionFail", "AnsibleFilterError", "DeployError"}
# Programs and commands of Django with which a message may begin.
COMMANDS = {"createsuperuser", "migrate", "restic", "runserver", "supervisord"}


def literal(node: ast.AST) -> str | None:
    """The text of a string in the code, with ``{}`` in place of its values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "{}" for part in node.values)
    return None


def literals(node: ast.AST) -> Iterator[str]:
    """The strings of a piece of code, without those that document it."""
    documented = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTED
    if documented or (isinstance(node, ast.Expr) and literal(node.value) is not None):
        return
    text = literal(node)
    if text is not None:
        yield text
    for part in ast.iter_child_nodes(node):
        if text is None or isinstance(part, ast.FormattedValue):
            yield from literals(part)


def described(found: Any, keys: set[str]) -> Iterator[str]:
    """The texts under ``keys``, at any depth of a YAML document."""
    for entry in found if isinstance(found, list) else []:
        yield from described(entry, keys)
    for key, value in found.items() if isinstance(found, dict) else []:
        texts = value if isinstance(value, list) else [value]
        if key in keys:
            yield from (text for text in texts if isinstance(text, str))
        yield from described(value, keys)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_fields_terms_in_messages(path: Path) -> None:
    # a text of fewer words is a key or a value
    texts = [text for text in literals(ast.parse(path.read_text())) if len(text.split()) > 2]
    assert [(text, found) for text in texts if (found := old_words(text))] == []


@pytest.mark.parametrize("path", TASKS, ids=name)
def test_the_fields_terms_in_tasks(path: Path) -> None:
    texts = described(yaml.safe_load(path.read_text()), SHOWN)
    assert [(text, found) for text in texts if (found := old_words(text))] == []


@pytest.mark.parametrize("path", SPECS, ids=name)
def test_the_fields_terms_in_descriptions(path: Path) -> None:
    documents = [path.read_text()]
    if path.suffix == ".py":
        documents = [
            text
            for node in ast.parse(documents[0]).body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTED
            if (text := literal(node.value))
        ]
    texts = [
        text
        for document in documents
        for text in described(yaml.safe_load(document), {"description", "short_description"})
    ]
    assert [(text, found) for text in texts if (found := old_words(text))] == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_messages_begin_with_a_capital(path: Path) -> None:
    """Or with the name of a field, an option or a program."""
    raised = [
        literal(node.args[0]) or ""
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in ERRORS
    ]
    found = [
        text for text in raised if (first := re.match(r"[a-z]+(?= )", text)) and first[0] not in COMMANDS
    ]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_short_sentences(path: Path) -> None:
    found = [each for each in sentences(without_code(path.read_text())) if len(each.split()) > LONGEST]
    assert found == []


def paths(text: str) -> list[str]:
    return [found.rstrip("./") for found in re.findall(rf"(?<![\w/.~<-])(?:{TOP})/[\w./*-]+", text)]


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!https?:)([^)\s]*)\)", text):
        file, _hash, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_paths_exist(path: Path) -> None:
    for found in paths(path.read_text()):
        assert list(ROOT.glob(found)), found


def compact(text: str) -> str:
    return re.sub(r"\s|,(?=\s*[)\]}])", "", text)


HOW_TO = sorted((ROOT / "docs/contributing").glob("*.md"))


@pytest.mark.parametrize("path", HOW_TO, ids=name)
def test_examples_are_from_the_code(path: Path) -> None:
    text = path.read_text()
    folders = {Path(found).parent if "." in Path(found).name else Path(found) for found in paths(text)}
    sources = [
        each for folder in folders for each in (ROOT / folder).glob("*.*") if each.suffix in (".py", ".yml")
    ]
    code = [compact(each.read_text()) for each in sources]
    for example in re.findall(r"^ *```\w+\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        assert any(compact(example) in each for each in code), example
