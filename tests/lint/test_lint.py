"""Each linter is one test: its output is shown when it objects."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Through the link, so that imports by the collection's name and file names agree.
COLLECTION = ".collections/ansible_collections/homeport/django"
NOT_OURS = {".git", ".cache", ".collections", ".venv", "venv", ".ansible", "node_modules"}


def files(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            if path.name not in NOT_OURS:
                yield from files(path)
        else:
            yield path


def is_shell(path: Path) -> bool:
    if path.suffix in {".j2", ".md"}:
        return False
    with path.open("rb") as stream:
        first = stream.readline(80)
    return path.suffix == ".sh" or (first.startswith(b"#!") and first.split()[-1].endswith(b"sh"))


def shell_scripts() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in files() if is_shell(path)]


def python_folders() -> list[str]:
    folders = [f"{COLLECTION}/plugins", "tests", "bench"]
    return [folder for folder in folders if any((ROOT / folder).rglob("*.py"))]


def accepts(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\n\n{result.stdout}", pytrace=False)


def test_yamllint() -> None:
    accepts("yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    accepts("ansible-lint", "--nocolor", "-q")


def test_ruff() -> None:
    accepts("ruff", "check", "--no-cache", "--output-format=concise")


def test_ruff_format() -> None:
    accepts("ruff", "format", "--check", "--no-cache", "--output-format=concise")


def test_mypy() -> None:
    accepts("mypy", *python_folders())


def test_shellcheck() -> None:
    accepts("shellcheck", "--external-sources", "--source-path=SCRIPTDIR", *shell_scripts())
