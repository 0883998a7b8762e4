# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Finding out how a project declares its dependencies, and installing them with uv."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils import app_project
from ansible_collections.homeport.django.plugins.module_utils.release_layout import (
    DeployError,
    Layout,
    Runner,
)

UV = "/usr/local/bin/uv"

# Looked for in this order, in the source's root and then beside manage.py.
REQUIREMENT_FILES = [
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/deploy.txt",
    "requirements/base.txt",
    "requirements-production.txt",
    "requirements-prod.txt",
    "requirements.in",
]

# Files that say more than a list of requirements, by name.
KINDS = {
    "uv.lock": "uv_lock",
    "Pipfile.lock": "pipfile_lock",
    "poetry.lock": "poetry_lock",
    "Pipfile": "pipfile",
    "pyproject.toml": "pyproject",
    "setup.py": "setup",
}

# What Homeport adds where a project brings no version of its own.
# The order in which they are looked for: what pins everything before what pins less.
NAMED = {
    **{name: KINDS[name] for name in ("uv.lock", "Pipfile.lock")},
    **dict.fromkeys(REQUIREMENT_FILES, "file"),
    **{name: KINDS[name] for name in ("poetry.lock", "Pipfile", "pyproject.toml", "setup.py")},
}

CONSTRAINTS = ["gunicorn>=23,<28", "psycopg>=3.1,<4", "whitenoise>=6.5,<7"]


class Requirements:
    """Fills the virtual environment of one release."""

    def __init__(
        self, layout: Layout, runner: Runner, release: str, source: str, project: str, uv: str = UV
    ) -> None:
        self.uv = uv
        self.layout = layout
        self.runner = runner
        self.source = source
        self.project = project
        self.release = release
        self.venv = f"{release}/venv"
        self.spec: dict[str, Any] = layout.spec["requirements"]

    def install(self) -> str:
        """Creates the environment and installs everything; says from what."""
        python = self.layout.spec.get("python") or "/usr/bin/python3"
        self._uv(
            ["venv", "--quiet", "--no-project", "--python", python, self.venv],
            f"making an environment of Python {python}",
        )
        kind, path = self.find()
        getattr(self, f"_install_{kind}")(path)
        packages, what = [*self.spec["packages"]], "installing requirements.packages"
        if "package" in self.layout.spec["source"]:
            packages.insert(0, self.layout.spec["source"]["package"])
            what = "installing source.package and requirements.packages"
        if packages:
            self._pip(packages, what)
        installed = self._installed("*.dist-info")
        missing = [name for name in self.layout.spec["server_packages"] if not has(installed, name)]
        if missing:
            self._pip(missing, "installing what serves the app", CONSTRAINTS)
        if self.layout.spec["server"] == "asgi" and not self._installed("gunicorn/workers/gasgi.py"):
            names = self._installed("gunicorn-*.dist-info")
            found = "".join(name.removeprefix("gunicorn-").removesuffix(".dist-info") for name in names)
            raise DeployError(
                f"web.server: asgi needs gunicorn 25 or newer, but the requirements bring {found}: "
                "raise that, or leave it out of them"
            )
        return f"{kind} {os.path.relpath(path, self.source)}" if path else kind

    def find(self) -> tuple[str, str]:
        """How the project declares its dependencies: a kind and the file."""
        if self.spec.get("files"):
            for name in self.spec["files"]:
                if not self._as_app(os.path.isfile, f"{self.source}/{name}"):
                    raise DeployError(f"requirements.files: the source has no {name}")
            kind = KINDS.get(os.path.basename(self.spec["files"][0]))
            return (
                (kind, f"{self.source}/{self.spec['files'][0]}")
                if kind and len(self.spec["files"]) == 1
                else ("files", "")
            )
        folders = list(dict.fromkeys([self.source, self.project]))
        found = self._as_app(app_project.find_requirements, folders, NAMED)
        if found["kind"] in NAMED.values():
            return found["kind"], str(found["path"])
        if self.spec["packages"] or "package" in self.layout.spec["source"]:
            return "none", ""
        raise DeployError(
            "found no uv.lock, Pipfile.lock, requirements.txt, poetry.lock, Pipfile, pyproject.toml or setup.py in "
            f"{' or '.join(os.path.relpath(folder, self.source) for folder in folders)} of the source; "
            "name the files in requirements.files or the packages in requirements.packages"
        )

    def _as_app(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return self.runner.as_app("looking for requirements", work, *arguments)

    def _uv(self, words: list[str], what: str, cwd: str | None = None) -> str:
        env = {
            "UV_PROJECT_ENVIRONMENT": self.venv,
            "UV_PYTHON_INSTALL_DIR": "/opt/homeport/python",
            "VIRTUAL_ENV": self.venv,
        }
        return self.runner.run([self.uv, *words], what, cwd=cwd or self.source, env=env)

    def _pip(self, words: list[str], what: str, constraints: list[str] | None = None) -> None:
        extra = []
        if constraints:
            path = f"{self.release}/constraints.txt"
            with open(path, "w", encoding="utf-8") as stream:
                stream.write("\n".join(constraints) + "\n")
            os.chmod(path, 0o644)
            extra = ["--constraint", path]
        self._uv(["pip", "install", "--quiet", "--python", f"{self.venv}/bin/python", *extra, *words], what)

    def _installed(self, pattern: str) -> list[str]:
        """Names of what there is in the environment's folder of packages."""
        found = self._as_app(glob.glob, f"{self.venv}/lib/python*/site-packages/{pattern}")
        return [os.path.basename(str(path)) for path in found]

    def _install_none(self, _path: str) -> None:
        """Everything comes from requirements.packages or source.package."""

    def _install_files(self, _path: str) -> None:
        # with the folder before it, none looks like an option
        words = [word for name in self.spec["files"] for word in ("-r", f"./{name}")]
        self._pip(words, f"installing {', '.join(self.spec['files'])}")

    def _install_file(self, path: str) -> None:
        self._uv(
            [
                "pip",
                "install",
                "--quiet",
                "--python",
                f"{self.venv}/bin/python",
                "-r",
                os.path.basename(path),
            ],
            f"installing {os.path.relpath(path, self.source)}",
            cwd=os.path.dirname(path),
        )

    def _options(self) -> list[str]:
        options = [word for name in self.spec["extras"] for word in ("--extra", name)]
        return options + [word for name in self.spec["groups"] for word in ("--group", name)]

    def _install_uv_lock(self, path: str) -> None:
        words = [
            "sync",
            "--quiet",
            "--locked",
            "--no-dev",
            "--python",
            f"{self.venv}/bin/python",
            *self._options(),
        ]
        self._uv(words, f"installing {os.path.relpath(path, self.source)}", cwd=os.path.dirname(path))

    def _install_pyproject(self, path: str) -> None:
        folder = os.path.dirname(path)
        if "[build-system]" in self._as_app(app_project.text_of, path):
            extras = f"[{','.join(self.spec['extras'])}]" if self.spec["extras"] else ""
            groups = [word for name in self.spec["groups"] for word in ("--group", name)]
            self._pip(
                [*groups, "--editable", f"{folder}{extras}"], "installing the project in pyproject.toml"
            )
        else:
            self._pip([*self._options(), "-r", path], "installing the dependencies in pyproject.toml")

    def _install_setup(self, path: str) -> None:
        extras = f"[{','.join(self.spec['extras'])}]" if self.spec["extras"] else ""
        self._pip(["--editable", f"{os.path.dirname(path)}{extras}"], "installing the project in setup.py")

    def _install_pipfile(self, path: str) -> None:
        folder = os.path.dirname(path)
        self._uv(
            ["tool", "run", "--quiet", "pipenv", "lock", "--quiet"],
            "locking Pipfile, which has no Pipfile.lock,",
            cwd=folder,
        )
        self._install_pipfile_lock(f"{folder}/Pipfile.lock")

    def _install_pipfile_lock(self, path: str) -> None:
        try:
            lock = json.loads(self._as_app(app_project.text_of, path))
            sections = ["default", *self.spec["groups"]]
            lines = [line for section in sections for line in pipfile_requirements(lock[section])]
        except (DeployError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DeployError(f"{os.path.relpath(path, self.source)} cannot be read: {error}") from error
        self._install_lines(lines, f"installing {os.path.relpath(path, self.source)}", os.path.dirname(path))

    def _install_poetry_lock(self, path: str) -> None:
        groups = [word for name in self.spec["groups"] for word in ("--with", name)]
        words = ["export", *groups, *(word for name in self.spec["extras"] for word in ("--extras", name))]
        tool = ["tool", "run", "--quiet", "--with", "poetry-plugin-export", "poetry"]
        out = self._uv([*tool, *words], "reading poetry.lock", cwd=os.path.dirname(path))
        self._install_lines(out.splitlines(), "installing poetry.lock", os.path.dirname(path))

    def _install_lines(self, lines: list[str], what: str, folder: str) -> None:
        name = f"{self.release}/requirements.txt"
        with open(name, "w", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
        os.chmod(name, 0o644)
        self._uv(
            ["pip", "install", "--quiet", "--python", f"{self.venv}/bin/python", "-r", name], what, cwd=folder
        )


def has(installed: list[str], requirement: str) -> bool:
    """Whether a package is among the ``dist-info`` folders of an environment, of psycopg also an older one."""
    name = re.sub(r"[-_.]+", "_", re.split(r"[\[<>=!~ ;@]", requirement)[0]).lower()
    names = (f"{name}-", "psycopg2") if requirement.startswith("psycopg") else (f"{name}-",)
    return any(entry.startswith(names) for entry in installed)


def pipfile_requirements(section: dict[str, dict[str, Any]]) -> list[str]:
    """The packages of one section of a Pipfile.lock, as lines of a requirements file."""
    lines = []
    for name, pin in sorted(section.items()):
        extras = f"[{','.join(pin['extras'])}]" if pin.get("extras") else ""
        marker = f" ; {pin['markers']}" if pin.get("markers") else ""
        hashes = "".join(f" --hash={value}" for value in pin.get("hashes", []))
        if "git" in pin:
            subdirectory = f"#subdirectory={pin['subdirectory']}" if pin.get("subdirectory") else ""
            lines.append(f"{name}{extras} @ git+{pin['git']}@{pin['ref']}{subdirectory}{marker}")
        elif "path" in pin or "file" in pin:
            lines.append(f"{'-e ' if pin.get('editable') else ''}{pin.get('path') or pin['file']}{extras}")
        else:
            lines.append(f"{name}{extras}{pin.get('version', '')}{marker}{hashes}")
    return lines
