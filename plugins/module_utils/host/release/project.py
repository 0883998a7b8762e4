# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is looked up and changed in a project's folders. The app's user calls all of it (``Runner.as_app``)."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import gzip
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError

MOST_BYTES = 4 << 20  # of a file of the project's that is read
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
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
LARGEST_POINTER = 1024
# Tools that ask git for the version of what they build.
VERSION_TOOLS = (
    r"setuptools[-_]scm|hatch[-_]vcs|versioningit|versioneer|dynamic[-_]versioning|git[-_]versioning|dunamai|\bpbr\b"
    r"|source\s*=\s*[\"']scm[\"']"
)
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
IGNORED = ("__pycache__", ".git")  # of two source trees that are compared


def text_of(path: str) -> str:
    """The beginning of a regular file; a pipe would never end, nor a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        return stream.read(MOST_BYTES)


def search(folder: str, name: str, depth: int) -> list[str]:
    """Files called ``name`` at most ``depth`` folders down, without tests, docs and installed packages."""
    found = []
    base = folder.rstrip("/").count("/")
    for path, folders, files in os.walk(folder):
        folders[:] = [] if path.count("/") - base >= depth - 1 else sorted(set(folders) - NOT_SEARCHED)
        if name in files:
            found.append(os.path.join(path, name))
    return found


def versioned_by_git(folder: str) -> bool:
    """Whether something in the source is built with a version that comes from git."""
    names = ("pyproject.toml", "setup.cfg", "setup.py")
    found = [path for name in names for path in search(folder, name, depth=3)]
    return any(re.search(VERSION_TOOLS, text_of(path)) for path in found)


def lfs_pointers(folder: str) -> list[str]:
    """Files that only say where Git LFS keeps what they stand for."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {".git"})
        for name in sorted(files):
            file = os.path.join(path, name)
            status = os.lstat(file)
            if stat.S_ISREG(status.st_mode) and len(LFS_POINTER) < status.st_size <= LARGEST_POINTER:
                with open(file, "rb") as stream:
                    if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                        found.append(os.path.relpath(file, folder))
                        if len(found) == 10:
                            return found
    return found


def find_manage(
    source: str, given: str, packaged: bool, environment: Mapping[str, str]
) -> tuple[str, str, str]:
    """The management command, the folder it is run in, and the settings module that it names."""
    command, folder = manage_in(source, given, packaged)
    return command, folder, settings_module(f"{folder}/manage.py", environment)


def manage_in(source: str, given: str, packaged: bool) -> tuple[str, str]:
    if given:
        name, *arguments = shlex.split(given)
        if os.path.basename(name) != "manage.py":
            return given, source
        path = os.path.join(source, name)
        if not os.path.isfile(path):
            raise DeployError(f"manage: the source has no {name}")
        return shlex.join(["python", "manage.py", *arguments]), os.path.dirname(path)
    if packaged:
        return "python -m django", source
    found = search(source, "manage.py", depth=4)
    nearest = [path for path in found if path.count("/") == min(other.count("/") for other in found)]
    if not nearest:
        raise DeployError("The source has no manage.py: name the management command in manage")
    if len(nearest) > 1:
        names = ", ".join(os.path.relpath(path, source) for path in nearest)
        raise DeployError(f"The source has several manage.py ({names}): name one in manage")
    return "python manage.py", os.path.dirname(nearest[0])


MODULE = r"['\"]([\w.]+)['\"]"
# A value from a variable, with another where that is not there.
FROM_VARIABLE = (
    r"(?:os\.)?(?:environ\.get|getenv|environ|env|config)[(\[]\s*['\"](\w+)['\"]"
    rf"(?:\s*,\s*(?:default\s*=\s*)?{MODULE}(?=\s*[,)\]]))?[^()\[\]]*[)\]]"
)
WHOLE = r"(?!\s*[+%.])"  # a value that goes on is no module yet


def settings_module(manage: str, environment: Mapping[str, str]) -> str:
    """The settings module that a manage.py names, or takes from a variable of the app's ``environment``."""
    try:
        text = text_of(manage)
    except OSError:
        return ""
    found = re.search(
        rf"DJANGO_SETTINGS_MODULE['\"]\s*(?:,|\]\s*=)\s*(?:{MODULE}|{FROM_VARIABLE}){WHOLE}", text
    )
    if not found:
        return ""
    named = found[1] or environment.get(found[2], found[3]) or ""
    return named if re.fullmatch(r"[\w.]+", named) else ""


def celery_settings(folders: list[str], application: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The file of a Celery application, and the settings module that it names; both empty where it names none."""
    module = application.partition(":")[0].replace(".", "/")
    for folder in folders:
        for name in (f"{module}/celery.py", f"{module}/__init__.py", f"{module}.py"):
            named = settings_module(f"{folder}/{name}", environment)
            if named:
                return name, named
    return "", ""


def import_folders(project: str, source: str, package: str) -> list[str]:
    """Where the project's modules are: in its folder, in the source, and in a src that has the settings' package.

    Any other src is none: what is in it could hide what is installed.
    """
    found = list(dict.fromkeys([project, source]))
    if any(os.path.isfile(f"{folder}/{package}{end}") for folder in found for end in (".py", "/__init__.py")):
        return found
    return found + [
        path
        for folder in found
        if (path := f"{folder}/src") not in found
        and not os.path.exists(f"{path}/__init__.py")
        and (os.path.isdir(f"{path}/{package}") or os.path.isfile(f"{path}/{package}.py"))
    ]


def find_application(project: str, server: str, dotted: str, urls: str) -> str:
    """module:callable for gunicorn, from the settings WSGI_APPLICATION or ASGI_APPLICATION and ROOT_URLCONF."""
    if dotted:
        module, _dot, name = dotted.rpartition(".")
        return f"{module}:{name}"
    package = urls.rpartition(".")[0]
    for root in (project, f"{project}/src"):
        if package and os.path.isfile(f"{root}/{package.replace('.', '/')}/{server}.py"):
            return f"{package}.{server}:application"
    found = search(project, f"{server}.py", depth=3)
    if len(found) == 1:
        module = os.path.relpath(found[0], project)[:-3].replace("/", ".")
        return f"{module}:application"
    raise DeployError(f"The {server.upper()} application was not found: name it in web.application")


def place(target: str, root: str, content: IO[bytes]) -> None:
    """Writes a file of the operator's into the source."""
    root = os.path.realpath(root)
    path = os.path.join(root, target)
    if not f"{os.path.realpath(os.path.dirname(path))}/".startswith(f"{root}/"):
        raise DeployError(f"files.{target} leads out of the source through a link")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as stream:
        shutil.copyfileobj(content, stream)


def is_folder(source: str, path: str) -> bool:
    """Whether a shared path is a folder; one that the source does not bring is, unless its name has an ending."""
    found = os.path.join(source, path)
    return (
        os.path.isdir(found)
        if os.path.exists(found)
        else path.endswith("/") or "." not in os.path.basename(path)
    )


def keep(source: str, path: str, kept: str) -> None:
    """What the app names itself as shared, before build commands look for it."""
    link_shared(f"{source}/{path.rstrip('/')}", kept, is_folder(source, path))


def link_shared(path: str, kept: str, folder: bool) -> None:
    """Replaces ``path`` by a link to ``kept``; what the source brings is taken over once, never again."""
    if os.path.islink(path) and os.path.realpath(path) == os.path.realpath(kept):
        return
    os.makedirs(kept if folder else os.path.dirname(kept), mode=0o750, exist_ok=True)
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            if not os.path.lexists(f"{kept}/{name}"):
                copy(f"{path}/{name}", f"{kept}/{name}")
        shutil.rmtree(path)
    elif os.path.lexists(path):
        if not os.path.lexists(kept):
            copy(path, kept)
        os.unlink(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(kept, path)


def within(source: str, path: str, work: Callable[..., None], *arguments: Any) -> None:
    """Does ``work`` with a path that leads into the source: what a link leads out of it is kept elsewhere already."""
    if os.path.realpath(path).startswith(f"{os.path.realpath(source)}/"):
        work(path.rstrip("/"), *arguments)


def copy(path: str, kept: str) -> None:
    # with the group of the place, which nginx is a member of where it reads
    words = ["cp", "-R", "-d", "--preserve=timestamps,links", "--", path, kept]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise DeployError(f"{path} cannot be copied: {done.stderr.strip()}")


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


def precompress(root: str) -> None:
    """Adds .gz and .br next to every file that is worth it and has none yet.

    A manifest has each file by two names: what has the same content is compressed once.
    """
    brotli = shutil.which("brotli")
    first: dict[bytes, str] = {}
    copies, missing = [], []
    for folder, _folders, files in os.walk(root):
        present = set(files)
        for name in files:
            path = os.path.join(folder, name)
            if not name.endswith(COMPRESSIBLE) or os.path.getsize(path) < SMALLEST_COMPRESSIBLE:
                continue
            wanted = [end for end in ("gz", *(["br"] if brotli else [])) if f"{name}.{end}" not in present]
            if not wanted:
                continue
            with open(path, "rb") as plain:
                content = plain.read()
            same = first.setdefault(hashlib.sha256(content).digest(), path)
            if same != path:
                copies += [(f"{same}.{end}", f"{path}.{end}") for end in wanted]
                continue
            if "gz" in wanted:
                with gzip.GzipFile(f"{path}.gz", "wb", 9, mtime=0) as packed:
                    packed.write(content)
            if "br" in wanted:
                missing.append(path)
    for start in range(0, len(missing), 200):
        subprocess.run([str(brotli), "--keep", "--quality=9", *missing[start : start + 200]], check=True)
    for packed_path, path in copies:
        os.link(packed_path, path)


def real_folder(path: str) -> str:
    """Where a folder is once every link to it is followed; empty where there is none."""
    return os.path.realpath(path) if os.path.isdir(path) else ""


def unlinked(root: str, inside: str) -> None:
    """Puts files in the place of links to files of the app's: what is published holds no link."""
    for folder, _folders, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if os.path.islink(path) and real.startswith(inside) and os.path.isfile(real):
                os.unlink(path)
                os.link(real, path)


def link_tree(source: str, target: str) -> None:
    """Gives ``target`` every file of ``source`` that it does not have, as a hard link."""
    for folder, _folders, files in os.walk(source):
        folder_there = os.path.join(target, os.path.relpath(folder, source))
        if not os.path.isdir(folder_there):
            os.makedirs(folder_there)
        for name in files:
            if not os.path.lexists(os.path.join(folder_there, name)):
                os.link(os.path.join(folder, name), os.path.join(folder_there, name))


def link_bytecode(before: str, venv: str) -> None:
    """Gives an environment what Python has compiled for another one of the files that both share, as uv links them."""
    for folder, _folders, files in os.walk(f"{before}/lib"):
        if os.path.basename(folder) != "__pycache__":
            continue
        beside = os.path.join(venv, os.path.relpath(folder, before))
        for name in files:
            source = f"{name.partition('.')[0]}.py"
            with contextlib.suppress(OSError):  # only one of them has it
                if os.path.samefile(
                    *(os.path.join(os.path.dirname(path), source) for path in (folder, beside))
                ):
                    os.makedirs(beside, exist_ok=True)
                    os.link(os.path.join(folder, name), os.path.join(beside, name))


def folder_size(folder: str) -> int:
    """Bytes that the files below ``folder`` take."""
    return sum(
        os.lstat(os.path.join(path, name)).st_size
        for path, _folders, files in os.walk(folder)
        for name in files
    )


def files_changed(before: str, after: str) -> dict[str, list[str]]:
    """Paths that two source trees differ in."""
    old, new = tree(before), tree(after)
    found = {
        "added": sorted(new - old),
        "removed": sorted(old - new),
        "changed": sorted(
            path
            for path in old & new
            if not filecmp.cmp(f"{before}/{path}", f"{after}/{path}", shallow=False)
        ),
    }
    return {kind: names for kind, names in found.items() if names}


def tree(folder: str) -> set[str]:
    """The regular files below a folder."""
    found = set()
    for path, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in IGNORED and not os.path.islink(f"{path}/{name}")
        ]
        found |= {
            os.path.relpath(f"{path}/{name}", folder)
            for name in files
            if stat.S_ISREG(os.lstat(f"{path}/{name}").st_mode)
        }
    return found


def find_requirements(folders: list[str], named: dict[str, str], groups: bool) -> dict[str, Any]:
    """The first file by which a project declares what it needs: ``kind`` and ``path``, both empty for none.

    A pyproject.toml that holds only the settings of tools declares nothing; one with dependency groups alone does so
    where ``groups`` are asked for.
    """
    wanted = {"project", "tool.poetry", *(["dependency-groups"] if groups else [])}
    for folder in folders:
        for name, kind in named.items():
            path = f"{folder}/{name}"
            if os.path.isfile(path) and (kind != "pyproject" or wanted.intersection(tables_of(path))):
                return {"kind": kind, "path": path}
    return {"kind": "", "path": ""}


def workspace_member(root: str, project: str) -> str:
    """The folder that uv is to install of the workspace in ``root``: the one of its members that has the manage.py."""
    root, project = os.path.normpath(root), os.path.normpath(project)
    lock = text_of(f"{root}/uv.lock")
    named = re.search(r"^\[manifest\]\nmembers = \[(.*?)\]", lock, re.MULTILINE | re.DOTALL)
    package = r'^name = (".+")\n(?:version = .+\n)?source = \{ (?:editable|virtual) = "(.+)" \}'
    members = {
        os.path.normpath(f"{root}/{path}")
        for name, path in re.findall(package, lock, re.MULTILINE)
        if named and name in named[1]
    }
    folder = project
    while folder.startswith(f"{root}/") and folder not in members:
        folder = os.path.dirname(folder)
    return folder if folder in members else root


def tables_of(path: str) -> list[str]:
    """The tables of a pyproject.toml."""
    found = re.findall(r"^[ \t]*\[[ \t]*([\w.-]+)[ \t]*\]", text_of(path), re.MULTILINE)
    return [str(name) for name in found]
