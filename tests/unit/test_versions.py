"""What names a version agrees with meta/supported.yml, and the code can be read by each Python that is supported."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lint.test_lint import files, interpreter

ROOT = Path(__file__).parents[2]
# What servers run: modules, and the programs that roles put there.
SERVERS_CODE = ("plugins/", "roles/")


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


SUPPORTED = load("meta/supported.yml")
CORE: str = SUPPORTED["ansible_core"]
CONTROLLERS: list[str] = SUPPORTED["controller_pythons"]
SERVERS: str = SUPPORTED["server_python"]


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def oldest(distribution: str) -> str:
    return min(SUPPORTED["servers"][distribution], key=number)


def lowest(pattern: str, name: str) -> str:
    """The lowest version that a file names in the place of the pattern's group."""
    return min(re.findall(pattern, (ROOT / name).read_text()), key=number)


def readme() -> str:
    return " ".join((ROOT / "README.md").read_text().split())


def test_ansible_core() -> None:
    assert load("meta/runtime.yml")["requires_ansible"] == f">={CORE}.0"
    assert lowest(r"ansible-core>=([\d.]+)", "requirements/run.in") == CORE
    assert f"controller needs ansible-core {CORE} or newer" in readme()


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_roles(role: str) -> None:
    info = load(f"roles/{role}/meta/main.yml")["galaxy_info"]
    assert info["min_ansible_version"] == CORE
    assert {platform["name"]: platform["versions"] for platform in info["platforms"]} == {
        name: list(versions.values()) for name, versions in SUPPORTED["servers"].items()
    }


def test_oldest_servers() -> None:
    names = {name.lower(): oldest(name) for name in SUPPORTED["servers"]}
    assert load("roles/preflight/defaults/main.yml")["preflight_distributions"] == names
    assert f"Debian {names['debian']} or newer, or Ubuntu {names['ubuntu']} or newer" in readme()


def test_oldest_pythons() -> None:
    first = CONTROLLERS[0]
    assert lowest(r"Python (3\.\d+) or newer", "bin/setup") == first
    assert f"sys.version_info < {number(first)}" in (ROOT / "bin/setup").read_text()
    assert lowest(r"--python-version (\S+)", "Makefile") == first
    # without a dot
    assert lowest(r'"(?:\S+" = ")?py(\d+)"', "pyproject.toml") == SERVERS.replace(".", "")
    assert f'target-version = "py{first.replace(".", "")}"' in (ROOT / "pyproject.toml").read_text()


def files_for(version: str) -> list[str]:
    paths = [path for path in files() if path.suffix == ".py" or "python" in interpreter(path)]
    names = [str(path.relative_to(ROOT)) for path in paths]
    found = [name for name in names if version != SERVERS or name.startswith(SERVERS_CODE)]
    assert len(found) > 100
    return found


def python(version: str) -> str:
    """A Python of this version on this machine, on the path or pyenv's; empty where there is none."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [sys.executable, shutil.which(f"python{version}") or sys.executable]
    candidates += map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))
    for candidate in candidates:
        # one of pyenv's shims answers for no Python at all, or for another
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
        )
        if asked.stdout.strip() == version:
            return candidate
    return ""


@pytest.mark.parametrize("version", [SERVERS, *CONTROLLERS])
def test_grammar(version: str) -> None:
    """As far as the parser of the Python that runs the tests can tell."""
    for name in files_for(version):
        ast.parse((ROOT / name).read_text(), name, feature_version=(number(version)[0], number(version)[1]))


@pytest.mark.parametrize("version", [SERVERS, *CONTROLLERS])
def test_each_python_compiles_it(version: str) -> None:
    found = python(version)
    if not found:
        pytest.skip(f"there is no Python {version} on this machine")
    compiler = "import sys\nfor name in sys.argv[1:]: compile(open(name, 'rb').read(), name, 'exec')"
    result = subprocess.run(
        [found, "-I", "-W", "error", "-c", compiler, *files_for(version)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
