# Copyright: Homeport contributors
# MIT License (see LICENSE)
"""What is looked up and changed in a project's folders. The app's user calls all of it (``Runner.as_app``)."""

from __future__ import annotations

import ast
import contextlib
import errno
import filecmp
import gzip
import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import IO, Any

from ansible_collections.homeport.django.plugins.module_utils.host.layout import DeployError
from ansible_collections.homeport.django.plugins.module_utils.host.release.settings_named import (
    assigned,
    settings_named,
)

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


def settings_module(manage: str, environment: Mapping[str, str]) -> str:
    """The settings module that a manage.py names, or takes from a variable of the app's ``environment``.

    Where it names several, all of them with commas between: which of them it takes, only running it shows.
    """
    try:
        text = text_of(manage)
    except OSError:
        return ""
    return ",".join(settings_named(text, environment))


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
    found = search(source, "manage.py", depth=5)
    nearest = [path for path in found if path.count("/") == min(other.count("/") for other in found)]
    if not nearest:
        raise DeployError("The source has no manage.py: name the management command in manage")
    if len(nearest) > 1:
        names = ", ".join(os.path.relpath(path, source) for path in nearest)
        raise DeployError(f"The source has several manage.py ({names}): name one in manage")
    return "python manage.py", os.path.dirname(nearest[0])


def celery_settings(folders: list[str], application: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The file of a Celery application, and the settings module that it names as the default.

    Both empty where it names none, or several. A plain assignment is no default (programs/own_settings.py reports it).
    """
    module = application.partition(":")[0].replace(".", "/")
    for folder in folders:
        for name in (f"{module}/celery.py", f"{module}/__init__.py", f"{module}.py"):
            path = f"{folder}/{name}"
            named = settings_module(path, environment)
            if named:
                return ("", "") if "," in named or assigned(text_of(path)) else (name, named)
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
    other = {"wsgi": "asgi"}.get(server, "")
    hint = f", or set web.server: {other}" if other and search(project, f"{other}.py", depth=3) else ""
    raise DeployError(f"The {server.upper()} application was not found: name it in web.application{hint}")


OF_CELERY = r"\bCelery\(|import\s+\*|\bimport\b.*\b(?:app|celery\w*)\b|^(?:app|celery\w*)\s*="


def imports_celery(text: str) -> bool:
    """Whether a module imports something of the project's that may have its Celery application, or cannot be read."""
    try:
        nodes = list(ast.walk(ast.parse(text.lstrip("\ufeff"))))
    except (SyntaxError, ValueError):
        return True
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
            names += [f".{alias.asname}" for alias in node.names if alias.asname]
    # Celery's own modules have none
    return any("celery" in name.lower() and name.partition(".")[0] != "celery" for name in names)


def celery_elsewhere(folders: list[str], package: str, beside: list[str]) -> str:
    """The module of the Celery application, where the settings' package is certain to have none; else empty.

    It is looked for in the packages of the modules ``beside``.
    """
    for folder in folders:
        if not os.path.isdir(f"{folder}/{package}") and not os.path.isfile(f"{folder}/{package}.py"):
            continue
        own = f"{folder}/{package}"
        if os.path.exists(f"{own}/celery.py") or os.path.exists(f"{own}/celery"):
            return ""
        texts = [text_of(path) for path in (f"{own}/__init__.py", f"{own}.py") if os.path.isfile(path)]
        if any(re.search(OF_CELERY, text, re.MULTILINE) or imports_celery(text) for text in texts):
            return ""
        break
    else:
        return ""
    for other in dict.fromkeys(module.rpartition(".")[0] for module in beside):
        for name in ("celery", "celery_app"):
            path = f"{folder}/{other.replace('.', '/')}/{name}.py"
            if other and os.path.isfile(path) and "Celery(" in text_of(path):
                return f"{other}.{name}"
    return ""


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


def folders_between(source: str, project: str) -> list[str]:
    """The folders from the source's root down to manage.py's."""
    parts = os.path.relpath(project, source).split("/")
    below = [] if parts[0] in (".", "..") else ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return [source, *(f"{source}/{path}" for path in below)]


def find_requirements(
    folders: list[str], named: dict[str, str], groups: bool, django: bool = False
) -> dict[str, Any]:
    """The file by which a project declares what it needs: ``kind`` and ``path``, both empty for none.

    That is the first one, unless it names no Django (a list of tools) and another one certainly does; with ``django``,
    that comes from elsewhere. A pyproject.toml that holds only the settings of tools declares nothing; one
    with dependency groups alone does so where ``groups`` are asked for.
    """
    found = [
        (kind, f"{folder}/{name}")
        for folder in folders
        for name, kind in named.items()
        if os.path.isfile(f"{folder}/{name}")
        and (kind != "pyproject" or declares(f"{folder}/{name}", groups))
    ]
    if not found:
        return {"kind": "", "path": ""}
    kind, path = found[0]
    if len(found) > 1 and not django and brings_django(path) is False:
        kind, path = next((other for other in found[1:] if lists_django(other[1])), found[0])
    return {"kind": kind, "path": path}


def declares(path: str, groups: bool) -> bool:
    """Whether a pyproject.toml, with the setup.cfg beside it, says what its project needs."""
    wanted = {"project", "tool.poetry", *(["dependency-groups"] if groups else [])}
    tables = tables_of(path)
    return bool(wanted.intersection(tables)) or ("build-system" in tables and has_setup_cfg(path))


def has_setup_cfg(path: str) -> bool:
    """Whether the setup.cfg beside a file declares dependencies."""
    beside = f"{os.path.dirname(path)}/setup.cfg"
    return os.path.isfile(beside) and bool(re.search(r"(?m)^install_requires\s*=", text_of(beside)))


DJANGO = r"(?:django(?!_settings)|wagtail|mezzanine|feincms|drf-|dj-)[\w.-]*"
BY_OTHERS = (
    r"(?m)^\s*(?:-e\b|--editable\b|\.|/|git\+|\w+://|[\w.\[\], -]+@)"  # of which nothing is known here
)


def brings_django(path: str, seen: tuple[str, ...] = ()) -> bool | None:
    """Whether a file by which a project declares its dependencies names Django; None where that is not certain."""
    try:
        text = text_of(path)
    except OSError:
        return None
    name = os.path.basename(path)
    if name in ("setup.py", "setup.cfg"):
        return None
    if name.endswith((".lock", ".toml")) or name == "Pipfile":
        pattern = rf"""(?im)^\s*["']?{DJANGO}["']?\s*[=:]|["']{DJANGO}\s*(?:["'\[<>=!~;@(,])"""
        dynamic = name == "pyproject.toml" and re.search(
            r"(?m)^\s*dynamic\s*=|tool\.setuptools\.dynamic", text
        )
        return True if re.search(pattern, text) else None if dynamic else False
    if re.search(rf"(?im)^\s*{DJANGO}\s*(?:$|[\[<>=!~;@#(\\ ])", text):
        return True
    answer = None if re.search(BY_OTHERS, text) else False
    for other in re.findall(r"(?m)^\s*(?:-r|--requirement)[ =]?\s*(\S+)", text):
        nested = os.path.normpath(os.path.join(os.path.dirname(path), other))
        found = None if nested in seen or len(seen) > 20 else brings_django(nested, (*seen, path))
        if found:
            return True
        answer = None if found is None else answer
    return answer


TABLE = r"(?m)^[ \t]*\[{1,2}[ \t]*([\w.\"'-]+)[ \t]*\]{1,2}[ \t]*(?:#.*)?$"
BRINGS = r"(?:django|wagtail|mezzanine|feincms)"


def lists_django(path: str, seen: tuple[str, ...] = ()) -> bool:
    """Whether a file is certain to install Django, without what it has for development."""
    try:
        text = text_of(path)
        if os.path.basename(path) == "Pipfile.lock":
            return any(re.fullmatch(BRINGS, name, re.IGNORECASE) for name in json.loads(text)["default"])
    except (OSError, ValueError, LookupError, TypeError):
        return False
    name = os.path.basename(path)
    if name in ("setup.py", "setup.cfg"):
        return False
    if name in ("pyproject.toml", "Pipfile"):
        return in_tables(re.sub(r"(?m)^\s*#.*$", "", text))
    if name.endswith((".lock", ".toml")):
        return bool(re.search(rf"""(?im)^\s*name\s*=\s*["']{BRINGS}["']""", text))
    if re.search(rf"(?im)^\s*{BRINGS}\s*(?:$|[\[<>=!~;@#(\\ ])", text):
        return True
    nested = [
        os.path.normpath(os.path.join(os.path.dirname(path), other))
        for other in re.findall(r"(?m)^\s*(?:-r|--requirement)[ =]?\s*(\S+)", text)
    ]
    return len(seen) <= 20 and any(
        lists_django(other, (*seen, path)) for other in nested if other not in (*seen, path)
    )


def in_tables(text: str) -> bool:
    """Whether the dependencies of a pyproject.toml or Pipfile have Django."""
    _before, *parts = re.split(TABLE, text)
    for table, body in zip(parts[::2], parts[1::2]):
        if re.fullmatch(rf"(?i)(?:tool\.poetry\.dependencies|packages)\.{BRINGS}", table):
            return True
        if table in ("tool.poetry.dependencies", "packages"):
            pattern = rf"""(?im)^\s*["']?{BRINGS}["']?\s*="""
        elif table == "project":
            listed = re.search(r"(?ms)^\s*dependencies\s*=\s*\[(.*?)\]\s*(?:#[^\n]*)?$", body)
            body, pattern = listed[1] if listed else "", rf"""(?i)["']{BRINGS}\s*["'\[<>=!~;@(]"""
        else:
            continue
        if re.search(pattern, body):
            return True
    return False


def other_requirements(folders: list[str]) -> list[tuple[str, str]]:
    """Files that look as if they declared dependencies, and why they do not count."""
    found = []
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            if name == "pyproject.toml":
                found.append(
                    (path, "has no [project] or [tool.poetry], and no setup.cfg with install_requires")
                )
            elif name == "setup.cfg" and has_setup_cfg(path):
                found.append((path, "needs a pyproject.toml with [build-system] beside it"))
            elif re.match(r"(?i)req(uirement)?s?[._-](.+\.)?(txt|in|pip|lock)$", name):
                found.append((path, "its name says nothing; requirements.files can name it"))
    return found


def is_package(path: str) -> bool:
    """Whether the project of a pyproject.toml is one that is installed itself."""
    return "build-system" in tables_of(path) and not package_mode_off(path)


def package_mode_off(path: str) -> bool:
    """Whether a pyproject.toml says that there is nothing for Poetry to build."""
    return "tool.poetry" in tables_of(path) and bool(
        re.search(r"(?m)^package-mode\s*=\s*false\b", text_of(path))
    )


def static_dependencies(path: str) -> bool:
    """Whether the [project] of a pyproject.toml lists its dependencies itself."""
    found = re.search(
        r"(?ms)^[ \t]*\[[ \t]*project[ \t]*\](.*?)(?=^[ \t]*\[[\w\" .-]+\][ \t]*(?:#.*)?$|\Z)", text_of(path)
    )
    return bool(found and re.search(r"(?m)^\s*dependencies\s*=", found[1]))


def unlocked_poetry(path: str) -> bool:
    """Whether a pyproject.toml has its dependencies for Poetry alone, and nothing to build."""
    return package_mode_off(path) and not static_dependencies(path)


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


def require_hashes(paths: list[str]) -> bool:
    """Whether files of requirements, or those that they include, refuse whatever has no hash."""
    left, known = list(paths), set()
    while left:
        path = left.pop()
        if path in known or not os.path.isfile(path):
            continue
        known.add(path)
        text = text_of(path)
        if re.search(r"^\s*--require-hashes\b", text, re.MULTILINE):
            return True
        named = re.findall(r"^\s*(?:-r|--requirement)[ \t=]*([^\s#]+)", text, re.MULTILINE)
        left += [os.path.normpath(os.path.join(os.path.dirname(path), name)) for name in named]
    return False


def tables_of(path: str) -> list[str]:
    """The tables of a pyproject.toml."""
    found = re.findall(r"^[ \t]*\[[ \t]*([\w.-]+)[ \t]*\]", text_of(path), re.MULTILINE)
    return [str(name) for name in found]
