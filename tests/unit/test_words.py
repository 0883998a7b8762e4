"""The documentation uses the field's terms, in short sentences, and names only what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    r"on trial": "pending change, confirm",
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


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_the_fields_terms(path: Path) -> None:
    text = without_code(path.read_text())
    found = [
        f"{match[0]!r}: write {term}"
        for words, term in TERMS.items()
        for match in re.finditer(rf"\b(?:{words})\b", text)
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
