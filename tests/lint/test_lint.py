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


def interpreter(path: Path) -> str:
    """The program that a script is run with; empty for anything else."""
    if path.suffix in {".j2", ".md"}:
        return ""
    with path.open("rb") as stream:
        first = stream.readline(80)
    words = [word for word in first[2:].decode(errors="replace").split() if not word.startswith("-")]
    return words[-1] if first.startswith(b"#!") and words else ""


def shell_scripts() -> list[str]:
    found = [path for path in files() if path.suffix == ".sh" or interpreter(path).endswith("sh")]
    return [str(path.relative_to(ROOT)) for path in found]


def python_scripts() -> list[str]:
    """Those that a linter does not find by their names."""
    found = [path for path in files() if not path.suffix and "python" in interpreter(path)]
    return [str(path.relative_to(ROOT)) for path in found]


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
    accepts("ruff", "check", "--no-cache", "--output-format=concise", ".", *python_scripts())


def test_ruff_format() -> None:
    accepts("ruff", "format", "--check", "--no-cache", "--output-format=concise", ".", *python_scripts())


def test_mypy() -> None:
    accepts("mypy", *python_folders())


@pytest.mark.parametrize("script", python_scripts())
def test_mypy_of_scripts(script: str) -> None:
    accepts("mypy", script)


def test_shellcheck() -> None:
    accepts("shellcheck", "--external-sources", "--source-path=SCRIPTDIR", *shell_scripts())
