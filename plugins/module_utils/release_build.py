# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""Building a release: code, dependencies, configuration, build commands, static files. Nothing live is touched."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.homeport.django.plugins.module_utils.release_hooks import run_hooks
from ansible_collections.homeport.django.plugins.module_utils.release_layout import (
    LIBRARY,
    DeployError,
    Layout,
    Runner,
)
from ansible_collections.homeport.django.plugins.module_utils.release_probe import MARK, PROBE
from ansible_collections.homeport.django.plugins.module_utils.release_requirements import Requirements
from ansible_collections.homeport.django.plugins.module_utils.release_source import Source, give

SMALLEST_SPACE = 400 * 1024 * 1024
COMPRESSIBLE = (
    ".css",
    ".js",
    ".mjs",
    ".json",
    ".svg",
    ".html",
    ".txt",
    ".xml",
    ".map",
    ".wasm",
    ".ico",
    ".ttf",
    ".otf",
)
SMALLEST_COMPRESSIBLE = 512
NOT_SEARCHED = {
    ".git",
    "node_modules",
    "venv",
    ".venv",
    "site-packages",
    "tests",
    "test",
    "docs",
    "examples",
    "example",
}


def fingerprint(layout: Layout, revision: str) -> str:
    """What tells one release from another: the code, how it is built, and its configuration."""
    digest = hashlib.sha256()
    recipe = {key: layout.spec.get(key) for key in RECIPE}
    recipe["subdirectory"] = layout.spec["source"].get("subdirectory", "")
    recipe["hooks"] = [layout.spec["hooks"][moment] for moment in ("before_build", "after_build")]
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


class Build:
    """One new release of one app."""

    def __init__(self, layout: Layout, revision: str, mark: str, upload: str | None) -> None:
        self.layout = layout
        self.runner = Runner(layout)
        self.revision = revision
        self.mark = mark
        self.upload = upload
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.id = f"{stamp}-{mark[:8]}"
        self.folder = f"{layout.releases}/{self.id}"
        self.spec = layout.spec
        self.started = time.monotonic()
        self.record: dict[str, Any] = {"id": self.id, "revision": revision, "fingerprint": mark}

    def run(self) -> dict[str, Any]:
        """Builds the release and returns its record. A failed build leaves no folder behind."""
        self.check_space()
        self.sweep()
        try:
            self.build()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.record["built"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write("release.json", json.dumps(self.record, indent=1, sort_keys=True) + "\n")
        return self.record

    def check_space(self) -> None:
        free = shutil.disk_usage(self.layout.releases)
        needed = max(SMALLEST_SPACE, 2 * self.layout.record(self.layout.current).get("bytes", 0))
        if free.free < needed:
            raise DeployError(
                f"no space left to build: {self.layout.releases} has {free.free >> 20} MiB free and "
                f"{needed >> 20} MiB are needed; free some, or lower keep_releases"
            )

    def sweep(self) -> None:
        """Takes away what a build that was cut off left behind."""
        complete = set(self.layout.known_releases())
        for name in os.listdir(self.layout.releases):
            path = f"{self.layout.releases}/{name}"
            if path not in complete:
                shutil.rmtree(path, ignore_errors=True)

    def step(self, name: str) -> None:
        """Notes how long the step took that ends here."""
        now = time.monotonic()
        self.record.setdefault("seconds", {})[name] = round(now - self.started, 2)
        self.started = now

    def build(self) -> None:
        layout, spec = self.layout, self.spec
        source, project, answer = self.prepare()
        self.keep_data(answer)
        self.record.update({key.lower(): value for key, value in answer.items()})
        self.record["application"] = self.find_application(answer, project)
        self.write("config/application", self.record["application"] + "\n")
        self.record["static_root"] = self.find_static(answer, source)
        if self.record["static_root"]:
            if spec["static"]["precompress"] and spec["static"]["server"] == "nginx":
                as_app(layout, precompress, self.record["static_root"])
            publish(self.record["static_root"], layout)
        run_hooks(layout, self.folder, "after_build", self.revision)
        self.record["bytes"] = folder_size(self.folder)
        self.step("publish")

    def prepare(self, trial: bool = False) -> tuple[str, str, dict[str, Any]]:
        """Code, dependencies and settings: the folders of source and project, and what the project says of itself.

        A trial runs nothing of the app's own but its settings, and leaves no trace outside of the release.
        """
        layout, spec = self.layout, self.spec
        self.started = time.monotonic()
        # The release itself is root's: what root writes there, code that the build runs cannot have replaced
        # by a link. Only src, venv and static are the app's.
        os.mkdir(self.folder, 0o750)
        os.chown(self.folder, 0, layout.ids()[1])
        layout.own_folder(f"{self.folder}/venv")
        fetched = f"{self.folder}/src"
        Source(layout, self.runner).fetch(self.revision, fetched, self.upload)
        self.step("fetch")
        source = (
            f"{fetched}/{spec['source']['subdirectory']}" if spec["source"].get("subdirectory") else fetched
        )
        if not os.path.isdir(source):
            raise DeployError(
                f"source.subdirectory: the source has no folder {spec['source']['subdirectory']}"
            )
        if not trial:
            run_hooks(layout, self.folder, "before_build", self.revision, source)
        self.add_configuration(source)
        manage, project = self.find_manage(source)
        self.record["requirements"] = Requirements(
            layout, self.runner, self.folder, source, project
        ).install()
        self.step("requirements")
        self.write_environment(manage, project, source)
        self.keep_shared(source, trial=trial)
        for command in [] if trial else spec["build"]:
            self.command(command, source)
        self.step("commands")
        answer = self.probe(collect=not trial)
        self.step("settings and static files")
        return source, project, answer

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
        root = os.path.realpath(source)
        for number, path in enumerate(self.spec["file_paths"]):
            target = os.path.join(root, path)
            if not f"{os.path.realpath(os.path.dirname(target))}/".startswith(f"{root}/"):
                raise DeployError(f"files.{path} leads out of the source through a link")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.lexists(target):
                os.unlink(target)
            # never through a link that code of the app may have put there in between
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
            with (
                os.fdopen(descriptor, "wb") as stream,
                open(f"{self.layout.config}/files/{number}", "rb") as kept,
            ):
                shutil.copyfileobj(kept, stream)
        if self.spec["file_paths"]:
            give(root, *self.layout.ids())

    def find_manage(self, source: str) -> tuple[str, str]:
        """The management command and the folder it is run in."""
        given = self.spec.get("manage")
        if given:
            name, *arguments = shlex.split(given)
            if os.path.basename(name) != "manage.py":
                return given, source
            path = os.path.join(source, name)
            if not os.path.isfile(path):
                raise DeployError(f"manage: the source has no {name}")
            return shlex.join(["python", "manage.py", *arguments]), os.path.dirname(path)
        if "package" in self.spec["source"]:
            return "python -m django", source
        found = search(source, "manage.py", depth=4)
        nearest = [path for path in found if path.count("/") == min(other.count("/") for other in found)]
        if not nearest:
            raise DeployError("the source has no manage.py; name the management command in manage")
        if len(nearest) > 1:
            names = ", ".join(os.path.relpath(path, source) for path in nearest)
            raise DeployError(f"the source has several manage.py ({names}); name one in manage")
        return "python manage.py", os.path.dirname(nearest[0])

    def write_environment(self, manage: str, project: str, source: str) -> None:
        """What only the release knows of its environment, and manage.py as a command of its own."""
        os.makedirs(f"{self.folder}/bin", exist_ok=True)
        os.makedirs(f"{self.folder}/static", exist_ok=True)
        os.chown(f"{self.folder}/static", *self.layout.ids())
        script = f'#!/bin/sh\ncd {shlex.quote(project)} || exit 1\nexec {manage} "$@"\n'
        self.write("bin/manage.py", script, mode=0o755)
        values = {
            key: value.format(release=self.folder, id=self.id)
            for key, value in self.spec["release_environment"].items()
        }
        settings = self.spec.get("settings") or settings_module(f"{project}/manage.py")
        if not settings:
            raise DeployError("manage.py names no settings module; name it in settings")
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
        lines.append(f'export PATH={self.folder}/bin:{self.folder}/venv/bin:"$PATH"\n')
        # Whoever runs it finds the project's modules, and those beside it where manage.py has a folder of its own.
        folders = [f"{self.folder}/config"] if self.spec["overlay"] else []
        folders += list(dict.fromkeys([project, source]))
        path = ":".join(shlex.quote(folder) for folder in folders)
        lines.append(f'export PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}"\n')
        self.write("config/release.env", "".join(lines), mode=0o640)
        os.chown(f"{self.folder}/config/release.env", 0, self.layout.ids()[1])

    def command(self, command: str, source: str) -> None:
        argv = [f"{LIBRARY}/run", self.folder, "sh", "-euc", f"cd {shlex.quote(source)}\n{command}"]
        self.runner.run(argv, f"the build command '{command}'")

    def probe(self, collect: bool = True) -> dict[str, Any]:
        live = self.layout.record(self.layout.current)
        question = {
            "collect": collect and self.spec["static"]["collect"] and self.spec["static"]["server"] != "none",
            "mark": MARK,
            "release": self.folder,
            "static_digest": live.get("static_digest", "")
            if os.path.isdir(live.get("static_root") or "")
            else "",
        }
        try:
            out = self.runner.in_release(
                self.folder, ["python", "-c", PROBE, json.dumps(question)], "loading the project"
            )
        except DeployError as error:
            if "STATIC_ROOT is not set" in str(error) or "without having set the STATIC_ROOT" in str(error):
                raise DeployError(
                    "the settings have no STATIC_ROOT, so static files cannot be collected: set it from the "
                    "environment variable STATIC_ROOT, or set overlay: true or static: none for this app"
                ) from error
            raise
        lines = [line for line in out.splitlines() if line.startswith(MARK)]
        answer: dict[str, Any] = json.loads(lines[-1][len(MARK) :])
        if answer.get("static_digest") and answer["static_digest"] == question["static_digest"]:
            as_app(self.layout, link_tree, live["static_root"], answer["STATIC_ROOT"])
        declared = self.spec["static"]["url"]
        actual = answer["STATIC_URL"]
        if (
            self.spec["static"]["server"] == "nginx"
            and actual
            and not actual.startswith("http")
            and "/" + actual.lstrip("/") != declared
        ):
            raise DeployError(
                f"the settings have STATIC_URL {actual}, but static.url is {declared}; make them the same"
            )
        return answer

    def keep_shared(self, source: str, trial: bool = False) -> None:
        """What the app names itself, before build commands look for it."""
        for path in self.spec["shared"]:
            name = path.rstrip("/")
            here, kept = f"{source}/{name}", f"{self.layout.shared}/files/{name}"
            if trial:
                borrow(here, kept)
            else:
                self.link_shared(here, kept, is_folder(source, path))

    def borrow_databases(self, answer: dict[str, Any]) -> None:
        """Has a trial look at the app's own SQLite files, where they survive releases."""
        for name in answer["sqlite"]:
            if os.path.realpath(name).startswith(os.path.realpath(f"{self.folder}/src") + "/"):
                borrow(name, f"{self.layout.shared}/data/{os.path.basename(name)}")

    def keep_data(self, answer: dict[str, Any]) -> None:
        """Data that the project keeps beside its code moves to where it survives the release."""
        inside = os.path.realpath(f"{self.folder}/src") + "/"
        media = answer["MEDIA_ROOT"]
        if media and self.spec["media"]["kind"] == "local" and os.path.realpath(media).startswith(inside):
            self.link_shared(media.rstrip("/"), f"{self.layout.shared}/media", folder=True)
        for name in answer["sqlite"]:
            if os.path.realpath(name).startswith(inside):
                self.link_shared(name, f"{self.layout.shared}/data/{os.path.basename(name)}", folder=False)

    def link_shared(self, path: str, kept: str, folder: bool) -> None:
        """Replaces ``path`` by a link to ``kept``; what the source brings is taken over once, never again."""
        if os.path.islink(path) and os.path.realpath(path) == os.path.realpath(kept):
            return
        uid, gid = self.layout.ids()
        if not os.path.isdir(os.path.dirname(kept)):
            os.makedirs(os.path.dirname(kept), mode=0o750)
            os.chown(os.path.dirname(kept), uid, gid)
        if folder:
            self.layout.own_folder(kept)
        if os.path.isdir(path) and not os.path.islink(path):
            for name in os.listdir(path):
                if not os.path.lexists(f"{kept}/{name}"):
                    subprocess.run(["cp", "-a", f"{path}/{name}", f"{kept}/{name}"], check=True)
            shutil.rmtree(path)
        elif os.path.lexists(path):
            if not os.path.lexists(kept):
                subprocess.run(["cp", "-a", path, kept], check=True)
            os.unlink(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(kept, path)

    def find_application(self, answer: dict[str, Any], project: str) -> str:
        """module:callable for gunicorn."""
        given = self.spec.get("application")
        if given:
            return str(given)
        server = self.spec["server"]
        dotted = answer[f"{server.upper()}_APPLICATION"]
        if dotted:
            module, _dot, name = dotted.rpartition(".")
            return f"{module}:{name}"
        package = answer["ROOT_URLCONF"].rpartition(".")[0]
        if package and os.path.isfile(f"{project}/{package.replace('.', '/')}/{server}.py"):
            return f"{package}.{server}:application"
        found = search(project, f"{server}.py", depth=3)
        if len(found) == 1:
            module = os.path.relpath(found[0], project)[:-3].replace("/", ".")
            return f"{module}:application"
        raise DeployError(
            f"cannot tell where the {server.upper()} application is; name it in web.application"
        )

    def find_static(self, answer: dict[str, Any], source: str) -> str:
        static = self.spec["static"]
        if static["server"] == "none":
            return ""
        if static.get("path"):
            path = f"{source}/{static['path']}"
            if not os.path.isdir(path):
                raise DeployError(f"static.path: the source has no folder {static['path']}")
            return path
        root = answer["STATIC_ROOT"]
        if not os.path.isdir(root or "/nonexistent"):
            return ""
        if not os.path.realpath(root).startswith(f"{os.path.realpath(self.folder)}/"):
            raise DeployError(
                f"the settings have STATIC_ROOT {root}, which all releases would share: take it from the "
                "environment variable STATIC_ROOT, or name a folder of the project"
            )
        return str(root)


def is_folder(source: str, path: str) -> bool:
    """Whether a shared path is a folder; one that the source does not bring is, unless its name has an ending."""
    found = os.path.join(source, path)
    return (
        os.path.isdir(found)
        if os.path.exists(found)
        else path.endswith("/") or "." not in os.path.basename(path)
    )


def borrow(path: str, kept: str) -> None:
    """Replaces ``path`` by a link to ``kept`` where that exists."""
    if not os.path.lexists(kept):
        return
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(kept, path)


def settings_module(manage: str) -> str:
    """The settings module that a manage.py names."""
    try:
        with open(manage, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
    except OSError:
        return ""
    found = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*(?:,|\]\s*=)\s*['\"]([\w.]+)['\"]", text)
    return found[1] if found else ""


def search(folder: str, name: str, depth: int) -> list[str]:
    """Files called ``name`` at most ``depth`` folders down, without tests, docs and installed packages."""
    found = []
    base = folder.rstrip("/").count("/")
    for path, folders, files in os.walk(folder):
        folders[:] = [] if path.count("/") - base >= depth - 1 else sorted(set(folders) - NOT_SEARCHED)
        if name in files:
            found.append(os.path.join(path, name))
    return found


def as_app(layout: Layout, function: Callable[..., None], *arguments: str) -> None:
    """Calls a function as the app's user: folders that the app can write to are no place for root to write."""
    identity = Runner(layout).identity()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(identity["extra_groups"])
            os.setgid(identity["group"])
            os.setuid(identity["user"])
            os.umask(identity["umask"])
            function(*arguments)
            os._exit(0)
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode()[:2000])
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
        problem = stream.read()
    if os.waitpid(child, 0)[1]:
        raise DeployError(f"{function.__name__.replace('_', ' ')} of the static files failed: {problem}")


def precompress(root: str) -> None:
    """Adds .gz and .br beside every file that is worth it and has none yet."""
    brotli = shutil.which("brotli")
    missing = []
    for folder, _folders, files in os.walk(root):
        present = set(files)
        for name in files:
            path = os.path.join(folder, name)
            if not name.endswith(COMPRESSIBLE) or os.path.getsize(path) < SMALLEST_COMPRESSIBLE:
                continue
            if f"{name}.gz" not in present:
                with open(path, "rb") as plain, gzip.GzipFile(f"{path}.gz", "wb", 9, mtime=0) as packed:
                    shutil.copyfileobj(plain, packed)
            if brotli and f"{name}.br" not in present:
                missing.append(path)
    for start in range(0, len(missing), 200):
        subprocess.run([str(brotli), "--keep", "--quality=9", *missing[start : start + 200]], check=True)


def publish(root: str, layout: Layout) -> None:
    """Adds a release's static files to those that the web server reads, beside the other releases' files.

    Pages of the release that is live and of the one that follows it both find theirs, before and after
    the switch. The files are hard links: they cost no space.
    """
    uid, gid = layout.ids()[0], layout.web_gid()
    inside = os.path.realpath(layout.releases) + "/"
    for folder, _folders, files in os.walk(root):
        target = os.path.join(layout.static, os.path.relpath(folder, root))
        if not os.path.isdir(target):
            os.makedirs(target)
        os.chown(target, 0, gid)  # root's, so that the app cannot lead root elsewhere by a link
        os.chmod(target, 0o2751)  # the app passes through to the files, which it owns
        for name in files:
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            found = os.lstat(real) if os.path.lexists(real) else None
            # only what the app itself owns: a link may point at anything
            if (
                not found
                or not real.startswith(inside)
                or found.st_uid != uid
                or not stat.S_ISREG(found.st_mode)
            ):
                continue
            os.chown(real, uid, gid)
            os.chmod(real, 0o640)
            public = os.path.join(target, name)
            if os.path.lexists(public) and os.path.samefile(real, public):
                continue
            beside = os.path.join(target, f".{name}.new")
            if os.path.lexists(beside):
                os.unlink(beside)
            os.link(real, beside)
            os.rename(beside, public)


def link_tree(source: str, target: str) -> None:
    """Gives ``target`` every file of ``source`` that it does not have, as a hard link."""
    for folder, _folders, files in os.walk(source):
        beside = os.path.join(target, os.path.relpath(folder, source))
        if not os.path.isdir(beside):
            os.makedirs(beside)
        for name in files:
            if not os.path.lexists(os.path.join(beside, name)):
                os.link(os.path.join(folder, name), os.path.join(beside, name))


def withdraw(layout: Layout, releases: list[str]) -> None:
    """Removes static files that no kept release has any more."""
    roots = [root for release in releases for root in [layout.record(release).get("static_root")] if root]
    if not roots:
        return
    for folder, _folders, files in os.walk(layout.static, topdown=False):
        relative = os.path.relpath(folder, layout.static)
        for name in files:
            if not any(os.path.lexists(os.path.join(root, relative, name)) for root in roots):
                os.unlink(os.path.join(folder, name))
        if folder != layout.static and not os.listdir(folder):
            os.rmdir(folder)


def folder_size(folder: str) -> int:
    """Bytes that the files below ``folder`` take."""
    return sum(
        os.lstat(os.path.join(path, name)).st_size
        for path, _folders, files in os.walk(folder)
        for name in files
    )
