"""What would be put on hosts is what was meant: whoever changes it sees what becomes of it everywhere."""

import difflib

import pytest

from tests.golden.record import GOLDEN, inventories, texts


@pytest.mark.parametrize("name", inventories())
def test_what_is_put_on_hosts(name: str) -> None:
    found = texts(name)
    kept = {path.stem: path.read_text(encoding="utf-8") for path in (GOLDEN / name).glob("*.txt")}
    assert set(found) == set(kept), "make golden writes them anew"
    for host, text in found.items():
        before, after = kept[host].splitlines(), text.splitlines()
        changes = difflib.unified_diff(before, after, f"{name}/{host}", "now", n=2, lineterm="")
        told = "\n".join(list(changes)[:60])
        assert not told, f"{told}\n\nWhere that is meant, make golden writes it down."


def test_a_newline_is_one() -> None:
    """In a folded block of YAML, Ansible takes Jinja's "\\n" for two characters."""
    for path in GOLDEN.glob("*/*.txt"):
        headings = [
            line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# Written by")
        ]
        assert headings and not [line for line in headings if "\\n" in line], path
