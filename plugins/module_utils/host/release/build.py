# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Building a release: code, dependencies, configuration, build commands, static files. Nothing live is touched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible_collections.homeport.django.plugins.module_utils.common.addresses import address_of
from ansible_collections.homeport.django.plugins.module_utils.common.env_file import exports
from ansible_collections.homeport.django.plugins.module_utils.common.paths import LIBRARY
from ansible_collections.homeport.django.plugins.module_utils.host import claims
from ansible_collections.homeport.django.plugins.module_utils.host.layout import (
    BUILD,
    COMMAND,
    DeployError,
    Layout,
    Runner,
    interpreter,
    remove,
)
from ansible_collections.homeport.django.plugins.module_utils.host.programs.command import MARK
from ansible_collections.homeport.django.plugins.module_utils.host.release import project as app_project
from ansible_collections.homeport.django.plugins.module_utils.host.release.build_remedy import build_remedy
from ansible_collections.homeport.django.plugins.module_utils.host.release.git_access import git_access
from ansible_collections.homeport.django.plugins.module_utils.host.release.hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.host.release.own_data import doubts
from ansible_collections.homeport.django.plugins.module_utils.host.release.probe import probe
from ansible_collections.homeport.django.plugins.module_utils.host.release.requirements import (
    Requirements,
    node_folder,
)
from ansible_collections.homeport.django.plugins.module_utils.host.release.source import Source
from ansible_collections.homeport.django.plugins.module_utils.host.release.static_files import publish
from ansible_collections.homeport.django.plugins.module_utils.host.transcript import Transcript

SMALLEST_SPACE = 400 * 1024 * 1024


def fingerprint(layout: Layout, revision: str) -> str:
    """What tells one release from another: the code, how it is built, and its configuration."""
    digest = hashlib.sha256()
    recipe = {key: layout.spec.get(key) for key in RECIPE}
    recipe["subdirectory"] = layout.spec["source"].get("subdirectory", "")
    recipe["interpreter"] = interpreter(layout.spec.get("python") or "")
    recipe["hooks"] = [layout.spec["hooks"][step] for step in ("before_build", "after_build")]
    if layout.spec.get("databases"):  # the record has them, and their addresses may be there already
        recipe["databases"] = sorted(layout.spec["databases"])
    digest.update(json.dumps([revision, recipe], sort_keys=True, default=str).encode())
    for folder, folders, files in os.walk(layout.config):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            digest.update(os.path.relpath(path, layout.config).encode() + b"\0")
            with open(path, "rb") as stream:
                digest.update(hashlib.sha256(stream.read()).digest())
    return digest.hexdigest()


# Fields of an app that change what a release contains.
RECIPE = (
    "manage",
    "settings",
    "overlay",
    "python",
    "node",
    "requirements",
    "server_packages",
    "build",
    "static",
    "media",
    "shared",
    "release_environment",
    "file_paths",
    "application",
    "server",
)


# Of an app's environment, what is secret beside the variables of the vault (``secret_names``).
SECRET_NAMES = re.compile(r"SECRET|PASSW|TOKEN|_KEY\b")


def secrets_of(layout: Layout, folder: str) -> list[str]:
    """What no output of the build of the release in ``folder`` may show."""
    names = layout.spec.get("secret_names", ())
    environment = {**exports(f"{layout.config}/env"), **own_environment(layout.spec, folder)}
    values = [value for name, value in environment.items() if name in names or SECRET_NAMES.search(name)]
    passwords = [password for value in environment.values() for password in passwords_in(value)]
    return [*values, *passwords, *layout.secrets.values()]


def own_environment(spec: Mapping[str, Any], folder: str) -> dict[str, str]:
    """Of the environment, what contains the release's own folder or name."""
    asked = spec["release_environment"].items()
    return {key: value.format(release=folder, id=os.path.basename(folder)) for key, value in asked}


def passwords_in(value: str) -> list[str]:
    """Those of the addresses in a value, also as Django has them: a command may print its settings."""
    found = []
    for address in re.split(r"[,;\s]+(?=[\w+.-]+://)", value):
        with contextlib.suppress(ValueError):
            password = urlsplit(address).password or ""
            found += [password, unquote(password)]
    return list(filter(None, dict.fromkeys(found)))


def check_named(settings: str, manage: str) -> None:
    """Raises unless the settings module is known (``settings_module``)."""
    command = "manage.py" if manage.startswith("python manage.py") else f"The command {manage}"
    if not settings:
        raise DeployError(f"{command} names no settings module; name it in settings")
    if "," in settings:
        names = settings.replace(",", ", ")
        raise DeployError(f"{command} names several settings modules ({names}): name one in settings")


class Build:
    """One new release of one app."""

    def __init__(self, layout: Layout, revision: str, mark: str, upload: str | None) -> None:
        self.layout = layout
        self.runner = Runner(layout, BUILD)
        self.revision = revision
        self.mark = mark
        self.upload = upload
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.id = f"{stamp}-{mark[:8]}"
        self.folder = f"{layout.releases}/{self.id}"
        self.spec = layout.spec
        self.started = time.monotonic()
        self.record: dict[str, Any] = {"id": self.id, "revision": revision, "fingerprint": mark}
        self.source = ""  # the folder of the code below src
        self.code = Source(layout, self.runner)
        self.record["source"] = address_of(self.spec["source"])
        path = f"{layout.logs}/build-{self.id}.log"
        self.transcript = Transcript(path, layout.ids()[1], secrets_of(layout, self.folder), MARK)

    def fetch(self) -> None:
        """The folder of the release, with its code. A failure leaves no folder."""
        self.check_space()
        self.sweep()
        with self.whole():
            self.fetch_code()

    def build(self) -> dict[str, Any]:
        """Completes the release and returns its record. A failure leaves no folder."""
        with self.whole():
            self.complete()
        self.record["built"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write("release.json", json.dumps(self.record, indent=1, sort_keys=True) + "\n")
        return self.record

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        try:
            with self.transcript as self.layout.transcript:
                yield
        except BaseException as error:
            remove(self.folder, strict=False)
            if isinstance(error, DeployError) and os.path.exists(self.transcript.path):
                what, _end, why = str(error).partition("\n")
                shown = f"logs.yml -e app={self.layout.name} -e process=build, or {self.transcript.path} on the host"
                # reports show the last line as the reason
                raise DeployError(f"{what}\nAll output: {shown}\n{why}".rstrip("\n")) from error
            raise
        finally:
            self.layout.transcript = None

    def check_space(self) -> None:
        free = shutil.disk_usage(self.layout.releases)
        needed = max(SMALLEST_SPACE, 2 * self.layout.record(self.layout.current).get("bytes", 0))
        if free.free < needed:
            raise DeployError(
                f"Not enough disk space to build: {self.layout.releases} has {free.free >> 20} MiB free and "
                f"{needed >> 20} MiB are needed; free some, or lower keep_releases"
            )

    def sweep(self) -> None:
        """Removes what an interrupted build has left."""
        complete = set(self.layout.known_releases())
        for name in os.listdir(self.layout.releases):
            path = f"{self.layout.releases}/{name}"
            if path not in complete:
                remove(path, strict=False)

    def step(self, name: str) -> None:
        """Notes how long the step took that ends here."""
        now = time.monotonic()
        self.record.setdefault("seconds", {})[name] = round(now - self.started, 2)
        self.started = now

    def complete(self) -> None:
        layout, spec = self.layout, self.spec
        project, answer = self.prepare()
        self.keep_data(answer)
        self.record.update({key.lower(): value for key, value in answer.items()})
        self.record["doubts"] = self.doubts(answer)
        self.record["interpreter"] = interpreter(spec.get("python") or "")
        self.record["application"] = self.find_application(answer, project)
        self.write("config/application", self.record["application"] + "\n")
        self.check_celery(answer, project)
        self.record["static_root"] = self.find_static(answer, self.source)
        if self.record["static_root"]:
            root, inside = self.record["static_root"], f"{os.path.realpath(layout.releases)}/"
            self.runner.as_app("Publishing static files", app_project.unlinked, root, inside)
            if spec["static"]["precompress"]:
                self.runner.as_app("Compressing static files", app_project.precompress, root, seconds=COMMAND)
            real = self.runner.as_app("Publishing static files", os.path.realpath, root)
            publish(f"{real}", layout, time.monotonic() + self.runner.left())
        run_hooks(layout, self.folder, "after_build", self.revision)
        self.record["bytes"] = self.runner.as_app(
            "Measuring the release", app_project.folder_size, self.folder
        )
        self.step("publish")

    def fetch_code(self) -> None:
        layout, spec = self.layout, self.spec
        self.started = time.monotonic()
        # The release itself is root's: what root writes there, code that the build runs cannot have replaced
        # by a link. Only src, venv and static are the app's.
        os.mkdir(self.folder, 0o750)
        os.chown(self.folder, 0, layout.ids()[1])
        layout.own_folder(f"{self.folder}/venv")
        fetched = f"{self.folder}/src"
        self.code.fetch(self.revision, fetched, self.upload)
        self.record["subject"] = self.code.subject
        self.step("fetch")
        subdirectory = spec["source"].get("subdirectory")
        self.source = f"{fetched}/{subdirectory}" if subdirectory else fetched
        if not self.runner.as_app("Inspecting the source", os.path.isdir, self.source):
            raise DeployError(f"source.subdirectory: the source has no folder {subdirectory}")

    def prepare(self, plan: bool = False) -> tuple[str, dict[str, Any]]:
        """Dependencies and settings: the project's folder, and what the project says of itself.

        For a plan it runs nothing of the app but its settings, and leaves no trace outside of the release.
        """
        layout, spec, source = self.layout, self.spec, self.source
        if not plan:
            run_hooks(layout, self.folder, "before_build", self.revision, source)
        self.add_configuration(source)
        manage, project, settings = self.find_manage(source)
        requirements = Requirements(layout, self.runner, self.folder, source, project)
        self.record["requirements"] = requirements.install()
        if spec.get("node") and not plan:
            requirements.install_node()
        if layout.current:
            venvs = f"{layout.current}/venv", f"{self.folder}/venv"
            self.runner.as_app("Linking compiled files", app_project.link_bytecode, *venvs)
        self.step("requirements")
        self.write_environment(manage, project, source, settings)
        self.keep_shared(source, plan=plan)
        for command in [] if plan else spec["build"]:
            self.command(command, source)
        if self.code.history:
            self.runner.as_app(
                "Removing the git repository", shutil.rmtree, self.code.history, seconds=COMMAND
            )
        self.step("commands")
        answer = probe(layout, self.runner, self.folder, collect=not plan)
        self.record["databases"] = sorted(spec["databases"])
        self.step("settings and static files")
        return project, answer

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = f"{self.folder}/{name}"
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)

    def add_configuration(self, source: str) -> None:
        """The release keeps its own copy, so that what runs never sees a later change."""
        shutil.copytree(self.layout.config, f"{self.folder}/config", symlinks=True)
        gid = self.layout.ids()[1]
        for folder, _folders, files in os.walk(f"{self.folder}/config"):
            os.chown(folder, 0, gid)
            os.chmod(folder, 0o750)
            for name in files:
                os.chown(f"{folder}/{name}", 0, gid)
        for number, path in enumerate(self.spec["file_paths"]):
            with open(f"{self.layout.config}/files/{number}", "rb") as kept:
                self.runner.as_app("Writing files", app_project.place, path, source, kept)

    def find_manage(self, source: str) -> tuple[str, str, str]:
        """The management command, the folder it is run in, and the settings module that it names."""
        environment = exports(f"{self.folder}/config/env")
        arguments = source, self.spec.get("manage") or "", "package" in self.spec["source"], environment
        found = self.runner.as_app("Looking for manage.py", app_project.find_manage, *arguments)
        if not claims.fits(found, [str]) or len(found) != 3:
            raise DeployError("Looking for manage.py: the answer is invalid")
        return found[0], found[1], found[2]

    def write_environment(self, manage: str, project: str, source: str, named: str) -> None:
        """What only the release knows of its environment, and manage.py as a command of its own."""
        os.makedirs(f"{self.folder}/bin", exist_ok=True)
        os.makedirs(f"{self.folder}/static", exist_ok=True)
        os.chown(f"{self.folder}/static", *self.layout.ids())
        script = f'#!/bin/sh\ncd {shlex.quote(project)} || exit 1\nexec {manage} "$@"\n'
        self.write("bin/manage.py", script, mode=0o755)
        values = own_environment(self.spec, self.folder)
        settings = self.spec.get("settings") or named
        check_named(settings, manage)
        values.update(
            HOMEPORT_APP=self.layout.name,
            HOMEPORT_PROJECT=project,
            HOMEPORT_PACKAGE=settings.partition(".")[0],
            VIRTUAL_ENV=f"{self.folder}/venv",
            DJANGO_SETTINGS_MODULE="homeport_settings" if self.spec["overlay"] else settings,
        )
        if self.spec["overlay"]:
            values["HOMEPORT_BASE_SETTINGS"] = settings
        self.record["settings"] = settings
        lines = [f"export {key}={shlex.quote(value)}\n" for key, value in sorted(values.items())]
        node = f"{node_folder(self.layout)}/bin:" if self.spec.get("node") else ""
        lines.append(f'export PATH={self.folder}/bin:{self.folder}/venv/bin:{node}"$PATH"\n')
        # Each user of it finds the project's modules, and those next to it where manage.py has a folder of its own.
        folders = [f"{self.folder}/config"] if self.spec["overlay"] else []
        words = project, source, values["HOMEPORT_PACKAGE"]
        found = self.runner.as_app("Looking for modules", app_project.import_folders, *words)
        if not claims.fits(found, [str]):
            raise DeployError("Looking for modules: the answer is invalid")
        self.record["celery_settings"] = self.celery_settings(found, settings)
        folders += found
        path = ":".join(shlex.quote(folder) for folder in folders)
        lines.append(f'export PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}"\n')
        self.write("config/release.env", "".join(lines), mode=0o640)
        os.chown(f"{self.folder}/config/release.env", 0, self.layout.ids()[1])

    def celery_settings(self, folders: list[str], settings: str) -> list[str]:
        """Processes whose Celery application would have other settings, as far as nobody has chosen them."""
        if self.spec.get("settings") or self.spec["overlay"]:
            return []
        differing = []
        for process, application in self.spec["celery"].items():
            words = folders, application or settings.partition(".")[0], exports(f"{self.folder}/config/env")
            found = self.runner.as_app("Looking for Celery", app_project.celery_settings, *words)
            if not claims.fits(found, [str]) or len(found) != 2:
                raise DeployError("Looking for Celery: the answer is invalid")
            if found[1] not in ("", settings):
                differing.append(
                    f"processes.{process}: {found[0]} names the settings {found[1]}, but the process runs with "
                    f"{settings}, which manage.py names: choose with env: {{DJANGO_SETTINGS_MODULE: {found[1]}}} there"
                )
        return differing

    def command(self, command: str, source: str) -> None:
        # what it prints stays in its order
        script = f"exec 2>&1\ncd {shlex.quote(source)}\n{command}"
        with git_access(self.layout) as env:
            argv = [f"{LIBRARY}/run", self.folder, "sh", "-euc", script]
            try:
                self.runner.run(argv, f"The build command '{command}'", env=env)
            except DeployError as error:
                raise DeployError(f"{error}{build_remedy(error.output)}") from None

    def keep_shared(self, source: str, plan: bool = False) -> None:
        """What the app names itself, before build commands look for it."""
        if self.spec["shared"] and not plan:
            self.layout.own_folder(f"{self.layout.shared}/files")
        for path in self.spec["shared"]:
            name = path.rstrip("/")
            kept = f"{self.layout.shared}/files/{name}"
            if plan:
                self.runner.as_app(f"shared.{name}", app_project.borrow, f"{source}/{name}", kept)
            else:
                self.runner.as_app(f"shared.{name}", app_project.keep, source, path, kept, seconds=COMMAND)

    def borrow_databases(self, answer: dict[str, Any]) -> None:
        """Has a plan look at the app's own SQLite files, where they survive releases."""
        for name in answer["sqlite"]:
            self.in_source(name, app_project.borrow, f"data/{os.path.basename(name)}")

    def keep_data(self, answer: dict[str, Any]) -> None:
        """Data that the project keeps next to its code moves to where it survives the release."""
        if answer["MEDIA_ROOT"] and self.spec["media"]["kind"] == "local":
            self.in_source(answer["MEDIA_ROOT"], app_project.link_shared, "media", True)
        for name in answer["sqlite"]:
            self.in_source(name, app_project.link_shared, f"data/{os.path.basename(name)}", False)

    def doubts(self, answer: dict[str, Any]) -> list[str]:
        return doubts(self.spec, answer, os.path.realpath(f"{self.folder}/src"), self.layout.shared)

    def in_source(self, path: str, work: Callable[..., None], kept: str, *arguments: Any) -> None:
        """Has the app's user do something with a path that leads into the source, and its place in ``shared``."""
        words = f"{self.folder}/src", path, work, f"{self.layout.shared}/{kept}", *arguments
        self.runner.as_app(f"Linking shared/{kept}", app_project.within, *words, seconds=COMMAND)

    def find_application(self, answer: dict[str, Any], project: str) -> str:
        """module:callable for gunicorn."""
        if self.spec.get("application"):
            return str(self.spec["application"])
        server = self.spec["server"]
        hints = server, answer[f"{server.upper()}_APPLICATION"], answer["ROOT_URLCONF"]
        what = "Looking for the application"
        found = self.runner.as_app(what, app_project.find_application, project, *hints)
        if not isinstance(found, str) or not re.fullmatch(r"[\w.]+:[\w.]+", found):
            raise DeployError(f"{what}: {found} is not a module and its callable; name it in web.application")
        return found

    def check_celery(self, answer: dict[str, Any], project: str) -> None:
        """Raises where a worker would not find the project's Celery application."""
        package = self.record["settings"].partition(".")[0]
        lost = sorted(name for name, application in self.spec["celery"].items() if not application)
        if not lost:
            return
        beside = [self.record["application"].partition(":")[0], answer["ROOT_URLCONF"]]
        words = [project, self.source], package, beside
        found = self.runner.as_app("Looking for Celery", app_project.celery_elsewhere, *words)
        if not isinstance(found, str) or not re.fullmatch(r"[\w.]*", found):
            raise DeployError("Looking for Celery: the answer is invalid")
        if found:
            raise DeployError(
                f"processes.{lost[0]}.application: the settings' package {package} has no Celery application; "
                f"name the project's: {found}"
            )

    def find_static(self, answer: dict[str, Any], source: str) -> str:
        static = self.spec["static"]
        if static["server"] == "none":
            return ""
        if static.get("path"):
            path = f"{source}/{static['path']}"
            if not self.runner.as_app("Looking for static files", os.path.isdir, path):
                raise DeployError(f"static.path: the source has no folder {static['path']}")
            return path
        root = os.path.normpath(answer["STATIC_ROOT"]) if answer["STATIC_ROOT"] else ""
        real = self.runner.as_app("Looking for static files", app_project.real_folder, root)
        if not real:
            return ""
        if not f"{real}".startswith(f"{os.path.realpath(self.folder)}/"):
            raise DeployError(
                f"The settings have STATIC_ROOT {root}, which all releases would share: take it from the "
                "environment variable STATIC_ROOT, or name a folder of the project"
            )
        return root
